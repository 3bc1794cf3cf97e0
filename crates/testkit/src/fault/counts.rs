//! What was injected.

use std::sync::{Arc, Mutex, PoisonError};

/// How many faults there were, of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Reads that gave less than there was room for, by the plan.
    pub short_reads: u64,
    /// Writes that took less than they were given, by the plan.
    pub short_writes: u64,
    /// Operations that were pending once more.
    pub pending: u64,
    /// Operations that failed with `Interrupted`.
    pub interrupted: u64,
    /// Stalls that were begun.
    pub stalls: u64,
    /// Bits that were flipped, and went through.
    pub flipped_bits: u64,
    /// Whether reading has come to its end (0 or 1).
    pub ends: u64,
    /// Whether writing has failed with `BrokenPipe` (0 or 1).
    pub broken_pipes: u64,
    /// Whether the connection was reset (0 or 1).
    pub resets: u64,
}

impl Faults {
    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.short_reads
            + self.short_writes
            + self.pending
            + self.interrupted
            + self.stalls
            + self.flipped_bits
            + self.ends
            + self.broken_pipes
            + self.resets
    }
}

/// Tells the faults of a [`FaultIo`](super::FaultIo) that was given away, or dropped.
#[derive(Clone, Debug, Default)]
pub struct FaultLog(Arc<Mutex<Faults>>);

impl FaultLog {
    /// What was injected so far.
    #[must_use]
    pub fn faults(&self) -> Faults {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, what: impl FnOnce(&mut Faults)) {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
