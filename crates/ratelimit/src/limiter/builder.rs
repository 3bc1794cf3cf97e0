//! Building a [`RateLimiter`].

use super::{Event, RateLimiter, event::Observer, shared::Shared};
use crate::{
    ConfigError, Limit, SlidingWindow,
    clock::{Clock, TokioClock},
    state::Limits,
};
use std::time::Duration;
use tidegate_core::Name;

/// How many may wait for a limiter, unless told otherwise.
pub const DEFAULT_MAX_WAITERS: usize = 65_536;

/// Builds a [`RateLimiter`]: by [`RateLimiter::builder`].
#[derive(Clone, Debug)]
#[must_use = "a limiter is made by `build`"]
pub struct RateLimiterBuilder<C = TokioClock> {
    name: Name,
    limit: Limit,
    burst: Option<u64>,
    also: Vec<Limit>,
    may_owe: bool,
    max_waiters: usize,
    observer: Observer,
    clock: C,
}

impl RateLimiterBuilder {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            name: "rate limiter".into(),
            limit,
            burst: None,
            also: Vec::new(),
            may_owe: false,
            max_waiters: DEFAULT_MAX_WAITERS,
            observer: Observer::default(),
            clock: TokioClock::new(),
        }
    }
}

impl<C: Clock> RateLimiterBuilder<C> {
    /// The name that [inspection](tidegate_core::inspect) and events know it by; `rate limiter` by default.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How much may pass at once after a quiet time. By default what comes back in 10 ms, at least one.
    ///
    /// A burst of one is a steady pace. Timers have a resolution of a millisecond: who is to wait for
    /// more than a thousand tokens a second needs a burst of what comes back in some milliseconds, or
    /// loses what comes back before it is woken.
    ///
    /// A strict window has no burst: to set one is an error.
    pub fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// A further limit: a request takes its tokens from all of them, or from none. Each call adds one.
    pub fn also(mut self, limit: impl Into<Limit>) -> Self {
        self.also.push(limit.into());
        self
    }

    /// A further limit: never more than `count` in any window of that length. See [`SlidingWindow`].
    pub fn window(self, count: u64, length: Duration) -> Self {
        self.also(SlidingWindow::new(count, length))
    }

    /// Lets what costs more than a burst pass when the limiter is full; it then owes the rest, and who
    /// comes next waits for that, too. Otherwise it is an error.
    pub fn allow_debt(mut self) -> Self {
        self.may_owe = true;
        self
    }

    /// How many may wait at a time; 65 536 by default, and none with 0.
    ///
    /// Whoever was served counts until it learns of it, when it is polled, looked at or dropped: until then it
    /// has a place here. A [reservation](RateLimiter::reserve) that nobody looks at keeps its.
    pub fn max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// Has `observer` called with each [`Event`], without any lock held. It runs within the call that it
    /// is about, or within a timer, so it must be short; a panic of it goes no further. Without one, only
    /// what is rare is looked at twice.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// The clock it goes by; tokio's by default.
    pub fn clock<D: Clock>(self, clock: D) -> RateLimiterBuilder<D> {
        let Self { name, limit, burst, also, may_owe, max_waiters, observer, clock: _ } = self;
        RateLimiterBuilder { name, limit, burst, also, may_owe, max_waiters, observer, clock }
    }

    /// Builds it: full, with nobody waiting.
    ///
    /// # Errors
    ///
    /// If no limiter can keep to a rate or burst: see [`ConfigError`].
    #[track_caller]
    pub fn build(self) -> Result<RateLimiter<C>, ConfigError> {
        let Self { name, limit, burst, also, may_owe, max_waiters, observer, clock } = self;
        let limit = burst.map_or(Ok(limit), |burst| limit.with_burst(burst))?;
        let limits = Limits::new([limit].into_iter().chain(also), may_owe)?;
        Ok(RateLimiter { shared: Shared::new(clock, limits, limit, name, max_waiters, observer) })
    }
}
