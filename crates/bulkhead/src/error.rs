//! What can be wrong with a configuration, and why something does not enter.

use std::{fmt, time::Duration};
use thiserror::Error;
use tidegate_core::Name;

/// A bulkhead that cannot be built, or a change of it that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing would ever enter. To let nothing in any more, close it.
    #[error("the capacity is zero: nothing would ever enter")]
    ZeroCapacity,
    /// A capacity of 2^31 permits or more.
    #[error("a capacity of 2^31 permits or more")]
    CapacityTooLarge,
    /// Everybody would be passed over for too long.
    #[error("the patience is zero: everybody would be the first")]
    ZeroPatience,
    /// Everything would be shed.
    #[error("the interval of CoDel is zero: everything would be shed")]
    ZeroInterval,
    /// A limit has to be able to begin.
    #[error("a limit of {capacity} is not between {min} and {max}")]
    LimitOutOfBounds {
        /// The least.
        min: u32,
        /// What it was to begin with.
        capacity: u32,
        /// The most.
        max: u32,
    },
    /// A setting of a limit is out of its range.
    #[error("the limit cannot have such a `{name}`")]
    LimitSetting {
        /// Which one.
        name: &'static str,
    },
    /// The limit finds its capacity, and would change what it is told.
    #[error("a bulkhead with a limit of its own is not resized")]
    Adapts,
    /// Each key has a capacity of its own, as [`capacity_for`](crate::KeyedBulkheadBuilder::capacity_for) says.
    #[error("each key has a capacity of its own: change what says so, and refresh the key")]
    CapacityByKey,
    /// There would be no key.
    #[error("no key would ever have room")]
    ZeroKeys,
    /// Two compartments have one name.
    #[error("there are two compartments `{name}`")]
    DuplicateCompartment {
        /// The name of both.
        name: Name,
    },
    /// A compartment cannot be built.
    #[error("compartment `{name}`: {error}")]
    Compartment {
        /// Its name.
        name: Name,
        /// Why not.
        error: Box<ConfigError>,
    },
}

/// It does not enter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Too few permits are left, or others wait for them.
    #[error("full: {in_use} of {capacity} in use, {waiting} waiting")]
    Full {
        /// How many permits are in use.
        in_use: u32,
        /// How many there are.
        capacity: u32,
        /// How many wait.
        waiting: usize,
        /// After about this time there may be room, if it is known: see
        /// [`typical_hold`](crate::BulkheadBuilder::typical_hold).
        retry_after: Option<Duration>,
    },
    /// It never enters: there are not as many permits.
    #[error("{weight} never enter: there are {capacity}")]
    TooLarge {
        /// How many were asked for.
        weight: u32,
        /// How many there are.
        capacity: u32,
    },
    /// The bulkhead was closed.
    #[error("closed")]
    Closed,
}

impl TryAcquireError {
    /// After about which time it is worth asking again, if it is known, and if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Full { retry_after, .. } => retry_after,
            Self::TooLarge { .. } | Self::Closed => None,
        }
    }
}

/// It does not enter by waiting, either, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// It never enters: there are not as many permits, or no longer.
    #[error("{weight} never enter: there are {capacity}")]
    TooLarge {
        /// How many were asked for.
        weight: u32,
        /// How many there are.
        capacity: u32,
    },
    /// The bulkhead was closed, before or while it waited.
    #[error("closed")]
    Closed,
    /// As many wait as may.
    #[error("{waiting} wait already")]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// After about this time they have entered, if it is known.
        retry_after: Option<Duration>,
    },
    /// Its time is over.
    #[error("timed out after {waited:?}")]
    TimedOut {
        /// How long it has waited.
        waited: Duration,
        /// After about this time those who wait have entered, if it is known.
        retry_after: Option<Duration>,
    },
    /// Too many have waited for too long: see [`CoDel`](crate::CoDel).
    #[error("shed after {waited:?}")]
    Shed {
        /// How long it has waited.
        waited: Duration,
        /// After about this time those who wait have entered, if it is known.
        retry_after: Option<Duration>,
    },
    /// As many waited as may, and somebody more urgent came.
    #[error("displaced by a more urgent one after {waited:?}")]
    Displaced {
        /// How long it has waited.
        waited: Duration,
        /// After about this time those who wait have entered, if it is known.
        retry_after: Option<Duration>,
    },
}

impl AcquireError {
    /// After about which time it is worth asking again, if it is known, and if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::QueueFull { retry_after, .. }
            | Self::TimedOut { retry_after, .. }
            | Self::Shed { retry_after, .. }
            | Self::Displaced { retry_after, .. } => retry_after,
            Self::TooLarge { .. } | Self::Closed => None,
        }
    }
}

/// There is no compartment of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCompartment {
    pub(crate) name: String,
    pub(crate) known: Vec<Name>,
}

impl UnknownCompartment {
    /// What was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that there are, in order.
    #[must_use]
    pub fn known(&self) -> &[Name] {
        &self.known
    }
}

impl fmt::Display for UnknownCompartment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no compartment `{}`; there ", self.name)?;
        f.write_str(match self.known.len() {
            0 => "are none",
            1 => "is ",
            _ => "are ",
        })?;
        for (n, name) in self.known.iter().enumerate() {
            write!(f, "{}`{name}`", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownCompartment {}
