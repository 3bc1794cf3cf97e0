//! What results a decision looks at.

use super::{
    count::CountRing,
    far::Part,
    tally::{Sample, Tally},
    time::TimeRing,
};
use crate::ConfigError;
use std::time::Duration;

/// The largest count of a [`Window::count`].
pub const MAX_COUNT: u32 = 1 << 20;

/// The largest number of slices of a [`Window::time`].
pub const MAX_SLICES: u32 = 4096;

/// What results count: the last so many, or those of the last so much time. It slides, with each call or with
/// time; nothing is thrown away at once but by a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Count(u32),
    Time { length: Duration, slices: u32 },
}

impl Window {
    /// The last `calls` results: exactly these, two bits each. At most [`MAX_COUNT`].
    #[must_use]
    pub const fn count(calls: u32) -> Self {
        Self(Kind::Count(calls))
    }

    /// The results of the last `length`, which is cut into that many slices, at least 2. It holds those of the slice
    /// that runs now and of those before it: so none is older than `length`, and those of the last `length` less a
    /// slice are always there. More slices make it more exact; a single one would forget everything at once, again and
    /// again. Memory is a few bytes for each slice, at most [`MAX_SLICES`], whatever the number of calls.
    #[must_use]
    pub const fn time(length: Duration, slices: u32) -> Self {
        Self(Kind::Time { length, slices })
    }

    /// How many results there can be; none, if that depends on the callers.
    pub(crate) fn capacity(self) -> Option<u32> {
        match self.0 {
            Kind::Count(calls) => Some(calls),
            Kind::Time { .. } => None,
        }
    }

    /// How long a result stays in it, in nanoseconds; none, if that does not depend on the time.
    pub(crate) fn length(self) -> Option<u64> {
        match self.0 {
            Kind::Count(_) => None,
            Kind::Time { slices, .. } => Some(self.width()?.saturating_mul(slices.into())),
        }
    }

    /// How long a slice is, in nanoseconds; none, if it does not depend on the time.
    pub(crate) fn width(self) -> Option<u64> {
        match self.0 {
            Kind::Count(_) => None,
            Kind::Time { length, slices } => {
                Some(nanos(length).div_ceil(u64::from(slices).max(1)).max(1))
            }
        }
    }

    pub(super) fn check(self) -> Result<(), ConfigError> {
        match self.0 {
            Kind::Count(0) => Err(ConfigError::EmptyWindow),
            Kind::Count(calls) if calls > MAX_COUNT => Err(ConfigError::WindowTooLarge),
            Kind::Time { length, slices } if length.is_zero() || slices == 0 => {
                Err(ConfigError::EmptyWindow)
            }
            Kind::Time { slices: 1, .. } => Err(ConfigError::OneSlice),
            Kind::Time { slices, .. } if slices > MAX_SLICES => Err(ConfigError::WindowTooLarge),
            Kind::Time { length, slices } if nanos(length) < u64::from(slices) => {
                Err(ConfigError::EmptyWindow)
            }
            _ => Ok(()),
        }
    }
}

/// Nanoseconds; five hundred years, if it is more.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The results themselves.
#[derive(Clone, Debug)]
pub(super) enum Ring {
    Count(CountRing),
    Time(TimeRing),
}

impl Ring {
    pub(super) fn new(window: Window) -> Self {
        match (window.0, window.width()) {
            (Kind::Time { slices, .. }, Some(width)) => Self::Time(TimeRing::new(width, slices)),
            (Kind::Count(calls), _) => Self::Count(CountRing::new(calls)),
            (Kind::Time { .. }, None) => unreachable!("a window of time has a width"),
        }
    }

    pub(super) fn total(&self) -> Tally {
        match self {
            Self::Count(ring) => ring.total(),
            Self::Time(ring) => ring.total(),
        }
    }

    /// What it holds, and for how long: for `hold`, if time does not matter to it.
    pub(super) fn parts(&self, now: u64, hold: u64) -> Vec<Part> {
        match self {
            Self::Count(ring) if ring.total() == Tally::default() => Vec::new(),
            Self::Count(ring) => vec![Part { left: hold, tally: ring.total() }],
            Self::Time(ring) => ring.parts(now),
        }
    }

    pub(super) fn start(&self) -> u64 {
        match self {
            Self::Count(_) => 0,
            Self::Time(ring) => ring.start(),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Count(ring) => ring.clear(),
            Self::Time(ring) => ring.clear(),
        }
    }

    pub(super) fn advance(&mut self, now: u64) {
        if let Self::Time(ring) = self {
            ring.advance(now);
        }
    }

    pub(super) fn push(&mut self, sample: Sample) {
        match self {
            Self::Count(ring) => ring.push(sample),
            Self::Time(ring) => ring.push(sample),
        }
    }

    pub(super) fn push_good(&mut self, run: u64) {
        match self {
            Self::Count(ring) => ring.push_good(run),
            Self::Time(ring) => ring.push_good(run),
        }
    }
}
