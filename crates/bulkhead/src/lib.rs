#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bulkhead;
mod clock;
mod error;
#[cfg(all(test, tidegate_loom))]
mod loom_model;
mod order;
mod priority;
mod state;

pub use self::{
    bulkhead::{
        Acquire, Ask, Bulkhead, BulkheadBuilder, DEFAULT_MAX_WAITING, DEFAULT_PATIENCE, Drained,
        Event, Permit, PermitRef, Stats,
    },
    error::{AcquireError, ConfigError, TryAcquireError, UnknownCompartment},
    order::{CoDel, Order},
    priority::Priority,
};
