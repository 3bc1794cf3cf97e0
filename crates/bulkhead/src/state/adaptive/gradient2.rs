//! Gradient2.

use super::{
    Limit, LimitAlgorithm,
    feedback::{Common, Law, settings},
};
use crate::ConfigError;
use std::time::Duration;

/// By how much longer than usual calls may take, unless told otherwise.
const DEFAULT_TOLERANCE: f64 = 1.5;
/// How much of the way to the next limit is gone in a window.
const SMOOTHING: f64 = 0.5;

/// A limit that grows for as long as calls take no longer than usual, by a tolerance, and shrinks by as much
/// as they do: after Gradient2 of Netflix' `concurrency-limits` (2018).
///
/// The next limit is `limit * gradient`, where the gradient is `tolerance * usual / rtt`, between a half and
/// one; and some more, as the square root of the limit, if the gradient is one. Half of the way is gone at
/// a time.
///
/// With a tolerance it is good where calls are of many kinds, and allows a longer queue than
/// [`Vegas`](super::Vegas). Two things are not as they were: what is usual is not the average of all that was
/// seen, which follows the queue wherever it grows, with the limit behind it, without end; only what was
/// seen without a queue counts. And nothing is added while calls take too long, or the limit comes to rest
/// far above what is right.
#[derive(Clone, Copy, Debug)]
#[must_use = "it is passed to a bulkhead"]
pub struct Gradient2 {
    common: Common,
    tolerance: f64,
}

impl Gradient2 {
    /// Between 1 and 1000, or more if it begins with more.
    pub fn new() -> Self {
        Self { common: Common::new(), tolerance: DEFAULT_TOLERANCE }
    }

    settings!();
    /// By how much longer than usual calls may take: 1.5 by default, and 1 at least.
    pub fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Limit for Gradient2 {
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        let tolerance = self.tolerance;
        if !(tolerance.is_finite() && tolerance >= 1.0) {
            return Err(ConfigError::LimitSetting { name: "tolerance" });
        }
        self.common.start(capacity, Gradient { tolerance })
    }
}

#[derive(Debug)]
struct Gradient {
    tolerance: f64,
}

impl Law for Gradient {
    fn next(&self, limit: f64, _: f64, rtt: f64, base: f64) -> f64 {
        let gradient = (self.tolerance * base / rtt).clamp(0.5, 1.0);
        let more = if gradient < 1.0 { 0.0 } else { limit.sqrt() };
        limit + (limit * gradient + more - limit) * SMOOTHING
    }
}
