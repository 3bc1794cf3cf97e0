//! What runs a child, and gives its record back however it ends.

use super::{TaskError, node::ScopeNode, registry::Key};
use crate::{cancel::SharedError, panic::drop_quietly, sync::Arc};
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
pub(super) struct Lease {
    node: Arc<ScopeNode>,
    key: Key,
    ended: bool,
}

impl Lease {
    pub(super) fn new(node: Arc<ScopeNode>, key: Key) -> Self {
        Self { node, key, ended: false }
    }

    /// Hands the outcome of the work to the scope, unless it is the value.
    fn settle<T, E>(&mut self, outcome: Outcome<T, E>) -> Result<T, TaskError<E>>
    where
        E: Display + Debug + Send + Sync + 'static,
    {
        let result = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = Arc::new(error);
                let shared: Arc<dyn SharedError> = Arc::clone(&error) as _;
                self.node.failed(&self.node.describe(self.key), &shared);
                Err(TaskError::Failed(error))
            }
            Err(payload) => {
                let panic = self.node.panicked(self.node.describe(self.key), &*payload);
                drop_quietly(payload);
                Err(TaskError::Panicked(panic))
            }
        };
        self.ended = true;
        result
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            self.node.note_aborted(self.node.describe(self.key));
        }
        self.node.release(self.key);
    }
}

pin_project! {
    /// A child's future, caught and counted. The order of the fields is the order of their
    /// drop: a runtime that drops the task drops the future before the record.
    pub(super) struct Child<F> {
        #[pin]
        future: Option<F>,
        parked: bool,
        lease: Option<Lease>,
    }
}

impl<F> Child<F> {
    pub(super) fn new(future: F, lease: Lease) -> Self {
        Self { future: Some(future), parked: false, lease: Some(lease) }
    }
}

impl<F, T, E> Future for Child<F>
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
        let node = &lease.node;
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
    mut lease: Lease,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, TaskError<E>>
where
    E: Display + Debug + Send + Sync + 'static,
{
    if lease.node.is_aborting() {
        drop_quietly(work);
        return Err(TaskError::Aborted);
    }
    let outcome = catch_unwind(AssertUnwindSafe(work));
    lease.settle(outcome)
}
