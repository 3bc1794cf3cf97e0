//! What happens to who finds no room.

use crate::{
    Entering, Held, Outcome, Rejected, Reserve,
    admit::{NoKey, NormalPriority, One},
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// It does not enter.
#[derive(Clone, Copy)]
pub struct Reject<B, K = NoKey, N = One> {
    pub(crate) bulkhead: B,
    pub(crate) key: K,
    pub(crate) weight: N,
}

/// It waits in its call.
#[derive(Clone, Copy)]
pub struct Wait<B, K = NoKey, N = One, P = NormalPriority> {
    pub(crate) bulkhead: B,
    pub(crate) key: K,
    pub(crate) weight: N,
    pub(crate) priority: P,
    pub(crate) within: Option<Duration>,
}

/// It waits until the service is ready, which takes a permit.
///
/// | holds | `poll_ready` | `call` | dropped |
/// |---|---|---|---|
/// | nothing | takes a permit, or a place | panics | |
/// | a place | waits | panics | leaves the line |
/// | a permit | is ready | hands it to the call | gives it back |
pub struct Readiness<B: Reserve> {
    pub(crate) bulkhead: B,
    // Apart from each other, since a place is large, and rare.
    pub(crate) permit: Option<B::Permit>,
    pub(crate) place: Option<B::Waiting>,
}

impl<B: Reserve> Readiness<B> {
    pub(super) fn new(bulkhead: B) -> Self {
        Self { bulkhead, permit: None, place: None }
    }

    /// Gives up what it holds. Nothing was called with it, so that it says nothing about calls.
    pub(crate) fn give_up(&mut self) {
        self.place = None;
        if let Some(mut permit) = self.permit.take() {
            permit.ended(Outcome::Ignored);
        }
    }

    /// Waits for a permit in one place.
    #[inline(never)]
    pub(crate) fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejected>> {
        let place = match &mut self.place {
            Some(place) => place,
            None => match self.bulkhead.reserve()? {
                Entering::Now(permit) => {
                    self.permit = Some(permit);
                    return Poll::Ready(Ok(()));
                }
                Entering::Waits(place) => self.place.insert(place),
            },
        };
        let entered = ready!(Pin::new(place).poll(cx));
        self.place = None;
        self.permit = Some(entered?);
        Poll::Ready(Ok(()))
    }
}

impl<B: Reserve> Drop for Readiness<B> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// What a service holds is its own: a clone begins without it.
impl<B: Reserve + Clone> Clone for Readiness<B> {
    fn clone(&self) -> Self {
        Self::new(self.bulkhead.clone())
    }
}

impl<B: fmt::Debug, K, N> fmt::Debug for Reject<B, K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reject").field("bulkhead", &self.bulkhead).finish_non_exhaustive()
    }
}

impl<B: fmt::Debug, K, N, P> fmt::Debug for Wait<B, K, N, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bulkhead, within, .. } = self;
        f.debug_struct("Wait")
            .field("bulkhead", bulkhead)
            .field("within", within)
            .finish_non_exhaustive()
    }
}

impl<B: Reserve + fmt::Debug> fmt::Debug for Readiness<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("bulkhead", &self.bulkhead)
            .field("has_permit", &self.permit.is_some())
            .field("has_place", &self.place.is_some())
            .finish()
    }
}
