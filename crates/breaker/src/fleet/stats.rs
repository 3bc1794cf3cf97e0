//! How a breaker gets on with its fleet, in numbers.

use super::store::StoreError;
use crate::state::Tally;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::sync::{Mutex, lock};

/// How a breaker gets on with its fleet.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FleetStats {
    /// Whether the store has answered when it was asked last.
    pub is_shared: bool,
    /// When it has answered last, since the origin of the clock of the breaker.
    pub last_sync: Option<Duration>,
    /// How often the state of the fleet has changed, as far as its record goes back.
    pub epoch: u64,
    /// What the others had in their windows then.
    pub others: Tally,
    /// How often the store has answered.
    pub exchanges: u64,
    /// How often it has not.
    pub errors: u64,
    /// What was wrong the last time that it has not.
    pub last_error: Option<StoreError>,
}

/// Shows how a breaker gets on with its fleet. Clones show the same.
#[derive(Clone, Default)]
pub struct FleetView(Arc<Mutex<FleetStats>>);

impl FleetView {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> FleetStats {
        lock(&self.0).clone()
    }

    /// The store has answered. Says whether it had not the last time.
    pub(super) fn answered(&self, now: u64, epoch: Option<u64>, others: Tally) -> bool {
        let mut stats = lock(&self.0);
        let is_new = !std::mem::replace(&mut stats.is_shared, true);
        stats.last_sync = Some(Duration::from_nanos(now));
        stats.epoch = epoch.unwrap_or(0);
        stats.others = others;
        stats.exchanges += 1;
        is_new
    }

    /// The store has not answered. Says whether it had the last time, or was never asked before.
    pub(super) fn failed(&self, error: &StoreError) -> bool {
        let error = Some(error.clone());
        let mut stats = lock(&self.0);
        let was_shared = std::mem::replace(&mut stats.is_shared, false);
        stats.errors += 1;
        let is_new = was_shared || stats.exchanges == 0 && stats.errors == 1;
        let former = std::mem::replace(&mut stats.last_error, error);
        drop(stats);
        drop(former);
        is_new
    }
}

impl fmt::Debug for FleetView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FleetView").field(&self.stats()).finish()
    }
}
