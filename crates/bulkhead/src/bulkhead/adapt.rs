//! The limit of a bulkhead that finds its capacity itself.

use crate::{Limit, LimitAlgorithm, Sample, state::Count};
use std::time::Duration;
use tidegate_core::{
    panic::quietly,
    sync::{
        Mutex,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
        lock,
    },
};

/// A limit, and what it has said last.
#[derive(Debug)]
pub(super) struct Adapt {
    limit: Mutex<Box<dyn LimitAlgorithm>>,
    /// Written with the lock held, so that the last to be written is the last that was said.
    said: AtomicU32,
}

impl Adapt {
    /// None, if it cannot begin with that many.
    pub(super) fn start(limit: &dyn Limit, capacity: u32) -> Option<Self> {
        let limit = limit.start(capacity).ok()?;
        Some(Self { said: AtomicU32::new(capacity), limit: Mutex::new(limit) })
    }

    /// How many there may be by now.
    pub(super) fn said(&self) -> u32 {
        self.said.load(Acquire)
    }

    /// A call has ended; whether there may be more by that, or fewer.
    pub(super) fn sample(&self, now: u64, sample: Sample) -> bool {
        let mut limit = lock(&self.limit);
        let before = self.said();
        let mut to = before;
        // A permit may come back by a panic, and a second one would be the end.
        quietly(|| to = limit.sample(Duration::from_nanos(now), sample));
        self.said.store(to.clamp(1, Count::MAX), Release);
        self.said() != before
    }
}
