//! The one place that reads the clock: tokio's, so that a paused clock also pauses the
//! figures of a report.

use std::time::Duration;
use tokio::time::Instant;

/// A point in time, and what has passed since the last look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap(Instant);

impl Lap {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start or the last call.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.0);
        self.0 = now;
        elapsed
    }

    /// The time since the start or the last lap.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
