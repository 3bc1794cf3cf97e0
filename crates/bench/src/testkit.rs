//! The tools for tests: what they cost, and how soon they know.

use crate::{
    Plan,
    clock::Stopwatch,
    contest::{Contest, Cost, Ratio},
};
use std::{sync::Arc, time::Duration};
use tidegate_testkit::{Bubble, FailureKind, LeakGuard, Seed};
use tidegate_zoo::{HUNTS, Hunt};
use tokio::{
    runtime::Builder,
    sync::{Barrier, Mutex},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How many bubbles there are in one measurement.
const BUBBLES: u64 = 1_000;
/// The time that a test without a bubble waits until it calls it a deadlock.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = bubbles(plan);
    ratios.extend(verdicts(plan));
    ratios.push(leak_check());
    ratios.push(detection(plan));
    ratios
}

fn bubbles(plan: Plan) -> Vec<Ratio> {
    let times = plan.size(BUBBLES, 100);
    let test = async || sleep(Duration::from_secs(1)).await;
    Contest::new("a test that sleeps for a second", Cost::Wall, plan.rounds(31), || {
        (0..times).map(|_| Bubble::new().run(test()).map_or(0, |()| 1)).sum::<u64>()
    })
    .against("a paused runtime", 1.5, || {
        let bare = |_| {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap().block_on(test());
            1
        };
        (0..times).map(bare).sum::<u64>()
    })
    .run()
}

fn verdicts(plan: Plan) -> Vec<Ratio> {
    let op = "verdict on two tasks that lock two mutexes in two orders";
    Contest::new(op, Cost::Wall, plan.rounds(5), || {
        let failure = Bubble::new().run(async { drop(ab_ba().await) }).unwrap_err();
        u64::from(matches!(failure.kind(), FailureKind::Deadlock { .. }))
    })
    .against("a timeout of 1 s", 0.001, || {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let waited = runtime.block_on(async { timeout(TIMEOUT, ab_ba()).await });
        u64::from(waited.is_err())
    })
    .run()
}

/// Never ends. The other task is aborted by the end of its runtime.
async fn ab_ba() -> JoinHandle<()> {
    let locks = Arc::new([Mutex::new(()), Mutex::new(())]);
    let both = Arc::new(Barrier::new(2));
    let (other_locks, other_both) = (Arc::clone(&locks), Arc::clone(&both));
    let other = tokio::spawn(async move {
        let _b = other_locks[1].lock().await;
        other_both.wait().await;
        let _a = other_locks[0].lock().await;
    });
    let _a = locks[0].lock().await;
    both.wait().await;
    let _b = locks[1].lock().await;
    other
}

/// Of the tasks of a runtime that has some.
fn leak_check() -> Ratio {
    const TIMES: u64 = 10_000;
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let each = runtime.block_on(async {
        let _tasks: Vec<_> = (0..100).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        let watch = Stopwatch::start();
        for _ in 0..TIMES {
            LeakGuard::current().verify(Duration::ZERO).await.unwrap();
        }
        watch.stop().wall.as_secs_f64() * 1e6 / TIMES as f64
    });
    Ratio {
        op: "leak check".to_owned(),
        peer: "each".to_owned(),
        unit: "us",
        median: each,
        min: each,
        target: Some(20.0),
        work: TIMES,
        rounds: 1,
    }
}

/// Of the races of the zoo, by a stress test and by a loop that starts four threads.
fn detection(plan: Plan) -> Ratio {
    let time = Duration::from_millis(plan.size(3_500, 300));
    // Tens of thousands of panics, each of which is what is looked for.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let ratios: Vec<f64> = HUNTS.iter().map(|hunt| ratio_of_times(hunt, time)).collect();
    std::panic::set_hook(report);
    let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
    Ratio {
        op: format!("time until a race is found, {} races", HUNTS.len()),
        peer: "a plain loop".to_owned(),
        unit: "wall",
        median: mean.exp(),
        min: ratios.into_iter().fold(f64::INFINITY, f64::min),
        target: Some(0.02),
        work: HUNTS.len() as u64,
        rounds: 1,
    }
}

/// The time it takes us to find the race, divided by that of the loop. What is not found in `time`
/// counts as found at its end.
fn ratio_of_times(hunt: &Hunt, time: Duration) -> f64 {
    let mut seed = 0;
    let ours = time_to_find(time, |left| {
        seed += 1;
        (hunt.ours)(Seed::new(seed), left)
    });
    ours / time_to_find(time, hunt.plain)
}

/// In seconds, on average.
fn time_to_find(time: Duration, mut find: impl FnMut(Duration) -> bool) -> f64 {
    let watch = Stopwatch::start();
    let mut found = 0_u32;
    while let Some(left) = time.checked_sub(watch.wall()) {
        found += u32::from(find(left));
    }
    watch.wall().as_secs_f64() / f64::from(found.max(1))
}
