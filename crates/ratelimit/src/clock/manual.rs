//! A clock that is moved by hand.

use super::{Clock, Timer};
use slab::Slab;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{
    panic::wake_quietly,
    sync::{Mutex, lock},
};

/// A clock that stands still until it is moved, for tests and simulations. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::{ManualClock, Rate, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::builder(Rate::per_hour(1)).clock(clock.clone()).build().unwrap();
/// assert!(limiter.try_acquire(1).is_ok());
/// assert!(limiter.try_acquire(1).is_err());
/// clock.advance(Duration::from_secs(3600));
/// assert!(limiter.try_acquire(1).is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    now: u64,
    /// Who waits by each timer.
    timers: Slab<Option<Waker>>,
}

impl ManualClock {
    /// A clock that shows its origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.change(|now| now.saturating_add(by));
    }

    /// Sets the clock to a time since its origin; this may be back.
    pub fn set(&self, to: Duration) {
        self.change(|_| u64::try_from(to.as_nanos()).unwrap_or(u64::MAX));
    }

    /// All timers are woken, not only those that are due: one that waits for a time far ahead of a
    /// clock that was set back has to think again.
    fn change(&self, change: impl FnOnce(u64) -> u64) {
        let mut inner = lock(&self.0);
        inner.now = change(inner.now);
        let wakers: Vec<_> =
            inner.timers.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(inner);
        wakers.into_iter().for_each(wake_quietly);
    }
}

impl Clock for ManualClock {
    type Timer = ManualTimer;

    fn now(&self) -> u64 {
        lock(&self.0).now
    }

    fn timer(&self) -> ManualTimer {
        let key = lock(&self.0).timers.insert(None);
        ManualTimer { clock: self.clone(), key }
    }
}

/// A timer of a [`ManualClock`].
#[derive(Debug)]
pub struct ManualTimer {
    clock: ManualClock,
    key: usize,
}

impl Timer for ManualTimer {
    fn poll_until(self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        // Foreign code, as its drop is: not under the lock.
        let waker = cx.waker().clone();
        let mut inner = lock(&self.clock.0);
        if inner.now >= at {
            return Poll::Ready(());
        }
        let before = inner.timers[self.key].replace(waker);
        drop(inner);
        drop(before);
        Poll::Pending
    }

    fn is_of_caller(&self) -> bool {
        true
    }
}

impl Drop for ManualTimer {
    fn drop(&mut self) {
        let waker = lock(&self.clock.0).timers.remove(self.key);
        drop(waker);
    }
}
