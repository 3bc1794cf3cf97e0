//! Gradient2 as it was described first, for what is wrong with it.

use super::limits::MAX;
use std::time::Duration;
use tidegate_bulkhead::{LimitAlgorithm, Outcome, Sample};

/// A long average over all windows, a tolerance of 1.5 and a queue that is always added.
#[derive(Debug)]
pub(super) struct Naive {
    limit: f64,
    long: Option<f64>,
    sum: f64,
    calls: u32,
    in_flight: u32,
    began: Duration,
}

impl Naive {
    pub(super) fn new(limit: u32) -> Self {
        let (sum, calls, in_flight, began) = (0.0, 0, 0, Duration::ZERO);
        Self { limit: f64::from(limit), long: None, sum, calls, in_flight, began }
    }
}

impl LimitAlgorithm for Naive {
    fn limit(&self) -> u32 {
        self.limit as u32
    }

    fn sample(&mut self, now: Duration, sample: Sample) -> u32 {
        if sample.outcome == Outcome::Success {
            self.sum += sample.latency.as_secs_f64();
            self.calls += 1;
            self.in_flight = self.in_flight.max(sample.in_flight);
        }
        if self.calls < 10 || now.saturating_sub(self.began) < Duration::from_millis(100) {
            return self.limit();
        }
        let short = self.sum / f64::from(self.calls);
        let mut long = self.long.unwrap_or(short);
        long += (short - long) / 100.0;
        if long > short * 2.0 {
            long *= 0.95;
        }
        self.long = Some(long);
        let is_used = f64::from(self.in_flight) * 2.0 >= self.limit;
        (self.sum, self.calls, self.in_flight, self.began) = (0.0, 0, 0, now);
        if is_used {
            let gradient = (1.5 * long / short).clamp(0.5, 1.0);
            let next = self.limit * gradient + 4.0;
            self.limit = (self.limit * 0.8 + next * 0.2).clamp(1.0, f64::from(MAX));
        }
        self.limit()
    }
}
