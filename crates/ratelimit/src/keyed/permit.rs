//! Leave to go on.

use super::{KeyedLimiter, request::Source};
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
    source: Source,
}

impl<'a, K, C: Clock, S> KeyedPermit<'a, K, C, S> {
    pub(super) fn new(
        limiter: &'a KeyedLimiter<K, C, S>,
        key: &'a K,
        cost: u64,
        source: Source,
    ) -> Self {
        Self { limiter, key, cost, source }
    }

    /// How many tokens were taken.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Gives the tokens back: what they were for has not happened. Whoever waits for the key may pass by
    /// it; there are never more tokens than a burst.
    pub fn refund(self)
    where
        K: Hash + Eq + Clone,
        S: BuildHasher,
    {
        self.limiter.give_back(self.key, self.cost, self.source);
    }
}

impl<K, C: Clock, S> fmt::Debug for KeyedPermit<'_, K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPermit").field("cost", &self.cost).finish_non_exhaustive()
    }
}
