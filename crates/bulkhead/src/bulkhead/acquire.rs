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
    time::{Instant, Sleep, sleep_until},
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
        poll_timed(this.place, cx, |alarm, cx| {
            if this.sleep.is_none() {
                this.sleep.set(Some(sleep_until(alarm)));
            }
            let sleep = this.sleep.as_mut().as_pin_mut();
            sleep.map_or(Poll::Pending, |sleep| poll_sleep(sleep, alarm, cx))
        })
    }
}

/// Polls a place, and what it has to be told when it is time.
fn poll_timed(
    place: &mut Place,
    cx: &mut Context<'_>,
    mut poll_sleep: impl FnMut(Instant, &mut Context<'_>) -> Poll<()>,
) -> Poll<Result<Permit, AcquireError>> {
    let mut end = Pin::new(&mut *place).poll(cx);
    let mut rang = None;
    while let Some(alarm) = place.alarm().filter(|_| end.is_pending()) {
        // A limit that is due for ever is not asked for ever.
        if rang == Some(alarm) || poll_sleep(alarm, cx).is_pending() {
            break;
        }
        end = place.rings(cx.waker());
        rang = Some(alarm);
    }
    end
}

fn poll_sleep(mut sleep: Pin<&mut Sleep>, alarm: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if sleep.deadline() != alarm {
        sleep.as_mut().reset(alarm);
    }
    // The place was asked for its unit of the budget already.
    pin!(unconstrained(sleep)).poll(cx)
}

/// A place in the line of a bulkhead for as long as it takes: nothing ends the wait but permits, or closing.
#[must_use = "a place that is dropped is left"]
pub struct Reservation {
    waiting: Waiting<Untimed>,
}

impl Reservation {
    #[track_caller]
    pub(super) fn join(shared: &Arc<Shared>, ask: Ask) -> Entered<Self> {
        let mut place = Place::new(Arc::clone(shared), ask.unbounded());
        if let Poll::Ready(end) = place.enter() {
            return end.map(Entering::Now);
        }
        let untimed = Untimed { place, sleep: None };
        Ok(Entering::Waits(Self { waiting: shared.face.resource.waiting("permits", untimed) }))
    }
}

/// A place in the line, which needs a timer only while the limit may change by itself.
struct Untimed {
    place: Place,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Untimed {
    type Output = Result<Permit, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { place, sleep } = self.get_mut();
        poll_timed(place, cx, |alarm, cx| {
            let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(alarm)));
            poll_sleep(sleep.as_mut(), alarm, cx)
        })
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
