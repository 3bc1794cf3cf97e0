//! Spawn and join of tasks that do nothing.

use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
};
use std::convert::Infallible;
use tidegate_core::{Cx, scope};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tokio_util::task::TaskTracker;

/// How often a batch is repeated in one measurement.
const REPEAT: u64 = 200;
const BATCH: u64 = 1_000;

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let two_workers = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let current_thread = Builder::new_current_thread().enable_all().build().unwrap();
    let mut ratios = Vec::new();
    for (runtime, place) in [(&two_workers, "2 workers"), (&current_thread, "current thread")] {
        ratios.extend(spawn_and_join(plan, runtime, place));
    }
    ratios
}

fn spawn_and_join(plan: Plan, runtime: &Runtime, place: &str) -> Vec<Ratio> {
    let op = format!("spawn and join {BATCH} tasks, {place}");
    Contest::new(op, Cost::Wall, plan.rounds(31), || repeat(runtime, ours))
        .against("JoinSet", 1.0, || repeat(runtime, join_set))
        .against("TaskTracker (no results, no errors)", None, || repeat(runtime, task_tracker))
        .run()
}

/// Runs batches from a worker of the runtime, as a service would.
fn repeat<F>(runtime: &Runtime, batch: impl Fn() -> F + Send + 'static) -> u64
where
    F: Future<Output = u64> + Send,
{
    let all = async move {
        let mut done = 0;
        for _ in 0..REPEAT {
            done += batch().await;
        }
        done
    };
    runtime.block_on(runtime.spawn(all)).unwrap()
}

async fn ours() -> u64 {
    let counted = scope("batch", async |cx: Cx<Infallible>| {
        for _ in 0..BATCH {
            cx.spawn("no-op", async { Ok(()) });
        }
        Ok(BATCH)
    });
    counted.await.unwrap()
}

async fn join_set() -> u64 {
    let mut set = JoinSet::new();
    for _ in 0..BATCH {
        set.spawn(async {});
    }
    let mut joined = 0;
    while let Some(result) = set.join_next().await {
        result.unwrap();
        joined += 1;
    }
    joined
}

async fn task_tracker() -> u64 {
    let tracker = TaskTracker::new();
    for _ in 0..BATCH {
        tracker.spawn(async {});
    }
    tracker.close();
    tracker.wait().await;
    BATCH
}
