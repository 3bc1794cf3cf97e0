//! A call through a layer of tower.

use super::services::{ours, tower_resilience};
use crate::{
    Plan,
    calls::{allocations, calls},
    contest::{Contest, Cost, Ratio},
};

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut ratios = Vec::new();
    let rounds = plan.rounds(31);
    for threads in [1, 2] {
        let op = format!("a call through the layer, {threads} at a time");
        let contest = Contest::new(op, Cost::Cpu, rounds, || calls(plan, threads, &ours()));
        let against =
            contest.against("tower-resilience", 0.5, || calls(plan, threads, &tower_resilience()));
        ratios.extend(against.run());
    }
    ratios.extend(allocations(&[
        ("ours", "layer ours"),
        ("tower-resilience", "layer tower-resilience"),
    ]));
    ratios
}
