//! A call through a layer of tower, while there is room.

use super::services::{concurrency_limit, readiness, reject, tower_resilience, wait};
use crate::{
    Plan,
    calls::{allocations, calls},
    contest::{Contest, Cost, Done, Ratio},
};

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for threads in [1, 2] {
        let target = |ratio: f64| (threads == 1).then_some(ratio);
        let modes: [(_, &dyn Fn() -> Done); 3] = [
            ("reject", &|| calls(plan, threads, &reject())),
            ("wait", &|| calls(plan, threads, &wait())),
            ("readiness", &|| calls(plan, threads, &readiness())),
        ];
        for (mode, ours) in modes {
            let op = format!("a call through the layer, mode {mode}, {threads} at a time");
            let contest = Contest::new(op, Cost::Cpu, plan.rounds(31), ours)
                .against("tower ConcurrencyLimit", target(1.0 / 1.5), || {
                    calls(plan, threads, &concurrency_limit())
                })
                .against("tower-resilience", target(0.2), || {
                    calls(plan, threads, &tower_resilience())
                });
            ratios.extend(contest.run());
        }
    }
    ratios.extend(allocations(&[
        ("ours", "bulkhead ours"),
        ("tower ConcurrencyLimit", "bulkhead tower"),
        ("tower-resilience", "bulkhead tower-resilience"),
    ]));
    ratios
}
