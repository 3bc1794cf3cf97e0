//! Who holds permits, for those who want to know.

use crate::clock::Clock;
use slab::Slab;
use std::time::Duration;
use tidegate_core::{
    inspect::{Hold, Resource},
    sync::{Mutex, lock},
};

/// Who holds permits, and since when: one entry each.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<Slab<Entry>>);

#[derive(Debug)]
struct Entry {
    since: u64,
    /// Whether the limit was told what has become of it.
    is_told: bool,
    _hold: Hold,
}

impl Holders {
    /// How many there are, and how long the oldest has been there.
    pub(super) fn oldest(&self, clock: Clock) -> (usize, Option<Duration>) {
        let held = lock(&self.0);
        let oldest = held.iter().map(|(_, entry)| entry.since).min();
        let age = oldest.map(|oldest| Duration::from_nanos(clock.now().saturating_sub(oldest)));
        (held.len(), age)
    }

    /// The calling work holds a permit from now on; the key of its entry.
    pub(super) fn enter(&self, clock: Clock, resource: &Resource) -> usize {
        let entry = Entry { since: clock.now(), is_told: false, _hold: resource.hold() };
        lock(&self.0).insert(entry)
    }

    /// It is used from now on.
    pub(super) fn begins(&self, key: usize, clock: Clock) {
        let now = clock.now();
        if let Some(entry) = lock(&self.0).get_mut(key) {
            entry.since = now;
        }
    }

    /// Since when it holds it, if this was not asked before.
    pub(super) fn tell(&self, key: usize) -> Option<u64> {
        let mut held = lock(&self.0);
        let entry = held.get_mut(key).filter(|entry| !entry.is_told)?;
        entry.is_told = true;
        Some(entry.since)
    }

    /// It holds it no longer.
    pub(super) fn leave(&self, key: usize) {
        let gone = lock(&self.0).try_remove(key);
        drop(gone);
    }
}
