//! A clock that is moved by hand.

use super::Clock;
use crate::state::nanos;
use std::{sync::Arc, time::Duration};
use tidegate_core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

/// A clock that stands still until it is moved, for tests and simulations. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use tidegate_breaker::{Breaker, ManualClock, Trip};
/// use tidegate_core::Backoff;
///
/// let clock = ManualClock::new();
/// let breaker = Breaker::builder("db")
///     .trip(Trip::consecutive_failures(1))
///     .open_wait(Backoff::constant(Duration::from_secs(10)))
///     .clock(clock.clone())
///     .build()
///     .unwrap();
/// breaker.try_enter().unwrap().failure();
/// assert!(breaker.try_enter().is_err());
/// clock.advance(Duration::from_secs(10));
/// assert!(breaker.try_enter().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Now>);

#[derive(Debug)]
struct Now(AtomicU64);

impl Default for Now {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl ManualClock {
    /// A clock that shows its origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock ahead, at most to its end.
    pub fn advance(&self, by: Duration) {
        let ahead = |now: u64| Some(now.saturating_add(nanos(by)));
        let _ = self.0.0.fetch_update(AcqRel, Relaxed, ahead);
    }

    /// Sets the clock to a time since its origin; this may be back.
    pub fn set(&self, to: Duration) {
        self.0.0.swap(nanos(to), AcqRel);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        // As time has one order for all, so have readings and moves: each of them is a write, which reads the last one and
        // has seen what came before it. That is what acquire and release are; there is no other variable to agree on.
        self.0.0.fetch_add(0, AcqRel)
    }
}
