#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod clock;
mod error;
mod limit;
mod limiter;
mod rate;
pub mod state;

#[cfg(feature = "quanta")]
pub use self::clock::TscClock;
pub use self::{
    clock::{Clock, ManualClock, TokioClock},
    error::{AcquireError, ConfigError, TryAcquireError},
    limit::{Limit, SlidingWindow},
    limiter::{
        Acquire, DEFAULT_MAX_WAITERS, Event, Peek, Permit, RateLimiter, RateLimiterBuilder,
        Reservation, Stats,
    },
    rate::{Quota, Rate},
};
