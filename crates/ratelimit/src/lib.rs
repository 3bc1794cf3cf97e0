#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod clock;
mod error;
mod keyed;
mod limiter;
mod rate;
pub mod state;

pub use self::{
    clock::{Clock, ManualClock, TokioClock},
    error::{AcquireError, ConfigError, TryAcquireError},
    keyed::{
        AcquireKeyError, DEFAULT_MAX_KEYS, KeyedAcquire, KeyedLimiter, KeyedLimiterBuilder,
        KeyedPermit, KeyedStats, OnFull, TryAcquireKeyError,
    },
    limiter::{
        Acquire, DEFAULT_MAX_WAITERS, Peek, Permit, RateLimiter, RateLimiterBuilder, Reservation,
        Stats,
    },
    rate::{Quota, Rate},
};
