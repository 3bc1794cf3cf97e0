//! Leave to go on.

use super::RateLimiter;
use crate::clock::{Clock, TokioClock};
use std::fmt;

/// Leave to go on: the tokens are spent. Where nothing came of it, give them back.
///
/// It is no guard: dropping it gives nothing back, only [`refund`](Self::refund) does.
pub struct Permit<'a, C: Clock = TokioClock> {
    limiter: &'a RateLimiter<C>,
    cost: u64,
}

impl<'a, C: Clock> Permit<'a, C> {
    pub(super) fn new(limiter: &'a RateLimiter<C>, cost: u64) -> Self {
        Self { limiter, cost }
    }

    /// How many tokens were taken.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Gives the tokens back: what they were for has not happened. Whoever waits may pass by it; there
    /// are never more tokens than a burst.
    ///
    /// Give them back soon. Nobody keeps account of when which tokens were taken: if the limiter was full
    /// since, they have come back by themselves already, and as many may pass beyond the limit as are
    /// given back late. That is so of a [`Reservation`](crate::Reservation) that is dropped late, and of
    /// strict windows, too.
    pub fn refund(self) {
        self.limiter.shared.give_back(self.cost);
    }
}

impl<C: Clock> fmt::Debug for Permit<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("cost", &self.cost).finish_non_exhaustive()
    }
}
