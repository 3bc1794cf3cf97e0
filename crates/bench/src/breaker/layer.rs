//! A call through a layer of tower, while all calls succeed.

use super::services::{Of, RESULTS, ours, tower_resilience};
use crate::{
    Plan,
    calls::{allocations, calls},
    contest::{Contest, Cost, Ratio},
    echo::Echo,
};

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    let of = Of::Results(RESULTS);
    // By two threads, that of the peer waits for a lock in its future, and calls are not all answered at once.
    let contest =
        Contest::new("a call through the layer, closed", Cost::Cpu, plan.rounds(31), || {
            calls(plan, 1, &ours(of, Echo))
        })
        .against("tower-resilience", 0.2, || calls(plan, 1, &tower_resilience(of, Echo)));
    ratios.extend(contest.run());
    ratios.extend(allocations(&[
        ("ours", "breaker ours"),
        ("tower-resilience", "breaker tower-resilience"),
    ]));
    ratios
}
