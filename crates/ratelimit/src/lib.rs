#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admit;
pub mod clock;
mod error;
pub mod fleet;
#[cfg(feature = "tower")]
mod future;
#[cfg(feature = "http")]
pub mod http;
mod keyed;
#[cfg(feature = "tower")]
pub mod layer;
mod limit;
mod limiter;
#[cfg(all(test, tidegate_loom))]
mod loom_model;
mod rate;
#[cfg(feature = "tower")]
mod service;
#[cfg(feature = "stream")]
mod sink;
pub mod state;
#[cfg(feature = "stream")]
mod stream;

#[cfg(feature = "quanta")]
pub use self::clock::TscClock;
pub use self::{
    admit::{
        Admit, By, Denied, Extract, FromFn, NoKey, One, Queue, Queued, Reserve, Reserved, from_fn,
    },
    clock::{Clock, ManualClock, TokioClock},
    error::{AcquireError, ConfigError, TryAcquireError},
    keyed::{
        AcquireKeyError, DEFAULT_MAX_KEYS, KeyedAcquire, KeyedLimiter, KeyedLimiterBuilder,
        KeyedPermit, KeyedReservation, KeyedStats, OnFull, TryAcquireKeyError,
    },
    limit::{Limit, SlidingWindow},
    limiter::{
        Acquire, DEFAULT_MAX_WAITERS, Event, Peek, Permit, RateLimiter, RateLimiterBuilder,
        Reservation, Stats,
    },
    rate::{Quota, Rate},
};
#[cfg(feature = "tower")]
pub use self::{
    future::{ResponseFuture, WaitFuture},
    layer::RateLimitLayer,
    service::{RateLimit, RateLimitError},
};
#[cfg(feature = "stream")]
pub use self::{
    sink::{RateLimitSinkExt, RateLimitedSink, RateLimitedSinkError},
    stream::{DeniedItem, RateLimitStreamExt, RateLimitedStream},
};
