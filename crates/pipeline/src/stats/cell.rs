//! The counters of one stage, written by its workers and queues, read by anybody.

use super::{StageKind, StageStats};
// Not those of `tidegate_core::sync`: counters take part in no protocol, and in a model they
// would only multiply the interleavings.
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tidegate_core::Name;

/// Counters are independent of each other: a snapshot of a running pipeline may see an item
/// in one of them and not yet in the next. Once the workers have ended they add up.
#[derive(Debug)]
pub(crate) struct StageCell {
    name: Name,
    kind: StageKind,
    concurrency: usize,
    capacity: usize,
    entered: AtomicU64,
    left: AtomicU64,
    failed: AtomicU64,
    filtered: AtomicU64,
    cancelled: AtomicU64,
    busy: AtomicU64,
    starved: AtomicU64,
    blocked: AtomicU64,
    queued: AtomicUsize,
    max_queued: AtomicUsize,
}

/// What a slot of a stage spends its time with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Busy,
    Starved,
    Blocked,
}

impl StageCell {
    pub(crate) fn new(name: Name, kind: StageKind, concurrency: usize, capacity: usize) -> Self {
        Self {
            name,
            kind,
            concurrency,
            capacity,
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            max_queued: AtomicUsize::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// What the queue in front of the stage holds now; called under its lock.
    pub(crate) fn set_queue(&self, entered: u64, queued: usize) {
        self.entered.store(entered, Relaxed);
        self.queued.store(queued, Relaxed);
        if queued > self.max_queued.load(Relaxed) {
            self.max_queued.store(queued, Relaxed);
        }
    }

    /// What the queue behind the stage has taken in so far; called under its lock.
    pub(crate) fn set_left(&self, left: u64) {
        self.left.store(left, Relaxed);
    }

    pub(crate) fn add_entered(&self, items: usize) {
        self.entered.fetch_add(items as u64, Relaxed);
    }

    pub(crate) fn add_left(&self, items: usize) {
        self.left.fetch_add(items as u64, Relaxed);
    }

    pub(crate) fn add_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_filtered(&self, items: u64) {
        if items > 0 {
            self.filtered.fetch_add(items, Relaxed);
        }
    }

    pub(crate) fn add_cancelled(&self, items: usize) {
        if items > 0 {
            self.cancelled.fetch_add(items as u64, Relaxed);
        }
    }

    /// Items that a consumer had taken turn out not to have been used.
    pub(crate) fn take_back(&self, items: usize) {
        self.left.fetch_sub(items as u64, Relaxed);
        self.add_cancelled(items);
    }

    /// Adds the time of `slots` slots.
    pub(crate) fn spend(&self, on: Spent, time: Duration, slots: usize) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let nanos = nanos.saturating_mul(slots as u64);
        if nanos > 0 {
            let counter = match on {
                Spent::Busy => &self.busy,
                Spent::Starved => &self.starved,
                Spent::Blocked => &self.blocked,
            };
            counter.fetch_add(nanos, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> StageStats {
        StageStats {
            name: self.name.clone(),
            kind: self.kind,
            concurrency: self.concurrency,
            items_in: self.entered.load(Relaxed),
            items_out: self.left.load(Relaxed),
            failed: self.failed.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            busy: Duration::from_nanos(self.busy.load(Relaxed)),
            starved: Duration::from_nanos(self.starved.load(Relaxed)),
            blocked: Duration::from_nanos(self.blocked.load(Relaxed)),
            queued: self.queued.load(Relaxed),
            max_queued: self.max_queued.load(Relaxed),
            capacity: self.capacity,
        }
    }
}
