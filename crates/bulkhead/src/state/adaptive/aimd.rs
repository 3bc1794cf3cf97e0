//! AIMD.

use super::{
    Limit, LimitAlgorithm, Sample,
    level::{Bounds, Level, bounds},
};
use crate::{ConfigError, Outcome};
use std::time::Duration;

/// What is left of a limit after an overload, unless told otherwise.
const DEFAULT_BACKOFF: f64 = 0.9;

/// A limit that grows by one in the time of a call, and falls to a part of itself when calls fail or take
/// too long: D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion avoidance
/// in computer networks", Computer Networks and ISDN Systems 17, 1989.
///
/// It needs to be told what is too long, and what it is told is the latency that it leads to. Until the first
/// overload it doubles in the time of a call, and is halved by it, as TCP does. It does not fall twice by calls that were in
/// flight together: those have seen the same overload. Many limits that share one service come to shares that
/// are alike.
#[derive(Clone, Copy, Debug)]
#[must_use = "it is passed to a bulkhead"]
pub struct Aimd {
    bounds: Bounds,
    too_slow: Duration,
    backoff: f64,
}

impl Aimd {
    /// A call that takes longer than this says the same as one that fails. Between 1 and 1000, or more if it
    /// begins with more.
    pub fn new(too_slow: Duration) -> Self {
        Self { bounds: Bounds::new(), too_slow, backoff: DEFAULT_BACKOFF }
    }

    bounds!(bounds);
    /// What is left of the limit after an overload: 0.9 by default, above 0 and below 1.
    pub fn backoff(mut self, part: f64) -> Self {
        self.backoff = part;
        self
    }
}

impl Limit for Aimd {
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        let Self { bounds, too_slow, backoff } = *self;
        let level = bounds.start(capacity)?;
        if too_slow.is_zero() {
            return Err(ConfigError::LimitSetting { name: "too_slow" });
        }
        if !(backoff > 0.0 && backoff < 1.0) {
            return Err(ConfigError::LimitSetting { name: "backoff" });
        }
        Ok(Box::new(Running { level, too_slow, backoff, fell: None }))
    }
}

#[derive(Debug)]
struct Running {
    level: Level,
    too_slow: Duration,
    backoff: f64,
    /// When it has fallen last.
    fell: Option<Duration>,
}

impl LimitAlgorithm for Running {
    fn limit(&self) -> u32 {
        self.level.whole()
    }

    fn sample(&mut self, now: Duration, sample: Sample) -> u32 {
        let Sample { latency, in_flight, outcome } = sample;
        let is_slow = latency > self.too_slow;
        let limit = self.level.get();
        match outcome {
            Outcome::Failure => self.fall(now, latency),
            Outcome::Success | Outcome::Error | Outcome::Cancelled if is_slow => {
                self.fall(now, latency);
            }
            Outcome::Success if self.level.is_used(in_flight) => {
                let step = if self.fell.is_none() { 1.0 } else { 1.0 / limit };
                self.level.set(limit + step);
            }
            Outcome::Success | Outcome::Error | Outcome::Cancelled | Outcome::Ignored => {}
        }
        self.limit()
    }
}

impl Running {
    fn fall(&mut self, now: Duration, latency: Duration) {
        // A call that began before is of an overload that was answered already.
        let began = now.saturating_sub(latency);
        if self.fell.is_none_or(|fell| began >= fell) {
            // It doubled in the time of a call until now: half of it was right then.
            let backoff = if self.fell.is_none() { 0.5 } else { self.backoff };
            self.level.set(self.level.get() * backoff);
            self.fell = Some(now);
        }
    }
}
