//! Vegas.

use super::{
    Limit, LimitAlgorithm,
    feedback::{Common, Law, settings},
};
use crate::ConfigError;
use std::time::Duration;

/// A limit that keeps a short queue, and no longer one: L. Brakmo and L. Peterson, "TCP Vegas: New techniques
/// for congestion detection and avoidance", SIGCOMM 1994, with calls in place of segments.
///
/// Of those in flight, `in_flight * (1 - base / rtt)` wait, where a call takes `rtt`, and `base` if none
/// waits. The limit grows while those are fewer than its square root, and shrinks while they are more than
/// twice as many: a queue for `c` servers has to grow as the square root of `c` for them to be busy (S.
/// Halfin and W. Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research
/// 29(3), 1981).
///
/// It is steady, and good where calls are of one kind. Netflix' `concurrency-limits` has made it known for
/// services; its faults there are not these: `base` is a mean and not the fastest call, so that a health
/// check or a lucky call does not pass for it; a queue does not pass for it either, since it is looked at
/// anew with half as many in flight.
#[derive(Clone, Copy, Debug)]
#[must_use = "it is passed to a bulkhead"]
pub struct Vegas {
    common: Common,
}

impl Vegas {
    /// Between 1 and 1000, or more if it begins with more.
    pub fn new() -> Self {
        Self { common: Common::new() }
    }

    settings!();
}

impl Default for Vegas {
    fn default() -> Self {
        Self::new()
    }
}

impl Limit for Vegas {
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        self.common.start(capacity, Queue)
    }
}

#[derive(Debug)]
struct Queue;

impl Law for Queue {
    fn next(&self, limit: f64, in_flight: f64, rtt: f64, base: f64) -> f64 {
        let queue = in_flight * (1.0 - base / rtt).max(0.0);
        let few = limit.sqrt();
        if queue < few / 4.0 {
            limit + few
        } else if queue < few {
            limit + few / 4.0
        } else if queue > few * 2.0 {
            // Half of it at most: it has been seen for one window.
            (limit - (queue - few)).max(limit / 2.0)
        } else {
            limit
        }
    }
}
