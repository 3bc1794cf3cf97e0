//! Who holds permits, for those who want to know.

use crate::clock::Clock;
use slab::Slab;
use std::time::Duration;
use tidegate_core::{
    inspect::{Hold, Resource},
    sync::{Arc, Mutex, lock},
};

/// Since when permits are held, one entry each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders(Arc<Mutex<Slab<u64>>>);

impl Holders {
    /// How many there are, and how long the oldest has been there.
    pub(super) fn oldest(&self, clock: Clock) -> (usize, Option<Duration>) {
        let since = lock(&self.0);
        let oldest = since.iter().map(|(_, since)| *since).min();
        let age = oldest.map(|oldest| Duration::from_nanos(clock.now().saturating_sub(oldest)));
        (since.len(), age)
    }

    /// The calling work holds a permit from now on.
    pub(super) fn enter(&self, clock: Clock, resource: &Resource) -> Held {
        let since = clock.now();
        Held { key: lock(&self.0).insert(since), holders: self.clone(), _hold: resource.hold() }
    }
}

/// The entry of a permit.
#[derive(Debug)]
pub(super) struct Held {
    holders: Holders,
    key: usize,
    _hold: Hold,
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.holders.0).remove(self.key);
    }
}
