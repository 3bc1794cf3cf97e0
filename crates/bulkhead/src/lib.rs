#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admit;
mod bulkhead;
mod clock;
mod compartments;
mod error;
mod keyed;
#[cfg(all(test, tidegate_loom))]
mod loom_model;
mod order;
mod priority;
mod state;

pub use self::{
    admit::{
        By, Enter, Entering, Extract, Held, NoKey, NormalPriority, One, Outcome, Rejected, Reserve,
        Waits,
    },
    bulkhead::{
        Acquire, Ask, Bulkhead, BulkheadBuilder, DEFAULT_MAX_WAITING, DEFAULT_PATIENCE, Drained,
        Event, Permit, PermitRef, Reservation, Stats,
    },
    compartments::{Compartments, CompartmentsBuilder},
    error::{AcquireError, ConfigError, TryAcquireError, UnknownCompartment},
    keyed::{
        DEFAULT_MAX_KEYS, KeyedAcquire, KeyedBulkhead, KeyedBulkheadBuilder, KeyedPermit,
        KeyedStats,
    },
    order::{CoDel, Order},
    priority::Priority,
};
