//! What is let in.

use super::{naive::Naive, scenarios::WORKERS};
use std::time::Duration;
use tidegate_bulkhead::{Aimd, Bulkhead, Gradient2, Limit, LimitAlgorithm, Permit, Sample, Vegas};

/// A way to limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    None,
    /// As many as there are workers, and some more.
    Right,
    TooHigh,
    TooLow,
    Aimd,
    Vegas,
    Gradient2,
    /// Gradient2 with the faults that it is known for.
    Naive,
}

pub(super) const WAYS: [Way; 8] = [
    Way::None,
    Way::Right,
    Way::TooHigh,
    Way::TooLow,
    Way::Aimd,
    Way::Vegas,
    Way::Gradient2,
    Way::Naive,
];

/// Those that are promised to work.
pub(super) const ADAPTIVE: [Way; 3] = [Way::Aimd, Way::Vegas, Way::Gradient2];

/// An adaptive limit begins with this, and ends with that.
const BEGINS: u32 = 20;
pub(super) const MAX: u32 = 1000;

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Right => "fixed, right",
            Self::TooHigh => "fixed, too high",
            Self::TooLow => "fixed, too low",
            Self::Aimd => "AIMD",
            Self::Vegas => "Vegas",
            Self::Gradient2 => "Gradient2",
            Self::Naive => "Gradient2, naive",
        }
    }

    /// How many times as many as there are workers are not too many. AIMD is told that a call may take four
    /// times as long as it does.
    pub(super) fn most(self) -> f64 {
        if self == Self::Aimd { 4.0 } else { 2.5 }
    }

    fn capacity(self) -> u32 {
        match self {
            Self::None => 1_000_000,
            Self::Right => WORKERS + 8,
            Self::TooHigh => WORKERS * 15,
            Self::TooLow => WORKERS / 4,
            Self::Aimd | Self::Vegas | Self::Gradient2 | Self::Naive => BEGINS,
        }
    }

    fn start(self) -> Option<Box<dyn LimitAlgorithm>> {
        let aimd = Aimd::new(Duration::from_millis(200)).max(MAX);
        Some(match self {
            Self::None | Self::Right | Self::TooHigh | Self::TooLow => return None,
            Self::Aimd => aimd.start(BEGINS).unwrap(),
            Self::Vegas => Vegas::new().max(MAX).start(BEGINS).unwrap(),
            Self::Gradient2 => Gradient2::new().max(MAX).start(BEGINS).unwrap(),
            Self::Naive => Box::new(Naive::new(BEGINS)),
        })
    }
}

/// A bulkhead, and what changes its capacity.
pub(super) struct Gate {
    bulkhead: Bulkhead,
    limit: Option<Box<dyn LimitAlgorithm>>,
}

impl Gate {
    pub(super) fn new(way: Way) -> Self {
        let bulkhead = Bulkhead::builder(way.capacity()).max_waiting(0).build().unwrap();
        Self { bulkhead, limit: way.start() }
    }

    pub(super) fn enter(&self) -> Option<Permit> {
        self.bulkhead.try_acquire().ok()
    }

    /// A call has ended.
    pub(super) fn leave(&mut self, now: u64, permit: Permit, sample: Sample) {
        drop(permit);
        if let Some(limit) = &mut self.limit {
            let limit = limit.sample(Duration::from_nanos(now), sample);
            if limit != self.bulkhead.capacity() {
                self.bulkhead.resize(limit).unwrap();
            }
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.bulkhead.in_use()
    }

    pub(super) fn limit(&self) -> u32 {
        self.bulkhead.capacity()
    }
}
