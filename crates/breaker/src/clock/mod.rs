//! What time it is.

mod manual;
mod tokio_clock;

pub use self::{manual::ManualClock, tokio_clock::TokioClock};

/// A clock that breakers go by. They only look at it: nobody waits for a breaker.
///
/// Times are nanoseconds since an origin of the clock's choice: 64 bits last 584 years. A clock should not go
/// back; where one does, time stands still for the breaker until it has caught up.
pub trait Clock: Send + Sync + 'static {
    /// The time in nanoseconds. It is asked for with the lock of a breaker held, and must not ask the
    /// breaker anything in turn.
    fn now(&self) -> u64;
}
