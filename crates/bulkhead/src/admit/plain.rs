//! The bulkhead without keys.

use super::{Enter, Entering, Rejected, Reserve};
use crate::{Acquire, AcquireError, Ask, Bulkhead, Permit, bulkhead::Reservation};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

impl Enter<()> for Bulkhead {
    type Permit = Permit;
    type Waiting = Waits<Acquire>;

    #[inline]
    fn try_enter(&self, (): (), weight: u32) -> Result<Permit, Rejected> {
        Ok(self.try_acquire_many(weight)?)
    }

    #[inline]
    fn enter_now(&self, (): &(), weight: u32) -> Option<Permit> {
        self.take_now(weight)
    }

    fn enter(&self, (): (), ask: Ask) -> Result<Entering<Permit, Waits<Acquire>>, Rejected> {
        Ok(match self.join(ask)? {
            Entering::Now(permit) => Entering::Now(permit),
            Entering::Waits(place) => Entering::Waits(Waits { place }),
        })
    }
}

impl Reserve for Bulkhead {
    type Permit = Permit;
    type Waiting = Waits<Reservation>;

    #[inline]
    fn reserve_now(&self) -> Option<Permit> {
        self.take_now(1)
    }

    fn reserve(&self) -> Result<Entering<Permit, Waits<Reservation>>, Rejected> {
        Ok(match self.reserve_one()? {
            Entering::Now(permit) => Entering::Now(permit),
            Entering::Waits(place) => Entering::Waits(Waits { place }),
        })
    }
}

pin_project! {
    /// A place in the line of a bulkhead, with the errors of a layer.
    #[must_use = "a place that is dropped is left"]
    pub struct Waits<F> {
        #[pin]
        place: F,
    }
}

impl<P, F: Future<Output = Result<P, AcquireError>>> Future for Waits<F> {
    type Output = Result<P, Rejected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().place.poll(cx).map_err(Rejected::from)
    }
}

impl<F> fmt::Debug for Waits<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").finish_non_exhaustive()
    }
}
