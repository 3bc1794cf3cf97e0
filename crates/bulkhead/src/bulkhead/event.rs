//! What happens to those who ask, for an observer and as `tracing` events.

use crate::AcquireError;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::{Name, panic::quietly};

/// Something has happened at a bulkhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It did not enter, and did not wait.
    Rejected {
        /// What was asked for.
        weight: u32,
        /// After about this time there may be room, if it is known.
        retry_after: Option<Duration>,
    },
    /// It joined the line.
    Waits {
        /// What was asked for.
        weight: u32,
        /// How many wait, with it.
        waiting: usize,
    },
    /// It has waited, and enters.
    Entered {
        /// What was asked for.
        weight: u32,
        /// How long it has waited.
        waited: Duration,
    },
    /// It has waited, or would have had to, and does not enter.
    Failed {
        /// What was asked for.
        weight: u32,
        /// Why not.
        error: AcquireError,
    },
    /// Who waited has given up.
    Cancelled {
        /// What was asked for.
        weight: u32,
    },
    /// The capacity was changed.
    Resized {
        /// What it was before.
        from: u32,
        /// What it is now.
        to: u32,
    },
    /// It was closed.
    Closed {
        /// How much was in use then.
        in_use: u32,
        /// How many waited.
        waiting: usize,
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
const TARGET: &str = "tidegate::bulkhead";

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
        Event::Resized { from, to } => {
            tracing::info!(target: TARGET, bulkhead = %name, from, to, "resized");
        }
        Event::Closed { in_use, waiting } => {
            tracing::info!(target: TARGET, bulkhead = %name, in_use, waiting, "closed");
        }
        Event::Failed { weight, error } => {
            tracing::debug!(target: TARGET, bulkhead = %name, weight, %error, "turned away");
        }
        _ => {}
    });
}

#[cfg(not(feature = "tracing"))]
fn trace(_name: &Name, _event: &Event) {}
