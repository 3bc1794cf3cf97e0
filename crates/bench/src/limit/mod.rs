//! Rate limiters: what a decision costs, and whether it is right.
//!
//! Both sides of a comparison go by the same clock: the counter of the processor, or the clock of the
//! system. Limiters are built outside of the timed part, and whatever is admitted is counted.

mod correct;
mod direct;
mod fleet;
mod keyed;
mod layer;
mod services;
mod waiters;

use crate::{Plan, contest::Ratio};

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("  load average {}", load.trim());
    let mut ratios = correct::run();
    ratios.extend(direct::run(plan));
    ratios.extend(keyed::run(plan));
    ratios.extend(layer::run(plan));
    ratios.extend(waiters::run(plan));
    ratios.extend(fleet::run(plan));
    ratios
}
