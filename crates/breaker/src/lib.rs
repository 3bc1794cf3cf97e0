#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod breaker;
mod classify;
pub mod clock;
mod error;
pub mod state;

pub use self::{
    breaker::{Breaker, BreakerBuilder, Call, Event, Handle, Stats, Ticket},
    classify::{ByResult, Classify, Verdict},
    clock::{Clock, ManualClock, TokioClock},
    error::{BreakerError, ConfigError, Open},
    state::{Cause, Change, HalfOpen, Recorded, Settings, State, Tally, Trip, Window},
};
