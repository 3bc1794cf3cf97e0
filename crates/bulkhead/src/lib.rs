#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admit;
mod bulkhead;
mod clock;
mod compartments;
mod drains;
mod error;
#[cfg(feature = "tower")]
mod future;
#[cfg(feature = "http")]
pub mod http;
mod keyed;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(all(test, tidegate_loom))]
mod loom_model;
mod order;
mod priority;
#[cfg(feature = "tower")]
mod service;
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
    state::adaptive::{Aimd, Gradient2, Limit, LimitAlgorithm, Sample, Vegas},
};
#[cfg(feature = "tower")]
pub use self::{
    future::{ResponseFuture, WaitFuture},
    layer::{BulkheadLayer, Permitted},
    service::{BulkheadError, BulkheadService},
};
