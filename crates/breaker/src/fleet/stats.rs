//! How a breaker gets on with its fleet, in numbers.

use super::{
    state::{Answer, Stand},
    store::StoreError,
};
use crate::{breaker::Event, state::Tally};
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
    /// Whether the others do not hear of this one, as there are more than [`MAX_INSTANCES`](super::MAX_INSTANCES).
    pub is_unheard: bool,
    /// How many of the others have settings that are not its own, the time to hold included: of those that have told
    /// something since the fleet has closed, or before it has opened.
    pub strangers: u64,
    /// Of how many of them an observer was told.
    most_strangers: u64,
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

    /// The store has answered. Says what is news.
    pub(super) fn answered(&self, now: u64, answer: &Answer) -> [Option<Event>; 3] {
        let Answer { stand, others, is_heard, strangers } = answer;
        let mut stats = lock(&self.0);
        let was_shared = std::mem::replace(&mut stats.is_shared, true);
        let (was_unheard, were_most) = (stats.is_unheard, stats.most_strangers);
        // Nobody tells anything while it is open, and nobody has yet when it has changed: then it is as it was.
        stats.is_unheard = is_heard.map_or(was_unheard, |is_heard| !is_heard);
        let epoch = stand.map_or(0, |(basis, _)| basis.epoch);
        if matches!(stand, Some((_, Stand::Closed))) && epoch == stats.epoch {
            stats.strangers = *strangers;
            stats.most_strangers = were_most.max(*strangers);
        }
        stats.last_sync = Some(Duration::from_nanos(now));
        stats.epoch = epoch;
        stats.others = others.iter().fold(Tally::default(), |sum, part| sum.plus(part.1));
        stats.exchanges += 1;
        [
            (!was_shared).then_some(Event::FleetFound),
            (stats.is_unheard && !was_unheard).then_some(Event::FleetFull),
            (stats.most_strangers > were_most)
                .then_some(Event::FleetDiffers { instances: stats.strangers }),
        ]
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
