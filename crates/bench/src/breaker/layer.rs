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
    for (threads, target) in [(1, Some(0.2)), (2, None)] {
        let op = format!("a call through the layer, closed, {threads} at a time");
        let contest =
            Contest::new(op, Cost::Cpu, plan.rounds(31), || calls(plan, threads, &ours(of, Echo)))
                .against("tower-resilience", target, || {
                    calls(plan, threads, &tower_resilience(of, Echo))
                });
        ratios.extend(contest.run());
    }
    ratios.extend(allocations(&[
        ("ours", "breaker ours"),
        ("tower-resilience", "breaker tower-resilience"),
    ]));
    ratios
}
