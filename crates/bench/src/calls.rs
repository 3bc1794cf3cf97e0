//! Calls through a layer of tower: what they take, and what they allocate.

use crate::{
    Plan,
    alloc::allocated,
    contest::{Done, Ratio},
    echo::call,
    row::counted,
    threads::together,
};
use tower_service::Service;

const TIMES: u64 = 500_000;

/// Has so many threads call clones of a service at once.
pub(crate) fn calls(
    plan: Plan,
    threads: usize,
    service: &(impl Service<u64, Response = u64> + Clone + Sync),
) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    let done = together(threads, || || call(&mut service.clone(), times));
    assert_eq!(done.work, times * threads as u64, "not all calls were answered");
    done
}

/// How often a call allocates, by the cases of these names: of the first of them, never.
pub(crate) fn allocations(cases: &[(&str, &str)]) -> Vec<Ratio> {
    // What the first call allocates for all is left out.
    let all = |case, times| (allocated(case, times).count * times as f64).round();
    let each = |case| (all(case, 20_000) - all(case, 10_000)) / 10_000.0;
    let op = "allocations, a call through the layer";
    let rows = cases
        .iter()
        .enumerate()
        .map(|(n, (peer, case))| counted(op, peer, each(case), (n == 0).then_some(0.0), 10_000));
    rows.collect()
}
