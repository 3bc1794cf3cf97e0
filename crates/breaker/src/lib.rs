#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod breaker;
mod classify;
pub mod clock;
mod error;
pub mod fleet;
#[cfg(feature = "tower")]
mod future;
mod keyed;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(feature = "tower")]
mod service;
pub mod state;

pub use self::{
    breaker::{Breaker, BreakerBuilder, Call, Event, Handle, Holder, States, Stats, Ticket},
    classify::{ByResult, Classify, Verdict},
    clock::{Clock, ManualClock, TokioClock},
    error::{BreakerError, ConfigError, Open},
    keyed::{
        DEFAULT_FORGET_AFTER, DEFAULT_MAX_KEYS, KeyedBreaker, KeyedBreakerBuilder, KeyedStats,
    },
    state::{Cause, Change, HalfOpen, Recorded, Settings, State, Tally, Trip, Window},
};
#[cfg(feature = "tower")]
pub use self::{future::ResponseFuture, layer::BreakerLayer, service::BreakerService};
