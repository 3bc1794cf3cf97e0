//! Leave to go on.

use super::{KeyedLimiter, request::Taken};
use crate::clock::{Clock, TokioClock};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

/// Leave to go on: the tokens of the key are spent. Where nothing came of it, give them back.
///
/// It is no guard: dropping it gives nothing back, only [`refund`](Self::refund) does.
pub struct KeyedPermit<'a, K, C: Clock = TokioClock, S = RandomState> {
    limiter: &'a KeyedLimiter<K, C, S>,
    key: &'a K,
    cost: u64,
    taken: Taken,
}

impl<'a, K, C: Clock, S> KeyedPermit<'a, K, C, S> {
    pub(super) fn new(
        limiter: &'a KeyedLimiter<K, C, S>,
        key: &'a K,
        cost: u64,
        taken: Taken,
    ) -> Self {
        Self { limiter, key, cost, taken }
    }

    /// How many tokens were taken.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Gives the tokens back: what they were for has not happened. Whoever waits for the key may pass by it.
    ///
    /// However late it is, the key never has more tokens than if they had not been taken: what has come at its
    /// rate since then is not given back once more, as with [`Permit::refund`](crate::Permit::refund).
    ///
    /// Keys are kept in tables of 8192, which remember little: nothing is given back of what was taken before
    /// the rate was made lower, or before any key in the same table was [reset](KeyedLimiter::reset) or
    /// had the rate of [its own quota](crate::KeyedLimiterBuilder::quota_for) changed.
    pub fn refund(self)
    where
        K: Hash + Eq + Clone,
        S: BuildHasher,
    {
        self.limiter.shards.give_back(self.key, self.cost, self.taken);
    }
}

impl<K, C: Clock, S> fmt::Debug for KeyedPermit<'_, K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPermit").field("cost", &self.cost).finish_non_exhaustive()
    }
}
