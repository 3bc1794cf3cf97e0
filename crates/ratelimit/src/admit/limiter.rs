//! The limiter without keys.

use super::{Admit, Denied, Queue, Reserve, Reserved};
use crate::{Clock, RateLimiter, Reservation, clock::TokioClock};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tidegate_core::inspect::Waiting;

impl<C: Clock> Admit<()> for RateLimiter<C> {
    fn admit(&self, (): (), cost: u64) -> Result<(), Denied> {
        self.try_acquire(cost)?;
        Ok(())
    }
}

impl<C: Clock> Queue<()> for RateLimiter<C> {
    type Place = Queued<C>;

    fn join(
        &self,
        (): (),
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Option<Queued<C>>, Denied> {
        let mut reservation = match within {
            Some(within) => self.reserve_within(cost, within)?,
            None => self.reserve(cost)?,
        };
        if reservation.is_ready() {
            reservation.spend();
            return Ok(None);
        }
        let place = self.resource().waiting("tokens", Place(Some(reservation)));
        Ok(Some(Queued { place }))
    }
}

impl<C: Clock> Reserve for RateLimiter<C> {
    type Reserved = Reservation<C>;

    fn reserve(&self, cost: u64) -> Result<Reservation<C>, Denied> {
        Ok(Self::reserve(self, cost)?)
    }
}

impl<C: Clock> Reserved for Reservation<C> {
    fn is_ready(&mut self) -> bool {
        Self::is_ready(self)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        Self::poll_ready(self, cx).map_err(Denied::from)
    }

    fn spend(self) {
        let spent = self.commit();
        debug_assert!(spent.is_ok(), "only tokens that are there can be spent");
    }
}

pin_project! {
    /// A place in the line of a [`RateLimiter`], from when it was joined on. [Inspection] shows whoever waits
    /// for it.
    ///
    /// [Inspection]: tidegate_core::inspect
    #[must_use = "a place that is dropped is left"]
    pub struct Queued<C = TokioClock>
    where
        C: Clock,
    {
        #[pin]
        place: Waiting<Place<C>>,
    }
}

impl<C: Clock> Future for Queued<C> {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().place.poll(cx)
    }
}

impl<C: Clock> fmt::Debug for Queued<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued").finish_non_exhaustive()
    }
}

struct Place<C: Clock>(Option<Reservation<C>>);

impl<C: Clock> Future for Place<C> {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reservation = self.0.as_mut().expect("polled after it was ready");
        let passes = ready!(Reserved::poll_ready(reservation, cx));
        if let (Ok(()), Some(reservation)) = (passes, self.0.take()) {
            reservation.spend();
        }
        Poll::Ready(passes)
    }
}
