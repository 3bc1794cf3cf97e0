//! One limit for each key.

mod acquire;
mod builder;
mod cell;
mod claim;
mod error;
mod front;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
mod permit;
mod request;
mod reservation;
mod shards;
mod stats;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;

pub use self::{
    acquire::KeyedAcquire,
    builder::{DEFAULT_MAX_KEYS, KeyedLimiterBuilder, OnFull},
    error::{AcquireKeyError, TryAcquireKeyError},
    permit::KeyedPermit,
    reservation::KeyedReservation,
    stats::KeyedStats,
};

use self::{
    request::{Outcome, Request, Source, Taken, refused},
    shards::Shards,
};
use crate::{
    ConfigError, Peek, Quota,
    clock::{Clock, TokioClock},
    limiter::Bound,
};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};
use tidegate_core::{Name, inspect::Resource};
use tokio::time::Instant;

/// Lets pass what a quota allows to each key: each client, tenant, address or route, say. Clones share one.
///
/// ```
/// use tidegate_ratelimit::{KeyedLimiter, Quota, Rate};
///
/// let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(10), 3)).build().unwrap();
/// let (ann, bob) = ("ann".to_owned(), "bob".to_owned());
/// for _ in 0..3 {
///     assert!(limiter.try_acquire(&ann, 1).is_ok());
/// }
/// let denied = limiter.try_acquire(&ann, 1).unwrap_err();
/// assert!(denied.retry_after().is_some());
/// assert!(limiter.try_acquire(&bob, 1).is_ok());
/// ```
///
/// # Memory
///
/// There are never more keys than [`max_keys`](KeyedLimiterBuilder::max_keys). Those whose tokens have all
/// come back are taken out, in passing, some with each request: a key that is not there has a full cell, so
/// that nothing is lost by it, and no task has to see to it. As long as an eighth of the places is free, they
/// stay for a tenth of a second, as who comes more often is found sooner than added again; where there is
/// less room, they go at once if their place is wanted. Only if all keys in the table owe something is
/// there no room for a new one, and [`on_full`](KeyedLimiterBuilder::on_full) says what happens to it. A
/// request looks at 256 cells for room at most, and takes constant time therefore: with more keys than
/// that it may be turned away although one of the others has just become full. Keys with a rate of zero
/// that have taken something stay.
///
/// A key takes its own size and eight bytes for its cell, rounded up to a multiple of eight, two for its tag,
/// up to four for its place, and up to a twelfth of that for growth: 21 to 24 bytes for a `u64`. One byte more, if there is a [quota for each
/// key](KeyedLimiterBuilder::quota_for), and about 150 if one of these is not among the first 64 that are
/// in use in its table, or if its numbers do not fit 63 bits: with a burst that takes longer than that to
/// come back, in nanoseconds times the rate in lowest terms. What somebody waits for takes a limiter of its
/// own for that time. The table keeps its size until nearly half of its keys have gone: until then there may be up
/// to twice as much for each one that is left, about 45 bytes for a `u64`.
///
/// # Several limits
///
/// For ten a second *and* a thousand an hour, ask one limiter after the other, and give back what the first
/// has let pass if the second does not:
///
/// ```
/// use tidegate_ratelimit::{KeyedLimiter, Quota, Rate, TryAcquireKeyError};
///
/// let second = KeyedLimiter::builder(Quota::new(Rate::per_second(10), 10)).build().unwrap();
/// let hour = KeyedLimiter::builder(Quota::new(Rate::per_hour(1000), 1000)).build().unwrap();
///
/// let check = |user: &u64| -> Result<(), TryAcquireKeyError> {
///     let permit = second.try_acquire(user, 1)?;
///     if let Err(denied) = hour.try_acquire(user, 1) {
///         permit.refund();
///         return Err(denied);
///     }
///     Ok(())
/// };
/// assert!(check(&7).is_ok());
/// ```
///
/// A key takes the bytes of both then, as it would with both numbers in one table. To wait for all of them,
/// [reserve](Self::reserve) in each, and commit once all are ready.
///
/// # Keys
///
/// Hashing, cloning and dropping keys may do anything. Comparing them happens with a lock held, so that it
/// must not use the same limiter. A panic in any of them leaves the limiter as it was.
pub struct KeyedLimiter<K, C: Clock = TokioClock, S = RandomState> {
    shards: Arc<Shards<K, C, S>>,
}

impl<K: Hash + Eq + Clone> KeyedLimiter<K> {
    /// A limiter of that quota for each key, on tokio's clock, to be built.
    pub fn builder(quota: impl Into<Quota>) -> KeyedLimiterBuilder<K> {
        KeyedLimiterBuilder::new(quota.into())
    }
}

