//! The limiter: one handle for all who share it.

mod acquire;
mod builder;
mod driver;
mod event;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
mod permit;
mod reservation;
mod shared;
mod stats;
mod ticket;
mod waiters;

pub use self::{
    acquire::Acquire,
    builder::{DEFAULT_MAX_WAITERS, RateLimiterBuilder},
    event::Event,
    permit::Permit,
    reservation::Reservation,
    stats::{Peek, Stats},
};

pub(crate) use self::{
    acquire::Bound, event::Observer, shared::Shared, ticket::Ticket, waiters::time_between,
};
use crate::{
    AcquireError, ConfigError, Limit, Quota, Rate, TryAcquireError,
    clock::{Clock, TokioClock},
};
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::{Name, inspect::Resource};
use tokio::time::Instant;

/// Lets pass what a quota allows: in any time `t` at most `burst + rate * t`, whoever asks, and however.
///
/// Clones share one limiter. See the [crate](crate) for what to use when.
pub struct RateLimiter<C: Clock = TokioClock> {
    shared: Arc<Shared<C>>,
}

impl RateLimiter {
    /// A limiter on tokio's clock, to be built: of a [`Rate`], a [`Quota`], or a
    /// [`SlidingWindow`](crate::SlidingWindow).
    pub fn builder(limit: impl Into<Limit>) -> RateLimiterBuilder {
        RateLimiterBuilder::new(limit.into())
    }
}

impl<C: Clock> RateLimiter<C> {
    /// Takes `n` tokens, or none. Does not overtake anybody who waits. Taking none always succeeds.
    ///
    /// # Errors
    ///
    /// If there are too few, or if others wait: when to ask again.
    #[inline]
    pub fn try_acquire(&self, n: u64) -> Result<Permit<'_, C>, TryAcquireError> {
        self.shared.try_take(n).map(|taken_at| Permit::new(self, n, taken_at))
    }

    /// Waits for `n` tokens. First come, first served: however much one asks for, nobody who comes later
    /// is served before.
    ///
    /// It needs no task to be polled but the one that waits for it: who is ahead is served in time
    /// whether or not it is polled.
    ///
    /// # Errors
    ///
    /// If it would never pass, or if as many wait as may.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: it leaves the line, and what was taken for it already is given back,
    /// both in constant time. Its place in the line is lost; a [reservation](Self::reserve) keeps its. Tested
    /// by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire(&self, n: u64) -> Acquire<'_, C> {
        Acquire::new(self, n, Bound::None)
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
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_within(&self, n: u64, timeout: Duration) -> Acquire<'_, C> {
        Acquire::new(self, n, Bound::Within(timeout))
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
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_until(&self, n: u64, deadline: Instant) -> Acquire<'_, C> {
        Acquire::new(self, n, Bound::Until(deadline))
    }

    /// Sets `n` tokens aside, now or as soon as they are there, without waiting: a place in the line.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn reserve(&self, n: u64) -> Result<Reservation<C>, AcquireError> {
        Reservation::new(self, n, None)
    }

    /// The same, if they are there within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn reserve_within(
        &self,
        n: u64,
        timeout: Duration,
    ) -> Result<Reservation<C>, AcquireError> {
        Reservation::new(self, n, Some(timeout))
    }

    /// Changes the rate, at once and for all who wait. What was taken stays taken: tokens that are missing
    /// from a burst come back at the new rate. With several limits, it is the first whose rate changes.
    ///
    /// The rate of a strict window is its count per its length. What passed before counts in the new
    /// one, as far as it did in the old one.
    ///
    /// # Errors
    ///
    /// If it cannot be kept to; then nothing has changed.
    pub fn set_rate(&self, rate: Rate) -> Result<(), ConfigError> {
        self.shared.change(|limit| Ok(limit.with_rate(rate)))
    }

    /// Changes the burst, at once and for all who wait. What was taken stays taken: a burst that is larger
    /// by ten makes ten more tokens, and one that is smaller takes them away, or owes them. With several
    /// limits, it is the first whose burst changes.
    ///
    /// # Errors
    ///
    /// If it cannot be kept to, or if the limit is a strict window, which has no burst; then nothing has
    /// changed.
    pub fn set_burst(&self, burst: u64) -> Result<(), ConfigError> {
        self.shared.change(|limit| limit.with_burst(burst))
    }

    /// Changes rate and burst in one step, at once and for all who wait: nobody is served, or fails, by the
    /// one with the other as it was. What was taken stays taken, as with [`set_rate`](Self::set_rate) and
    /// [`set_burst`](Self::set_burst). With several limits, it is the first that changes.
    ///
    /// # Errors
    ///
    /// If it cannot be kept to, or if the limit is a strict window, which has no burst; then nothing has
    /// changed.
    pub fn set_quota(&self, quota: impl Into<Quota>) -> Result<(), ConfigError> {
        let quota = quota.into();
        self.shared.change(|limit| limit.with_quota(quota))
    }

    /// The rate and burst; the first of them, where there are [several](RateLimiterBuilder::also). Those of
    /// a strict window are as [`Limit::quota`] says.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.shared.limit().quota()
    }

    /// What waits for tokens waits for this.
    pub(crate) fn resource(&self) -> &Resource {
        &self.shared.resource
    }

    /// What could be taken now, without taking it.
    #[must_use]
    pub fn peek(&self) -> Peek {
        self.shared.peek()
    }

    /// How the limiter stands, and what those who waited have come to.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// The clock it goes by.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.shared.clock
    }
}

impl<C: Clock> Clone for RateLimiter<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: Clock> fmt::Debug for RateLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared } = self;
        f.debug_struct("RateLimiter")
            .field("name", &shared.name)
            .field("limit", &shared.limit())
            .finish_non_exhaustive()
    }
}

/// A deadline of the limiter's clock.
pub(crate) fn deadline(within: Option<Duration>) -> impl FnOnce(u64) -> u64 {
    move |now| {
        let within = within.and_then(|within| u64::try_from(within.as_nanos()).ok());
        within.map_or(u64::MAX, |within| now.saturating_add(within))
    }
}
