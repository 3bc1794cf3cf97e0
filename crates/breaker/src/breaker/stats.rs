//! Plain numbers.

use crate::state::{State, Tally};
use std::time::Duration;
use tidegate_core::sync::unmodelled::{AtomicU64, Ordering::Relaxed};

/// How a breaker stands, and what has become of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The state. An open breaker whose wait is over is open until somebody calls.
    pub state: State,
    /// How many changes of state there were, a reset included.
    pub generation: u64,
    /// What the window holds; if it is half-open, what the probes have answered so far.
    pub tally: Tally,
    /// How many calls have failed since the last that did not.
    pub consecutive_failures: u32,
    /// How many probes have a place and have not answered.
    pub probes_in_flight: usize,
    /// After which time an open one lets a call pass.
    pub retry_after: Option<Duration>,
    /// How many calls have succeeded so far, slow ones included, and counted.
    pub succeeded: u64,
    /// How many have failed, and counted.
    pub failed: u64,
    /// How many of both were slow.
    pub slow: u64,
    /// How many of those that failed have panicked.
    pub panicked: u64,
    /// How many ended in a way that is to be ignored.
    pub ignored: u64,
    /// How many were given up.
    pub cancelled: u64,
    /// How many calls ended too late to count, those that were given up included.
    pub stale: u64,
    /// How many calls did not pass.
    pub rejected: u64,
    /// How many times it has opened by itself.
    pub opened: u64,
}

/// What is counted without a lock. It is on lines of the cache of its own, as it is written by each call, while
/// what calls read is written rarely.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    /// Without those that the gate holds.
    pub(super) succeeded: Count,
    pub(super) failed: Count,
    pub(super) slow: Count,
    pub(super) panicked: Count,
    pub(super) ignored: Count,
    pub(super) cancelled: Count,
    pub(super) stale: Count,
    pub(super) rejected: Count,
    pub(super) opened: Count,
}

/// One number.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
