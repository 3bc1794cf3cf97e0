//! The handle of a child.

use super::{TaskError, child::Output, vault::Vault};
use crate::{Cause, sync::Arc};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::task::JoinHandle;

/// The handle of a child: a future of its result.
///
/// Dropping it changes nothing: the child runs on, its scope waits for it, and an error
/// still goes to the scope. Only the value is lost: it is dropped as part of the child, or
/// with the handle if the child has ended. That is why it is not `#[must_use]`.
pub struct Task<T, E>(State<T, E>);

enum State<T, E> {
    Running(JoinHandle<Output<T, E>>, Option<Arc<Vault<T>>>),
    /// It ended, or the scope admitted nothing more; taken by whoever awaits it.
    Ended(Option<Result<T, TaskError<E>>>),
}

impl<T, E> Task<T, E> {
    pub(super) fn running(handle: JoinHandle<Output<T, E>>, vault: Option<Arc<Vault<T>>>) -> Self {
        Self(State::Running(handle, vault))
    }

    pub(super) fn refused(cause: Cause) -> Self {
        Self::ended(Err(TaskError::Cancelled(cause)))
    }

    pub(super) fn ended(result: Result<T, TaskError<E>>) -> Self {
        Self(State::Ended(Some(result)))
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            State::Running(handle, _) => handle.is_finished(),
            State::Ended(_) => true,
        }
    }
}

/// Nothing in it is pinned.
impl<T, E> Unpin for Task<T, E> {}

impl<T, E> Future for Task<T, E> {
    type Output = Result<T, TaskError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Running(handle, vault) => Pin::new(handle).poll(cx).map(|joined| {
                // No panic gets out of a child: without an output it was dropped.
                let value = joined.unwrap_or(Err(TaskError::Aborted))?;
                let kept = || vault.as_ref().and_then(|vault| vault.take());
                value.or_else(kept).ok_or(TaskError::Aborted)
            }),
            State::Ended(result) => Poll::Ready(result.take().unwrap_or(Err(TaskError::Aborted))),
        }
    }
}

impl<T, E> fmt::Debug for Task<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish()
    }
}
