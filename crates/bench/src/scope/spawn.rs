//! Spawn and join of tasks that do nothing, or return a number.

use super::{Place, allocations};
use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
};
use std::{
    convert::Infallible,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tidegate_core::{Cx, inspect::Watch, scope};
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::task::TaskTracker;

/// How many tasks there are in one measurement, whatever the size of a batch.
const TASKS: u64 = 200_000;
/// The same where a task takes some microseconds.
const FEW: u64 = 20_000;
const BATCHES: [u64; 3] = [100, 1_000, 100_000];
const BATCH: u64 = 1_000;

/// What nobody who spawns with tokio can do without.
const FLOOR: &str = "tokio::spawn and its JoinHandle";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The work of a task.
trait Work: Fn() + Copy + Send + Sync + 'static {}

impl<W: Fn() + Copy + Send + Sync + 'static> Work for W {}

pub(crate) fn counts() -> Vec<Ratio> {
    let plain = allocations("spawn and join", "JoinSet", 1.1, 100 * BATCH);
    let valued = allocations("spawn and await a number", "JoinSet", 1.1, 100 * BATCH);
    let boxed = allocations("spawn and await a boxed value", "JoinSet", 3.1, 100 * BATCH);
    [plain, valued, boxed].into_iter().flatten().collect()
}

pub(crate) fn run(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    count_tasks(place);
    let mut ratios = Vec::new();
    for batch in BATCHES {
        ratios.extend(no_ops(plan, place, batch));
    }
    let watch = Watch::start().unwrap();
    let op = format!("spawn and join {BATCH} tasks while watched, {}", place.name);
    ratios.extend(against_join_set(op, plan, place, BATCH).run());
    drop(watch);
    ratios.extend(large(plan, place));
    ratios.extend(values(plan, place));
    for batch in BATCHES {
        ratios.extend(subsystems(plan, place, batch));
    }
    ratios
}

/// Runs `batches` batches one after the other, and adds up what they return.
fn repeat<F>(place: Place<'_>, batches: u64, batch: impl Fn() -> F + Send + 'static) -> u64
where
    F: Future<Output = u64> + Send,
{
    place.run(async move {
        let mut done = 0;
        for _ in 0..batches {
            done += batch().await;
        }
        done
    })
}

/// Every contender runs all of its tasks: counted here, where it disturbs no measurement.
fn count_tasks(place: Place<'_>) {
    static COUNTED: AtomicU64 = AtomicU64::new(0);
    let count = || {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    };
    let contenders: [&dyn Fn() -> u64; 4] = [
        &|| repeat(place, 1, move || ours(BATCH, count)),
        &|| repeat(place, 1, move || join_set(BATCH, count)),
        &|| repeat(place, 1, move || task_tracker(BATCH, count)),
        &|| repeat(place, 1, move || graceful_shutdown(BATCH, count)),
    ];
    for contender in contenders {
        assert_eq!(contender(), BATCH);
        assert_eq!(COUNTED.swap(0, Ordering::Relaxed), BATCH, "not all tasks were run");
    }
}

fn against_join_set(op: String, plan: Plan, place: Place<'_>, batch: u64) -> Contest<'_> {
    let batches = plan.size(TASKS, 2 * batch.max(10_000)) / batch;
    let target = if place.is_current_thread { 0.9 } else { 0.75 };
    Contest::new(op, Cost::Wall, plan.rounds(31), move || {
        repeat(place, batches, move || ours(batch, || {}))
    })
    .against("JoinSet", target, move || repeat(place, batches, move || join_set(batch, || {})))
}

fn no_ops(plan: Plan, place: Place<'_>, batch: u64) -> Vec<Ratio> {
    let batches = plan.size(TASKS, 2 * batch.max(10_000)) / batch;
    let op = format!("spawn and join {batch} tasks, {}", place.name);
    against_join_set(op, plan, place, batch)
        .against("TaskTracker (no results, no errors)", 1.6, move || {
            repeat(place, batches, move || task_tracker(batch, || {}))
        })
        .run()
}

/// Tasks of the size of a handler: the runtime moves a task some ten times that it is given.
fn large(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let batches = plan.size(TASKS, 20_000) / BATCH;
    let work = [1_u8; 2048];
    let work = move || {
        black_box(&work);
    };
    let op = format!("spawn and join {BATCH} tasks of 2 KiB, {}", place.name);
    Contest::new(op, Cost::Wall, plan.rounds(31), || {
        repeat(place, batches, move || ours(BATCH, work))
    })
    .against("JoinSet", 0.9, || repeat(place, batches, move || join_set(BATCH, work)))
    .run()
}

fn values(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let batches = plan.size(TASKS, 20_000) / BATCH;
    let rounds = plan.rounds(31);
    let op = format!("spawn and await {BATCH} numbers, {}", place.name);
    let numbers = Contest::new(op, Cost::Wall, rounds, || {
        repeat(place, batches, || our_values(|n| n, |n| n))
    })
    .against("JoinSet", 0.9, || repeat(place, batches, || joined_values(|n| n, |n| n)))
    .against(FLOOR, None, || repeat(place, batches, || awaited_values(|n| n, |n| n)));
    let mut ratios = numbers.run();
    // A value with a destructor, which ours never drops behind the scope's back.
    let op = format!("spawn and await {BATCH} boxed values, {}", place.name);
    let boxes = Contest::new(op, Cost::Wall, rounds, || {
        repeat(place, batches, || our_values(Box::new, |n| *n))
    })
    .against("JoinSet", 0.9, || repeat(place, batches, || joined_values(Box::new, |n| *n)))
    .against(FLOOR, None, || repeat(place, batches, || awaited_values(Box::new, |n| *n)));
    ratios.extend(boxes.run());
    ratios
}

fn subsystems(plan: Plan, place: Place<'_>, batch: u64) -> Vec<Ratio> {
    let batches = plan.size(100_000, FEW).max(batch) / batch;
    let op = format!("spawn and join {batch} named tasks, {}", place.name);
    Contest::new(op, Cost::Wall, plan.rounds(7), || {
        repeat(place, batches, move || ours(batch, || {}))
    })
    .against("tokio-graceful-shutdown", 0.125, || {
        repeat(place, batches, move || graceful_shutdown(batch, || {}))
    })
    .run()
}

async fn ours(batch: u64, work: impl Work) -> u64 {
    let counted = scope("batch", async |cx: Cx<Infallible>| {
        for _ in 0..batch {
            cx.spawn("no-op", async move {
                work();
                Ok(())
            });
        }
        Ok(batch)
    });
    counted.await.unwrap()
}

async fn join_set(batch: u64, work: impl Work) -> u64 {
    let mut set = JoinSet::new();
    for _ in 0..batch {
        set.spawn(async move { work() });
    }
    let mut joined = 0;
    while let Some(result) = set.join_next().await {
        result.unwrap();
        joined += 1;
    }
    joined
}

async fn task_tracker(batch: u64, work: impl Work) -> u64 {
    let tracker = TaskTracker::new();
    for _ in 0..batch {
        tracker.spawn(async move { work() });
    }
    tracker.close();
    tracker.wait().await;
    batch
}

async fn graceful_shutdown(batch: u64, work: impl Work) -> u64 {
    let root = Toplevel::<BoxError>::new(async move |root: &mut SubsystemHandle| {
        for _ in 0..batch {
            root.start(SubsystemBuilder::new("no-op", async move |_: &mut SubsystemHandle| {
                work();
                Ok::<_, BoxError>(())
            }));
        }
    });
    root.handle_shutdown_requests(Duration::from_secs(30)).await.unwrap();
    batch
}

/// How many values came back; `make` and `read` are the same for all contenders.
async fn our_values<T: Send + 'static>(make: fn(u64) -> T, read: fn(T) -> u64) -> u64 {
    let sum = scope("batch", async |cx: Cx<Infallible>| {
        let mut tasks = Vec::new();
        for n in 0..BATCH {
            tasks.push(cx.spawn("number", async move { Ok(make(n)) }));
        }
        let mut sum = 0;
        for task in tasks {
            sum += read(task.await.unwrap());
        }
        Ok(sum)
    });
    batch_of(sum.await.unwrap())
}

/// All numbers below [`BATCH`] have come back, if their sum is right.
fn batch_of(sum: u64) -> u64 {
    assert_eq!(sum, BATCH * (BATCH - 1) / 2);
    BATCH
}

async fn joined_values<T: Send + 'static>(make: fn(u64) -> T, read: fn(T) -> u64) -> u64 {
    let mut set = JoinSet::new();
    for n in 0..BATCH {
        set.spawn(async move { make(n) });
    }
    let mut sum = 0;
    while let Some(result) = set.join_next().await {
        sum += read(result.unwrap());
    }
    batch_of(sum)
}

/// The floor: plain tasks and their handles, with nobody who would know of them.
async fn awaited_values<T: Send + 'static>(make: fn(u64) -> T, read: fn(T) -> u64) -> u64 {
    let tasks: Vec<_> = (0..BATCH).map(|n| tokio::spawn(async move { make(n) })).collect();
    let mut sum = 0;
    for task in tasks {
        sum += read(task.await.unwrap());
    }
    batch_of(sum)
}
