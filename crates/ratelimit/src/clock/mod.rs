//! What time it is, and waiting for a time.

mod manual;
mod tokio_clock;
#[cfg(feature = "quanta")]
mod trust;
#[cfg(feature = "quanta")]
mod tsc;

#[cfg(feature = "quanta")]
pub use self::tsc::TscClock;
pub use self::{manual::ManualClock, tokio_clock::TokioClock};

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A clock that limiters go by.
///
/// Times are nanoseconds since an origin of the clock's choice: 64 bits last 584 years. A clock should
/// not go back; where one does, limiters gain nothing by it and are empty at worst. There is one exception: if it
/// goes back by less than a burst takes to come, and a limiter has not been asked for more than plain permits
/// since, then tokens are given back as if they had been taken later, by as much.
pub trait Clock: Send + Sync + 'static {
    /// Waits for times of this clock.
    type Timer: Timer;

    /// The time in nanoseconds. It is asked for with the lock of a limiter held, and must not ask the
    /// limiter anything in turn.
    fn now(&self) -> u64;

    /// A timer that whoever calls this can wait with: one of the runtime that the call is made on,
    /// where a clock needs a runtime to wait.
    ///
    /// # Panics
    ///
    /// If there is no such runtime.
    fn timer(&self) -> Self::Timer;
}

/// A clock that is shared.
impl<C: Clock> Clock for Arc<C> {
    type Timer = C::Timer;

    #[inline]
    fn now(&self) -> u64 {
        C::now(self)
    }

    fn timer(&self) -> C::Timer {
        C::timer(self)
    }
}

/// Waits for a time of a [`Clock`].
pub trait Timer: Send + 'static {
    /// Ready once the time is not before `at`; until then the waker of the last call is woken when it
    /// is. Each call may be for another time. It is called from within wakers, too, and with a lock held
    /// that a limiter needs.
    ///
    /// One that is ready before it is time by [`Clock::now`] keeps those who wait busy until it is.
    fn poll_until(self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether a new timer of the calling thread would be driven by the same runtime as this one.
    fn is_of_caller(&self) -> bool;
}
