//! What happens to those who ask, for an observer and as `tracing` events.

use crate::Limit;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::{Name, panic::quietly};

/// Something has happened at a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It did not pass, and did not wait.
    Denied {
        /// What was asked for.
        cost: u64,
        /// When it would have passed; none, if never.
        retry_after: Option<Duration>,
    },
    /// It joined the line.
    Waits {
        /// What was asked for.
        cost: u64,
        /// When it passes, if those ahead stay.
        delay: Duration,
        /// How many wait, with it.
        waiting: usize,
    },
    /// It has waited, and passes.
    Served {
        /// What was asked for.
        cost: u64,
        /// How long it has waited.
        waited: Duration,
    },
    /// It did not wait, or no longer, since it would never pass, or pass too late.
    TooLate {
        /// What was asked for.
        cost: u64,
        /// When it would have passed; none, if never.
        retry_after: Option<Duration>,
    },
    /// It did not wait, since as many waited as may.
    TurnedAway {
        /// What was asked for.
        cost: u64,
        /// How many waited.
        waiting: usize,
    },
    /// Who waited has given up.
    Cancelled {
        /// What was asked for.
        cost: u64,
    },
    /// Tokens were handed in to be given back, as far as they had not come back by themselves.
    Refunded {
        /// How many.
        cost: u64,
    },
    /// The limit was changed.
    Changed {
        /// What it was before.
        from: Limit,
        /// What it is now.
        to: Limit,
    },
}

type Hear = dyn Fn(&Event) + Send + Sync;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Hear>>);

impl Observer {
    pub(super) fn new(observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Whether it is worth saying at all.
    pub(super) fn wants(&self) -> bool {
        self.0.is_some()
    }

    /// Tells the observer, and the subscriber of what is rare. Not under a lock: both are foreign code.
    pub(super) fn tell(&self, name: &Name, event: &Event) {
        if let Some(observer) = &self.0 {
            quietly(|| observer(event));
        }
        trace(name, event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.wants()).finish()
    }
}

#[cfg(feature = "tracing")]
const TARGET: &str = "tidegate::ratelimit";

/// Whether a subscriber might hear anything.
#[cfg(feature = "tracing")]
pub(super) fn is_traced() -> bool {
    tracing::level_enabled!(tracing::Level::INFO)
}

#[cfg(not(feature = "tracing"))]
pub(super) fn is_traced() -> bool {
    false
}

#[cfg(feature = "tracing")]
fn trace(name: &Name, event: &Event) {
    quietly(|| match event {
        Event::Changed { from, to } => {
            tracing::info!(target: TARGET, limiter = %name, %from, %to, "limit changed");
        }
        Event::TurnedAway { cost, waiting } => {
            tracing::debug!(target: TARGET, limiter = %name, cost, waiting, "turned away");
        }
        Event::TooLate { cost, retry_after } => {
            tracing::debug!(target: TARGET, limiter = %name, cost, ?retry_after, "would be too late");
        }
        _ => {}
    });
}

#[cfg(not(feature = "tracing"))]
fn trace(_name: &Name, _event: &Event) {}