impl<K, C, S> KeyedLimiter<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    /// Takes `n` tokens of a key, or none. Does not overtake anybody who waits for the same key. Taking none
    /// always succeeds.
    ///
    /// # Errors
    ///
    /// If there are too few, or if others wait: when to ask again. If the key is new and there is no room
    /// for it, or its quota is not usable.
    #[inline]
    pub fn try_acquire<'a>(
        &'a self,
        key: &'a K,
        n: u64,
    ) -> Result<KeyedPermit<'a, K, C, S>, TryAcquireKeyError> {
        match self.shards.take_plainly(key, n) {
            ControlFlow::Break(taken) => Ok(KeyedPermit::new(self, key, n, taken)),
            ControlFlow::Continue(request) => self.try_acquire_slowly(request),
        }
    }

    #[cold]
    fn try_acquire_slowly<'a>(
        &'a self,
        mut request: Request<'a, K>,
    ) -> Result<KeyedPermit<'a, K, C, S>, TryAcquireKeyError> {
        let Request { key, cost: n, quota, .. } = request;
        let (source, at) = match self.shards.ask(&mut request)? {
            Outcome::Passes(source) => (source, request.now),
            Outcome::Refused(refusal, left) => {
                return Err(refused(request.now, refusal, left, n).into());
            }
            Outcome::Owned(owner, source) => {
                let taken = owner.try_take(n);
                if source == Source::Key {
                    // Nobody waits if it passes: then others have it at hand.
                    if taken.is_ok() {
                        self.shards.keep_at_hand(&request, owner);
                    } else {
                        drop(owner);
                        self.shards.settle(&request);
                    }
                }
                (source, taken?)
            }
        };
        Ok(KeyedPermit::new(self, key, n, Taken { source, at, quota }))
    }

    /// Waits for `n` tokens of a key. First come, first served, among those who wait for the same key.
    ///
    /// # Errors
    ///
    /// If it would never pass, or if as many wait as may. If the key is new and there is no room for it, or
    /// its quota is not usable.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: it leaves the line, and what was taken for it already is given back.
    /// Its place in the line is lost. Tested by `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire<'a>(&'a self, key: &'a K, n: u64) -> KeyedAcquire<'a, K, C, S> {
        KeyedAcquire::new(self, key, n, Bound::None)
    }

    /// The same, but not for longer than `timeout`. If that is too short, it says so at once instead of
    /// waiting.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and if it would pass too late.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_within<'a>(
        &'a self,
        key: &'a K,
        n: u64,
        timeout: Duration,
    ) -> KeyedAcquire<'a, K, C, S> {
        KeyedAcquire::new(self, key, n, Bound::Within(timeout))
    }

    /// The same, with a deadline of tokio's clock.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_until<'a>(
        &'a self,
        key: &'a K,
        n: u64,
        deadline: Instant,
    ) -> KeyedAcquire<'a, K, C, S> {
        KeyedAcquire::new(self, key, n, Bound::Until(deadline))
    }

    /// Sets `n` tokens of a key aside, now or as soon as they are there, without waiting: a place in its
    /// line. Whoever decides not to use them drops it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_ratelimit::{KeyedLimiter, ManualClock, Quota, Rate};
    ///
    /// let clock = ManualClock::new();
    /// let quota = Quota::new(Rate::per_second(1), 1);
    /// let limiter = KeyedLimiter::builder(quota).clock(clock.clone()).build().unwrap();
    /// let now = limiter.reserve("ann", 1).unwrap();
    /// let mut later = limiter.reserve("ann", 1).unwrap();
    /// assert_eq!(later.delay(), Duration::from_secs(1));
    /// drop(now); // it is given back, and the next one has it
    /// assert!(later.is_ready());
    /// later.commit().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn reserve(&self, key: K, n: u64) -> Result<KeyedReservation<K, C, S>, AcquireKeyError> {
        KeyedReservation::new(self, key, n, Bound::None)
    }

    /// The same, if they are there within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn reserve_within(
        &self,
        key: K,
        n: u64,
        timeout: Duration,
    ) -> Result<KeyedReservation<K, C, S>, AcquireKeyError> {
        KeyedReservation::new(self, key, n, Bound::Within(timeout))
    }

    /// What the limit of a key would say, without taking anything.
    ///
    /// # Errors
    ///
    /// If the quota of the key is not usable.
    pub fn peek(&self, key: &K) -> Result<Peek, ConfigError> {
        self.shards.peek(&self.shards.request(key, 0))
    }

    /// Forgets what a key has taken. Who waits for it passes, as far as a burst goes.
    ///
    /// What was taken until then is not given back any more, neither of this key nor of others in the same
    /// table, which is of 8192 keys: it is forgotten, too, which of them it was.
    pub fn reset(&self, key: &K) {
        self.shards.reset(&self.shards.request(key, 0));
    }
}

impl<K, C: Clock, S> KeyedLimiter<K, C, S> {
    /// Changes the quota of all keys, at once and for all who wait. What was taken stays taken: tokens that
    /// are missing from a burst come back at the new rate. Keys that have a [quota of their
    /// own](KeyedLimiterBuilder::quota_for) keep it. Takes time in proportion to the keys.
    ///
    /// # Errors
    ///
    /// If it cannot be kept to; then nothing has changed.
    pub fn set_quota(&self, quota: impl Into<Quota>) -> Result<(), ConfigError> {
        self.shards.change(quota.into())
    }

    /// The quota of all keys that have none of their own.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.shards.quota()
    }

    /// How many keys are in the table: those that owe something, and some that did.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there is no key in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out all keys whose cells are full, and gives back what memory they took; says how many. There
    /// is no need for it: some are taken out with each request. Takes time in proportion to the keys.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn evict(&self) -> usize {
        self.shards.evict()
    }

    /// What waits for tokens waits for this.
    pub(crate) fn resource(&self) -> &Resource {
        &self.shards.resource
    }

    /// How the limiter stands. Takes time in proportion to the number of tables, one for 8192 keys.
    #[must_use]
    pub fn stats(&self) -> KeyedStats {
        self.shards.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shards.name
    }

    /// The clock it goes by.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.shards.clock
    }
}

impl<K, C: Clock, S> Clone for KeyedLimiter<K, C, S> {
    fn clone(&self) -> Self {
        Self { shards: Arc::clone(&self.shards) }
    }
}

impl<K, C: Clock, S> fmt::Debug for KeyedLimiter<K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter")
            .field("name", &self.shards.name)
            .field("quota", &self.quota())
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}
