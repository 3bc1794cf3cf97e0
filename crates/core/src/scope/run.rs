//! By whom a scope is run, and to which end.

use super::{
    Cx, JoinReport, Reason, Scope, ScopeError,
    builder::{Place, Time},
    drive::{OpenScope, drive},
    node::ScopeNode,
};
use crate::{CancelToken, Cause, Name, sync::Arc};
use std::{
    fmt::{Debug, Display},
    future::Future,
};
use tokio::time::Instant;

/// Runs `body` in a new scope and waits for every child it spawned.
///
/// Shorthand for [`Scope::builder(name).run(body)`](Scope::run); inside another scope use
/// [`Cx::scope`], which ties the two together.
///
/// ```
/// use tidegate_core::Cx;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidegate_core::ScopeError<Error>> {
/// let sum = tidegate_core::scope("sum", async |cx: Cx<Error>| {
///     let left = cx.spawn("left", async { Ok(1) });
///     let right = cx.spawn("right", async { Ok(2) });
///     Ok(left.await? + right.await?)
/// })
/// .await?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
///
/// A `?` on a task needs an error that can be made of a [`TaskError`](super::TaskError): a
/// boxed one, as here, or an own enum with a `#[from] TaskError<Self>` variant. If the task
/// failed the scope has its error already and returns that one; the body's comes after it.
/// An `unwrap` does as well: the panic comes after the error that caused it.
///
/// # Errors
///
/// As for [`Scope::run`].
///
/// # Panics
///
/// As for [`Scope::run`].
///
/// # Cancel safety
///
/// As for [`Scope::run`]. Tested by `a_root_scope`.
#[track_caller]
pub fn scope<T, E, F, Fut>(
    name: impl Into<Name>,
    body: F,
) -> impl Future<Output = Result<T, ScopeError<E>>>
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Scope::builder(name).run(body)
}

impl<P> Scope<P> {
    /// Runs `body`, then waits until every child has ended.
    ///
    /// The first child, or body, to return an error or to panic cancels the scope, unless it
    /// [collects](Self::on_error) the errors of children. Children see that by their [`Cx`]; what has not ended after the grace period is dropped at its
    /// next await and named in the [report](ScopeError::report). Blocking work is waited for
    /// in any case.
    ///
    /// # Errors
    ///
    /// The first error or panic of a child, or the body's error; [`Reason::Cancelled`] if
    /// the scope was cancelled by its parent, its token or its deadline; [`Reason::Aborted`] if children
    /// ignored the body's own cancellation. An error that came after the first is in the
    /// report.
    ///
    /// # Panics
    ///
    /// A panic of the body is resumed here once every child has ended, unless a failure came
    /// before it: that is returned then, and the panic is in its report. Often it is the
    /// failure that made the body panic.
    ///
    /// If the runtime has no time driver (`enable_time`): at the first cancellation, or in a
    /// scope with a deadline when it first waits.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. Dropping the future after that cancels the scope
    /// with [`CauseKind::ScopeDropped`](crate::CauseKind) and aborts its children. A parent scope waits for
    /// them, and has their errors in its [report](JoinReport::adopted); without a parent they
    /// end at their next await, unwatched, and their errors are events only. Tested by
    /// `a_root_scope` and `a_nested_scope`.
    pub async fn run<T, E, F, Fut>(self, body: F) -> Result<T, ScopeError<E>>
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // Not by way of the other: each future within another is as large as both.
        ScopeError::of(match self.open() {
            Ok(open) => drive(open, body).await,
            Err(cause) => never_opened(cause),
        })
    }

    /// The same as [`run`](Self::run), with a report in any case: a scope that ends well may have
    /// had failures, which its [policy](Self::policy) tolerated, or which came from nested scopes
    /// whose future was dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::{Cx, Scope, Supervise};
    ///
    /// let jobs = Scope::builder("jobs").policy(Supervise);
    /// let (done, report) = jobs
    ///     .run_with_report(async |cx: Cx<&str>| {
    ///         cx.spawn("bad", async { Err::<(), _>("disk full") });
    ///         cx.spawn("good", async { Ok(()) });
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(done.is_ok());
    /// assert!(report.tolerated()[0].to_string().ends_with("failed: disk full"));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run). Tested by `other_ways_to_run_a_scope`.
    pub async fn run_with_report<T, E, F, Fut>(
        self,
        body: F,
    ) -> (Result<T, Reason<E>>, JoinReport<E>)
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // Opened by the first poll, not by the call: a parent could wait for ever for a future
        // that is held but never polled.
        match self.open() {
            Ok(open) => drive(open, body).await,
            Err(cause) => never_opened(cause),
        }
    }

    /// Runs `body` with something that all children may use, and gives it back when they have
    /// ended: what would be borrowed if tasks could borrow. If somebody took a handle away with
    /// them, such as the value of the body, it comes back as another handle.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{convert::Infallible, sync::{Arc, atomic::{AtomicU64, Ordering}}};
    /// use tidegate_core::{Cx, Scope};
    ///
    /// let total = AtomicU64::new(0);
    /// let (done, total) = Scope::builder("sum")
    ///     .run_with(total, async |cx: Cx<Infallible>, total: Arc<AtomicU64>| {
    ///         for n in 1..=4 {
    ///             let total = Arc::clone(&total);
    ///             cx.spawn("add", async move { Ok(total.fetch_add(n, Ordering::Relaxed)) });
    ///         }
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(done.is_ok());
    /// assert_eq!(total.unwrap().into_inner(), 10);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); the resource is given back in any case.
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run). The resource is dropped then, after the last child.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run). The resource is dropped with the last child that uses it. Tested
    /// by `other_ways_to_run_a_scope`.
    pub async fn run_with<R, T, E, F, Fut>(
        self,
        resource: R,
        body: F,
    ) -> (Result<T, ScopeError<E>>, Result<R, Arc<R>>)
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>, Arc<R>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let resource = Arc::new(resource);
        let lent = Arc::clone(&resource);
        let result = self.run(async |cx| body(cx, lent).await).await;
        (result, Arc::try_unwrap(resource))
    }

    /// Makes the scope's node; the cause, if its parent admits nothing more.
    pub(super) fn open(self) -> Result<OpenScope, Cause> {
        let Self { plan, grace, time, place, .. } = self;
        let node = match place {
            Place::Root => ScopeNode::root(plan, CancelToken::new()),
            Place::Under(token) => ScopeNode::root(plan, token.child()),
            Place::In(parent) => ScopeNode::nested(plan, &parent)?,
        };
        let deadline = match time {
            Time::From(budget) => budget.deadline(),
            Time::Until(at) => Some(at),
        };
        if let Some(at) = deadline {
            node.set_deadline(deadline);
            if at <= Instant::now() {
                node.cancel_expired();
            }
        }
        Ok(OpenScope::new(node, grace))
    }
}

/// What comes out of a scope that its parent did not admit.
fn never_opened<T, E>(cause: Cause) -> (Result<T, Reason<E>>, JoinReport<E>) {
    (Err(Reason::Cancelled(cause)), JoinReport::EMPTY)
}
