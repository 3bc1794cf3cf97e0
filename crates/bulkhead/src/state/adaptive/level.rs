//! A limit within its bounds.

use crate::{ConfigError, state::Count};

/// The largest limit, unless told otherwise: this, or that with which it begins.
const DEFAULT_MAX: u32 = 1000;

/// The bounds of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
}

/// The settings that all limits have, which are [`Bounds`] where `$bounds` says.
macro_rules! bounds {
    ($($bounds:ident).+) => {
        /// The least; 1 by default. Who asks for more permits at once than there are is turned away: it must not
        /// be less than the most that anybody asks for.
        pub fn min(mut self, min: u32) -> Self {
            self.$($bounds).+.min = min;
            self
        }

        /// The most; 1000 by default, or that with which it begins.
        pub fn max(mut self, max: u32) -> Self {
            self.$($bounds).+.max = Some(max);
            self
        }
    };
}
pub(super) use bounds;

impl Bounds {
    pub(super) fn new() -> Self {
        Self { min: 1, max: None }
    }

    pub(super) fn start(self, capacity: u32) -> Result<Level, ConfigError> {
        let Self { min, max } = self;
        let max = max.unwrap_or_else(|| DEFAULT_MAX.max(capacity));
        if min == 0 {
            return Err(ConfigError::ZeroCapacity);
        }
        if max > Count::MAX {
            return Err(ConfigError::CapacityTooLarge);
        }
        if !(min..=max).contains(&capacity) {
            return Err(ConfigError::LimitOutOfBounds { min, capacity, max });
        }
        let (value, min, max) = (f64::from(capacity), f64::from(min), f64::from(max));
        Ok(Level { value, min, max })
    }
}

/// A limit with a fraction, so that it can change by less than one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    value: f64,
    min: f64,
    max: f64,
}

impl Level {
    pub(super) fn get(self) -> f64 {
        self.value
    }

    /// How many may be in flight.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
    pub(super) fn whole(self) -> u32 {
        self.value as u32
    }

    /// What is no number is the least.
    pub(super) fn set(&mut self, value: f64) {
        self.value = value.max(self.min).min(self.max);
    }

    pub(super) fn is_least(self) -> bool {
        self.value < self.min + 1.0
    }

    /// So many are in flight, which is enough of it that more may be needed: half. What is not used says
    /// nothing about whether there is room for more.
    pub(super) fn is_used(self, in_flight: u32) -> bool {
        f64::from(in_flight) * 2.0 >= self.value
    }

    /// So many in flight, within what may be.
    pub(super) fn within(self, in_flight: f64) -> f64 {
        in_flight.max(self.min).min(self.value)
    }
}
