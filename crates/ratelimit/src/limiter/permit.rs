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
    taken_at: u64,
}

impl<'a, C: Clock> Permit<'a, C> {
    pub(super) fn new(limiter: &'a RateLimiter<C>, cost: u64, taken_at: u64) -> Self {
        Self { limiter, cost, taken_at }
    }

    /// How many tokens were taken.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Gives the tokens back: what they were for has not happened. Whoever waits may pass by it.
    ///
    /// However late it is, there are never more tokens than if they had not been taken: of a quota, what has
    /// come at its rate since then is not given back once more, and a strict window gets back what still
    /// counts in it. With several limits it is a part of its own for each. The sooner, the more: after the time
    /// in which so many come back there is nothing to give.
    ///
    /// A few cases in which it is less, or nothing, are those of [`Gcra::give_back`] and
    /// [`Window::give_back`]: above all after the rate was made lower.
    ///
    /// [`Gcra::give_back`]: crate::state::Gcra::give_back
    /// [`Window::give_back`]: crate::state::Window::give_back
    pub fn refund(self) {
        self.limiter.shared.give_back(self.cost, self.taken_at);
    }
}

impl<C: Clock> fmt::Debug for Permit<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("cost", &self.cost).finish_non_exhaustive()
    }
}
