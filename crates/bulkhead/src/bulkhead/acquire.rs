//! Waiting for permits.

use super::{Ask, Permit, place::Place, shared::Shared};
use crate::{AcquireError, Entering};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tidegate_core::{inspect::Waiting, sync::Arc};
use tokio::{
    task::coop::{Coop, cooperative, unconstrained},
    time::{Sleep, sleep_until},
};

pin_project! {
    /// The future of [`Bulkhead::acquire`](crate::Bulkhead::acquire).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: see [`Bulkhead::acquire`](crate::Bulkhead::acquire). Tested by
    /// `acquire_gives_up_everything_at_every_await`.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        #[pin]
        waiting: Waiting<Coop<Timed>>,
    }
}

impl Acquire {
    #[track_caller]
    pub(super) fn new(shared: &Arc<Shared>, ask: Ask) -> Self {
        let timed = Timed { place: Place::new(Arc::clone(shared), ask), sleep: None };
        // A task that is never made to wait is made to let others run, as by tokio's semaphore.
        Self { waiting: shared.face.resource.waiting("permits", cooperative(timed)) }
    }

    /// Takes a place in the line before the first poll, unless it enters at once.
    #[track_caller]
    pub(super) fn join(shared: &Arc<Shared>, ask: Ask) -> Entered<Self> {
        let mut place = Place::new(Arc::clone(shared), ask);
        if let Poll::Ready(end) = place.enter() {
            return end.map(Entering::Now);
        }
        let timed = cooperative(Timed { place, sleep: None });
        Ok(Entering::Waits(Self { waiting: shared.face.resource.waiting("permits", timed) }))
    }
}

/// What has become of it, or its place.
type Entered<W> = Result<Entering<Permit, W>, AcquireError>;

impl Future for Acquire {
    type Output = Result<Permit, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().waiting.poll(cx)
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}

pin_project! {
    /// A place in the line, and when it has to have entered.
    struct Timed {
        place: Place,
        // Only of a place that waits, and not for ever.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Future for Timed {
    type Output = Result<Permit, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let end = Pin::new(&mut *this.place).poll(cx);
        let Some(deadline) = this.place.deadline().filter(|_| end.is_pending()) else { return end };
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(deadline)));
        }
        // It was asked for its unit of the budget already.
        let poll = |sleep| pin!(unconstrained(sleep)).poll(cx);
        let sleep = this.sleep.as_pin_mut().map(poll);
        if sleep.is_some_and(|sleep| sleep.is_ready()) { this.place.expire() } else { end }
    }
}

/// A place in the line of a bulkhead without a timer: nothing ends the wait but permits, or closing.
#[must_use = "a place that is dropped is left"]
pub struct Reservation {
    waiting: Waiting<Place>,
}

impl Reservation {
    #[track_caller]
    pub(super) fn join(shared: &Arc<Shared>, ask: Ask) -> Entered<Self> {
        let mut place = Place::new(Arc::clone(shared), ask.unbounded());
        if let Poll::Ready(end) = place.enter() {
            return end.map(Entering::Now);
        }
        Ok(Entering::Waits(Self { waiting: shared.face.resource.waiting("permits", place) }))
    }
}

impl Future for Reservation {
    type Output = Result<Permit, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.waiting).poll(cx)
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}
