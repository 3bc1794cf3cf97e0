//! Scopes: what a child costs, and what it costs to look at it.

mod around;
mod inspection;
mod parked;
mod service;
mod spawn;

use crate::{Plan, alloc::allocated, contest::Ratio};
use tokio::runtime::{Builder, Runtime};

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let two_workers = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let current_thread = Builder::new_current_thread().enable_all().build().unwrap();
    let places = [
        Place { runtime: &two_workers, name: "2 workers", is_current_thread: false },
        Place { runtime: &current_thread, name: "current thread", is_current_thread: true },
    ];
    let mut ratios = spawn::counts();
    ratios.extend(parked::counts());
    for place in places {
        ratios.extend(spawn::run(plan, place));
        ratios.extend(parked::run(plan, place));
        ratios.extend(service::run(plan, place));
        ratios.extend(around::run(plan, place));
    }
    ratios.extend(inspection::run(plan, places[0], places[1]));
    ratios
}

/// Where a contender runs.
#[derive(Clone, Copy)]
struct Place<'a> {
    runtime: &'a Runtime,
    name: &'static str,
    is_current_thread: bool,
}

impl Place<'_> {
    /// Runs `work` on a worker of the runtime, as a service would.
    fn run<T: Send + 'static>(self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(self.runtime.spawn(work)).unwrap()
    }
}

/// What is counted for ours, each time that it is done, and not divided by a peer's.
fn count(op: &str, unit: &'static str, each: f64, target: f64, times: u64) -> Ratio {
    Ratio {
        op: op.to_owned(),
        peer: "each".to_owned(),
        unit,
        median: each,
        min: each,
        target: Some(target),
        work: times,
        rounds: 1,
    }
}

/// Allocations of the case of that name, of ours and divided by the peer's.
fn allocations(case: &str, peer: &'static str, target: f64, times: u64) -> [Ratio; 2] {
    let ours = allocated(&format!("{case} ours"), times).count;
    let theirs = allocated(&format!("{case} {peer}"), times).count;
    let op = format!("allocations, {case}");
    let own = count(&op, "count", ours, target, times);
    let ratio = Ratio { target: None, ..count(&op, "count", ours / theirs, target, times) };
    [own, Ratio { peer: peer.to_owned(), ..ratio }]
}
