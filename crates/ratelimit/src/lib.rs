#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod clock;
mod error;
pub mod fleet;
mod limiter;
mod rate;
pub mod state;

pub use self::{
    clock::{Clock, ManualClock, TokioClock},
    error::{AcquireError, ConfigError, TryAcquireError},
    limiter::{
        Acquire, DEFAULT_MAX_WAITERS, Peek, Permit, RateLimiter, RateLimiterBuilder, Reservation,
        Stats,
    },
    rate::{Quota, Rate},
};
