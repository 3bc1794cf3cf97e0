//! What a window changes, whatever the law.

use super::{
    LimitAlgorithm, Sample,
    baseline::Baseline,
    level::{Bounds, Level},
    window::{Seen, Window},
};
use crate::ConfigError;
use std::{fmt, time::Duration};

/// How often the baseline is looked at anew, unless told otherwise.
const DEFAULT_PROBE_EVERY: Duration = Duration::from_secs(10);
/// What is left of a limit when many calls fail.
const BACKOFF: f64 = 0.8;
/// How much of a limit has to be in use for it to stay.
const USED: f64 = 0.25;
/// How much of what is too much is given up in a window.
const DECAYS: f64 = 1.0 / 16.0;

/// A limit by how much longer calls take than those which do not queue.
pub(super) trait Law: fmt::Debug + Send {
    /// The next limit, where so many were in flight, and calls took `rtt` in place of `base`, both in
    /// seconds and neither zero.
    fn next(&self, limit: f64, in_flight: f64, rtt: f64, base: f64) -> f64;
}

/// The settings that the laws share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) bounds: Bounds,
    pub(super) probe_every: Duration,
    pub(super) seed: u64,
}

/// The settings of who goes by a [`Law`], which are `common`.
macro_rules! settings {
    () => {
        $crate::state::adaptive::level::bounds!(common.bounds);

        /// How often to look anew at how long a call takes which does not wait: 10 s by default. It takes about half
        /// of the calls for as long as 32 of them take.
        ///
        /// It is done at multiples of this by the clock of the system, so that clients of one service look together,
        /// and none of them sees the queue of the others: they need the same times and clocks that agree to a
        /// fraction of a second.
        pub fn probe_every(mut self, time: Duration) -> Self {
            self.common.probe_every = time;
            self
        }

        /// Shifts the times of these looks, by chance: for limits of one process that are to look at different times.
        /// Clients of one service need the same seed.
        pub fn seed(mut self, seed: u64) -> Self {
            self.common.seed = seed;
            self
        }
    };
}
pub(super) use settings;

impl Common {
    pub(super) fn new() -> Self {
        Self { bounds: Bounds::new(), probe_every: DEFAULT_PROBE_EVERY, seed: 0 }
    }

    pub(super) fn start<L: Law + 'static>(
        self,
        capacity: u32,
        law: L,
    ) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        let level = self.bounds.start(capacity)?;
        if self.probe_every.is_zero() {
            return Err(ConfigError::LimitSetting { name: "probe_every" });
        }
        let baseline = Baseline::new(self.probe_every, self.seed, level.get());
        let (began_with, window) = (level.get(), Window::new());
        Ok(Box::new(Feedback { level, began_with, window, baseline, law }))
    }
}

/// A limit that goes by a [`Law`].
#[derive(Debug)]
struct Feedback<L> {
    level: Level,
    began_with: f64,
    window: Window,
    baseline: Baseline,
    law: L,
}

impl<L: Law> LimitAlgorithm for Feedback<L> {
    fn limit(&self) -> u32 {
        let mut level = self.level;
        if let Some(limit) = self.baseline.probing() {
            level.set(limit);
        }
        level.whole()
    }

    fn level(&self) -> u32 {
        self.level.whole()
    }

    fn due(&self) -> Option<Duration> {
        self.baseline.due()
    }

    fn tick(&mut self, now: Duration) -> u32 {
        if self.baseline.due().is_some_and(|due| now >= due) {
            let is_over = self.baseline.end(now, self.window.typical(), self.level);
            self.probed(now, is_over);
        }
        self.limit()
    }

    fn sample(&mut self, now: Duration, sample: Sample) -> u32 {
        if self.baseline.probing().is_some() {
            let is_over = self.baseline.probe(now, sample, self.window.typical(), self.level);
            self.probed(now, is_over);
        } else if self.baseline.begin(now, self.window.typical(), self.level) {
            // The call is of a window that is given up for it.
        } else if let Some(seen) = self.window.add(now, sample, self.baseline.seconds()) {
            let next = self.next(seen);
            self.level.set(next);
            self.baseline.learn(now, self.level, seen);
        }
        self.limit()
    }
}

impl<L> Feedback<L> {
    fn probed(&mut self, now: Duration, is_over: bool) {
        if is_over {
            self.baseline.plan(now, self.level);
            self.window.restart(now.saturating_add(self.window.typical()));
        }
    }
}

impl<L: Law> Feedback<L> {
    fn next(&self, seen: Seen) -> f64 {
        let limit = self.level.get();
        if seen.is_overloaded {
            return limit * BACKOFF;
        }
        let in_flight = f64::from(seen.in_flight);
        // A peak that is over is no measure of the next one.
        let enough = self.began_with.max(in_flight / USED);
        if limit > enough {
            return limit - (limit - enough) * DECAYS;
        }
        let (Some(rtt), Some(base)) = (seen.rtt, self.baseline.seconds()) else { return limit };
        let next = self.law.next(limit, in_flight.min(limit), rtt, base);
        if seen.has_failures || !self.level.is_used(seen.in_flight) {
            next.min(limit)
        } else {
            next
        }
    }
}
