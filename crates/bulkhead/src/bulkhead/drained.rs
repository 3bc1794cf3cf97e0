//! Waiting for everything to have come back.

use super::shared::Shared;
use crate::drains::{Drain, Empties};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tidegate_core::{
    inspect::{Resource, Waiting},
    sync::Arc,
};

/// The future of [`Bulkhead::drained`](crate::Bulkhead::drained) and
/// [`KeyedBulkhead::drained`](crate::KeyedBulkhead::drained).
///
/// # Cancel safety
///
/// Dropped, it has done nothing. Tested by `waiting_for_a_drain_gives_up_everything_at_every_await`.
#[must_use = "futures do nothing unless polled"]
pub struct Drained {
    waiting: Waiting<Drain>,
}

impl Drained {
    #[track_caller]
    pub(crate) fn new(of: impl Empties + 'static, resource: &Resource) -> Self {
        Self { waiting: resource.waiting("permits to come back", Drain::new(of)) }
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.waiting).poll(cx)
    }
}

impl fmt::Debug for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained").finish_non_exhaustive()
    }
}

impl Empties for Arc<Shared> {
    fn join(&self, waker: Waker) -> Result<usize, Waker> {
        self.with(
            |state, _| {
                if state.queue.is_drained() { Err(waker) } else { Ok(state.drains.join(waker)) }
            },
        )
    }

    fn look(&self, key: usize, waker: Waker) -> (bool, Waker) {
        self.with(|state, _| state.drains.look(key, waker))
    }

    fn forget(&self, key: usize) -> Option<Waker> {
        self.with(|state, _| state.drains.forget(key))
    }
}
