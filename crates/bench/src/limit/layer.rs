//! A call through a layer of tower.

use super::{
    echo::{call, ours, tower_resilience},
    row::counted,
    threads::together,
};
use crate::{
    Plan,
    alloc::allocated,
    contest::{Contest, Cost, Done, Ratio},
};
use tower_service::Service;

const TIMES: u64 = 500_000;

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
    let all = |case, times| (allocated(case, times).count * times as f64).round();
    let each = |case| (all(case, 20_000) - all(case, 10_000)) / 10_000.0;
    let op = "allocations, a call through the layer";
    ratios.push(counted(op, "ours", each("layer ours"), 0.0, 10_000));
    ratios.push(counted(op, "tower-resilience", each("layer tower-resilience"), None, 10_000));
    ratios
}

fn calls(
    plan: Plan,
    threads: usize,
    service: &(impl Service<u64, Response = u64> + Clone + Sync),
) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    let done = together(threads, || || call(&mut service.clone(), times));
    assert_eq!(done.work, times * threads as u64, "not all calls were answered");
    done
}
