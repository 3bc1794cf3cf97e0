//! What happens at a breaker, for an observer and as `tracing` events.

use crate::{
    Open,
    state::{Cause, Change, Tally},
};
use std::{fmt, sync::Arc};
use tidegate_core::{Name, panic::quietly};

/// Something has happened at a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state has changed. Who shows each state as a gauge sets that of `from` to 0 and that of `to` to 1;
    /// of two events that come at once the one of the larger generation is the later one.
    Changed(Change),
    /// One that is to count only would have opened.
    WouldOpen {
        /// By which rule.
        cause: Cause,
        /// What the window held.
        tally: Tally,
    },
    /// A call did not pass.
    Rejected(Open),
    /// A result came too late to count.
    Stale,
    /// The store of its fleet does not answer any more: it goes on by itself.
    FleetLost,
    /// The store of its fleet answers, for the first time or again.
    FleetFound,
    /// Its fleet has more than [`MAX_INSTANCES`](crate::fleet::MAX_INSTANCES), and what this one counts is not heard: it
    /// hears of the others, and counts for itself alone.
    FleetFull,
    /// More of its fleet than ever have other settings: what is too much for one is not for the other.
    FleetDiffers {
        /// How many.
        instances: u64,
    },
}

type Hear = dyn Fn(&Event) + Send + Sync;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Hear>>);

impl Observer {
    pub(crate) fn new(observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Tells the observer and the subscriber. Not under a lock: both are foreign code.
    pub(super) fn tell(&self, name: &Name, event: &Event) {
        if let Some(observer) = &self.0 {
            quietly(|| observer(event));
        }
        trace(name, event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

#[cfg(feature = "tracing")]
const TARGET: &str = "tidegate::breaker";

#[cfg(feature = "tracing")]
fn trace(name: &Name, event: &Event) {
    quietly(|| match event {
        Event::Changed(Change { from, to, cause, generation, tally, wait }) => {
            let Tally { calls, failures, slow } = tally;
            tracing::info!(
                target: TARGET, breaker = %name, %from, %to, %cause, generation, calls, failures, slow, ?wait,
                "state changed"
            );
        }
        Event::WouldOpen { cause, tally: Tally { calls, failures, slow } } => {
            tracing::info!(target: TARGET, breaker = %name, %cause, calls, failures, slow, "would open");
        }
        Event::Rejected(Open { state, retry_after }) => {
            tracing::debug!(target: TARGET, breaker = %name, %state, ?retry_after, "rejected");
        }
        Event::Stale => tracing::debug!(target: TARGET, breaker = %name, "result came too late"),
        Event::FleetLost => tracing::warn!(target: TARGET, breaker = %name, "fleet lost"),
        Event::FleetFound => tracing::info!(target: TARGET, breaker = %name, "fleet found"),
        Event::FleetFull => {
            tracing::warn!(target: TARGET, breaker = %name, "not heard, as its fleet is full");
        }
        Event::FleetDiffers { instances } => {
            tracing::warn!(target: TARGET, breaker = %name, instances, "others of its fleet have other settings");
        }
    });
}

#[cfg(not(feature = "tracing"))]
fn trace(_name: &Name, _event: &Event) {}
