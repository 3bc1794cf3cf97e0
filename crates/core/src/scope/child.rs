//! What runs a child, and gives its record back however it ends.

use super::{TaskError, failures::Shared, registry::Key};
use crate::{panic::drop_quietly, sync::Arc};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    fmt::{Debug, Display},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// What came out of user code: its result, or the payload of its panic.
type Outcome<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

/// A child's record in its scope. Dropping it gives the record back, which is why every
/// owner of one drops the user's future or closure first.
pub(super) struct Lease<E> {
    scope: Arc<Shared<E>>,
    key: Key,
    ended: bool,
}

impl<E> Lease<E> {
    pub(super) fn new(scope: Arc<Shared<E>>, key: Key) -> Self {
        Self { scope, key, ended: false }
    }
}

impl<E: Display + Debug + Send + Sync + 'static> Lease<E> {
    /// Hands the outcome of the work to the scope, unless it is the value.
    fn settle<T>(&mut self, outcome: Outcome<T, E>) -> Result<T, TaskError<E>> {
        self.ended = true;
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let task = self.scope.node.describe(self.key);
                Err(TaskError::Failed(self.scope.failed(task, error)))
            }
            Err(payload) => {
                let task = self.scope.node.describe(self.key);
                Err(TaskError::Panicked(self.scope.panicked(task, payload)))
            }
        }
    }
}

impl<E> Drop for Lease<E> {
    fn drop(&mut self) {
        self.scope.node.release(self.key, !self.ended);
    }
}

pin_project! {
    /// A child's future, caught and counted. The order of the fields is the order of their
    /// drop: a runtime that drops the task drops the future before the record.
    pub(super) struct Child<F, E> {
        #[pin]
        future: Option<F>,
        parked: bool,
        lease: Option<Lease<E>>,
    }
}

impl<F, E> Child<F, E> {
    pub(super) fn new(future: F, lease: Lease<E>) -> Self {
        Self { future: Some(future), parked: false, lease: Some(lease) }
    }
}

impl<F, T, E> Future for Child<F, E>
where
    F: Future<Output = Result<T, E>>,
    E: Display + Debug + Send + Sync + 'static,
{
    type Output = Result<T, TaskError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (Some(future), Some(lease)) = (this.future.as_mut().as_pin_mut(), this.lease.as_mut())
        else {
            return Poll::Ready(Err(TaskError::Aborted));
        };
        let node = &lease.scope.node;
        let mut ended = None;
        if !node.is_aborting() {
            match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(Poll::Ready(result)) => ended = Some(Ok(result)),
                Err(payload) => ended = Some(Err(payload)),
                // The runtime polls a task with the same waker all its life, so that
                // registering it once is enough for an abort to reach the task.
                Ok(Poll::Pending) if *this.parked || node.park(lease.key, cx.waker()) => {
                    *this.parked = true;
                    return Poll::Pending;
                }
                Ok(Poll::Pending) => {}
            }
        }
        // The future's destructor is user code and belongs to the child: it runs before
        // the scope hears that the child has ended, and its panic is the child's.
        let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
        let outcome = match (ended, dropped) {
            (Some(Ok(_)) | None, Err(payload)) => Some(Err(payload)),
            (ended, Ok(())) => ended,
            (ended, Err(second)) => {
                drop_quietly(second);
                ended
            }
        };
        let result = outcome.map_or(Err(TaskError::Aborted), |outcome| lease.settle(outcome));
        *this.lease = None;
        Poll::Ready(result)
    }
}

/// Runs blocking work on the calling thread, unless the scope is aborting already.
pub(super) fn run_blocking<T, E>(
    mut lease: Lease<E>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, TaskError<E>>
where
    E: Display + Debug + Send + Sync + 'static,
{
    if lease.scope.node.is_aborting() {
        drop_quietly(work);
        return Err(TaskError::Aborted);
    }
    let outcome = catch_unwind(AssertUnwindSafe(work));
    lease.settle(outcome)
}
