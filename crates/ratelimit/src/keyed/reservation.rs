//! Tokens of a key that are set aside.

use super::{KeyedLimiter, claim::Claim, error::AcquireKeyError};
use crate::{
    clock::{Clock, TokioClock},
    limiter::Bound,
};
use std::{
    fmt,
    future::poll_fn,
    hash::{BuildHasher, Hash, RandomState},
    task::{Context, Poll},
    time::Duration,
};

/// Tokens of a key that are set aside, now or once the time comes: a place in its line that needs nobody to
/// wait. Made by [`KeyedLimiter::reserve`].
///
/// Dropped without [`commit`](Self::commit), it leaves the line or gives the tokens back: as many of them as
/// have not come back by themselves since they were taken, as with
/// [`KeyedPermit::refund`](crate::KeyedPermit::refund).
///
/// One that is in the line keeps its key in the table; one that has seen its tokens does not.
#[must_use = "a reservation that is dropped gives its tokens back"]
pub struct KeyedReservation<K, C = TokioClock, S = RandomState>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    limiter: KeyedLimiter<K, C, S>,
    key: K,
    cost: u64,
    claim: Claim<C>,
}

impl<K, C, S> KeyedReservation<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    pub(super) fn new(
        limiter: &KeyedLimiter<K, C, S>,
        key: K,
        cost: u64,
        bound: Bound,
    ) -> Result<Self, AcquireKeyError> {
        let claim = Claim::take(&limiter.shards, &key, cost, bound, None)?;
        Ok(Self { limiter: limiter.clone(), key, cost, claim })
    }

    /// Whose tokens it is for.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }

    /// How many tokens it is for.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// After which time its tokens are there, if nothing changes: none of it, if they are.
    ///
    /// Others that give up their places ahead of it make it less. It takes time in proportion to those
    /// ahead.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.claim.delay()
    }

    /// Waits until its tokens are there.
    ///
    /// # Errors
    ///
    /// If a change of the quota has made it impossible, in time or at all.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the reservation keeps its place. Tested by `a_keyed_reservation_keeps_its_place`.
    pub async fn ready(&mut self) -> Result<(), AcquireKeyError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The same for who polls.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Panics
    ///
    /// As [`ready`](Self::ready).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AcquireKeyError>> {
        self.claim.poll(&self.limiter.shards, &self.key, cx)
    }

    /// Whether its tokens are there.
    #[must_use]
    pub fn is_ready(&mut self) -> bool {
        self.claim.is_ready(&self.limiter.shards, &self.key)
    }

    /// Spends the tokens.
    ///
    /// # Errors
    ///
    /// The reservation itself, if the tokens are not there.
    pub fn commit(mut self) -> Result<(), Self> {
        if !self.is_ready() {
            return Err(self);
        }
        self.claim.spend();
        Ok(())
    }
}

impl<K, C, S> Drop for KeyedReservation<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn drop(&mut self) {
        self.claim.cancel(&self.limiter.shards, &self.key, self.cost);
    }
}

impl<K, C, S> fmt::Debug for KeyedReservation<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cost, claim, .. } = self;
        f.debug_struct("KeyedReservation")
            .field("cost", cost)
            .field("claim", claim)
            .finish_non_exhaustive()
    }
}
