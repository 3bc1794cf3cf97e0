//! The limiter without keys.

use super::{Admit, Denied, Queue, Queued, Reserve, Reserved};
use crate::{Clock, RateLimiter, Reservation};
use std::{
    task::{Context, Poll},
    time::Duration,
};

impl<C: Clock> Admit<()> for RateLimiter<C> {
    fn admit(&self, (): (), cost: u64) -> Result<(), Denied> {
        self.try_acquire(cost)?;
        Ok(())
    }
}

impl<C: Clock> Queue<()> for RateLimiter<C> {
    type Place = Queued<Reservation<C>>;

    fn join(
        &self,
        (): (),
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Option<Self::Place>, Denied> {
        let reservation = match within {
            Some(within) => self.reserve_within(cost, within)?,
            None => self.reserve(cost)?,
        };
        Ok(Queued::unless_ready(reservation, self.resource()))
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
