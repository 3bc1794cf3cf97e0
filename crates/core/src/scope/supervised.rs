//! The scope of a child that a supervisor runs: it hears of its end from its supervisor alone, so
//! that children can end one after the other, and a panic is a result as any other.

use super::{Cx, JoinReport, Placed, Reason, Scope, ScopeError, drive::drive_caught};
use crate::{CancelToken, panic::drop_quietly};
use std::{
    fmt::{Debug, Display},
    future::Future,
    panic::Location,
};

impl Scope<Placed> {
    /// Makes it a scope that ends with `token`, which is no child of the token around, and was
    /// declared at `at`.
    pub(crate) fn supervised(mut self, token: CancelToken, at: &'static Location<'static>) -> Self {
        self.plan.detached = true;
        self.plan.token = Some(token);
        self.plan.at = at;
        self
    }
}

/// Runs a scope to its end, and does not panic, also where others would be raised.
pub(crate) async fn run_supervised<T, E, F, Fut>(
    scope: Scope<Placed>,
    body: F,
) -> Result<T, ScopeError<E>>
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let refused = |cause| ScopeError::new(Reason::Cancelled(cause), JoinReport::EMPTY);
    let (driven, panic) = drive_caught(scope.open().map_err(refused)?, body).await;
    drop_quietly(panic);
    ScopeError::of(driven)
}
