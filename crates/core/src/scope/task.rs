//! The handle of a child.

use super::{
    TaskError,
    child::{Lease, Output},
    vault::Vault,
};
use crate::{
    Cause,
    inspect::{Entered, Target, Tick, WorkId},
    rt::{self, JoinHandle},
    sync::Arc,
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
};

/// The handle of a child: a future of its result.
///
/// Dropping it changes nothing: the child runs on, its scope waits for it, and an error
/// still goes to the scope. Only the value is lost: it is dropped as part of the child, or
/// with the handle if the child has ended. That is why it is not `#[must_use]`.
pub struct Task<T, E>(State<T, E>);

enum State<T, E> {
    Running(Running<T, E>),
    /// It ended, or the scope admitted nothing more; taken by whoever awaits it.
    Ended(Option<Result<T, TaskError<E>>>),
}

struct Running<T, E> {
    handle: JoinHandle<Output<T, E>>,
    vault: Option<Arc<Vault<T>>>,
    work: Spawned,
    /// That somebody waits for it, for the inspection. Seldom there, and large.
    awaited: Option<Box<Entered>>,
}

/// Which work, and where it was spawned.
#[derive(Clone, Copy)]
pub(super) struct Spawned {
    id: WorkId,
    at: &'static Location<'static>,
}

impl Spawned {
    pub(super) fn new(lease: &Lease, at: &'static Location<'static>) -> Self {
        Self { id: lease.id(), at }
    }
}

impl<T, E> Task<T, E> {
    pub(super) fn running(
        handle: JoinHandle<Output<T, E>>,
        vault: Option<Arc<Vault<T>>>,
        work: Spawned,
    ) -> Self {
        Self(State::Running(Running { handle, vault, work, awaited: None }))
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
            State::Running(running) => running.handle.is_finished(),
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
            State::Running(running) => running.poll(cx),
            State::Ended(result) => Poll::Ready(result.take().unwrap_or(Err(TaskError::Aborted))),
        }
    }
}

impl<T, E> Running<T, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, TaskError<E>>> {
        let Poll::Ready(joined) = Pin::new(&mut self.handle).poll(cx) else {
            let Spawned { id, at } = self.work;
            if rt::is_part_of(&self.handle) {
                return Poll::Ready(Err(TaskError::Itself));
            }
            // Who polls it now waits, whoever had it before.
            if !self.awaited.as_ref().is_some_and(|awaited| awaited.is_of_caller()) {
                self.awaited = None;
                if Tick::now().is_known() {
                    self.awaited = Some(Box::new(Entered::new("", at, Target::Work(id))));
                }
            }
            return Poll::Pending;
        };
        self.awaited = None;
        // No panic gets out of a child: without an output it was dropped.
        let value = joined.unwrap_or(Err(TaskError::Aborted))?;
        let kept = || self.vault.as_ref().and_then(|vault| vault.take());
        Poll::Ready(value.or_else(kept).ok_or(TaskError::Aborted))
    }
}

impl<T, E> fmt::Debug for Task<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish()
    }
}
