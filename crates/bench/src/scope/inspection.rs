//! What it costs to be looked at, and to look.

use super::{Place, count};
use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tidegate_core::{
    Cx,
    inspect::{Snapshot, Watch},
    scope,
};
use tokio::{
    runtime::Runtime,
    task::{JoinSet, yield_now},
    time::sleep,
};
use tokio_metrics::TaskMonitor;

const YIELDERS: u64 = 64;
const PARKED: u64 = 100_000;
/// The name of the tasks that are counted in a picture.
const SLEEPER: &str = "sleeper";
/// About as long as a picture takes.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(plan: Plan, two_workers: Place<'_>, current_thread: Place<'_>) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for place in [two_workers, current_thread] {
        ratios.extend(yields(plan, place));
    }
    ratios.extend(snapshots(plan, two_workers.runtime));
    ratios.extend(pauses(plan, current_thread.runtime));
    ratios
}

fn yields(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let (rounds, each) = (plan.rounds(31), plan.size(10_000, 1_000));
    let ours = move || place.run(our_yields(each));
    let op = format!("polls of children that yield, watched, {}", place.name);
    let mut ratios = Contest::new(op, Cost::Wall, rounds, move || {
        let _watch = Watch::start().unwrap();
        ours()
    })
    .against("unwatched", 1.03, ours)
    .against("tokio tasks", None, move || place.run(tokio_yields(each, None)))
    .run();
    let op = format!("polls of tokio tasks that yield, in a TaskMonitor, {}", place.name);
    let monitored = Contest::new(op, Cost::Wall, rounds, move || {
        place.run(tokio_yields(each, Some(TaskMonitor::new())))
    })
    .against("without", None, move || place.run(tokio_yields(each, None)));
    ratios.extend(monitored.run());
    ratios
}

async fn yield_often(times: u64) -> u64 {
    for _ in 0..times {
        yield_now().await;
    }
    times
}

async fn our_yields(each: u64) -> u64 {
    let yields = scope("yields", async |cx: Cx<Infallible>| {
        let yielders: Vec<_> = (0..YIELDERS)
            .map(|_| cx.spawn("yielder", async move { Ok(yield_often(each).await) }))
            .collect();
        let mut yields = 0;
        for yielder in yielders {
            yields += yielder.await.unwrap();
        }
        Ok(yields)
    });
    yields.await.unwrap()
}

async fn tokio_yields(each: u64, monitor: Option<TaskMonitor>) -> u64 {
    let mut yielders = JoinSet::new();
    for _ in 0..YIELDERS {
        match &monitor {
            Some(monitor) => yielders.spawn(monitor.instrument(yield_often(each))),
            None => yielders.spawn(yield_often(each)),
        };
    }
    yielders.join_all().await.iter().sum()
}

/// Takes a picture and writes it.
type Look = fn() -> String;

/// Pictures of 100 000 tasks, taken by a thread beside two workers that spawn all the time. No
/// task may be missing in any.
fn snapshots(plan: Plan, runtime: &Runtime) -> Vec<Ratio> {
    let formats: [(&str, Look); 2] =
        [("JSON", || Snapshot::take().to_json()), ("text", || Snapshot::take().to_string())];
    let times = beside_crowd(runtime, 2, |_| {
        formats.map(|(_, look)| (0..plan.rounds(31)).map(|_| timed(look)).collect::<Vec<_>>())
    });
    let rows = formats.iter().zip(times).map(|((format, _), times)| {
        let op = format!("snapshot of {PARKED} tasks as {format} while 2 workers spawn");
        absolute(&op, "ms", times, 50.0)
    });
    rows.collect()
}

/// How long a spawn takes at most during one picture, on a thread that does nothing else.
fn pauses(plan: Plan, runtime: &Runtime) -> Vec<Ratio> {
    let rounds = plan.rounds(31);
    let (with, without) = beside_crowd(runtime, 1, |crowd| {
        let with = (0..rounds).map(|_| {
            crowd.longest_spawn(|| {
                timed(|| Snapshot::take().to_json());
            })
        });
        let with: Vec<_> = with.collect();
        let without = (0..rounds).map(|_| crowd.longest_spawn(|| thread::sleep(LOOK)));
        (with, without.collect())
    });
    let op = format!("longest spawn during a snapshot of {PARKED} tasks");
    let without = absolute("longest spawn in 50 ms without one", "us", without, f64::MAX);
    vec![absolute(&op, "us", with, 100.0), Ratio { target: None, ..without }]
}

fn timed(look: Look) -> Duration {
    let began = Instant::now();
    let text = look();
    let took = began.elapsed();
    assert_eq!(text.matches(SLEEPER).count() as u64, PARKED, "tasks are lost");
    took
}

/// A row that stands for itself: no peer does the same.
fn absolute(op: &str, unit: &'static str, mut times: Vec<Duration>, target: f64) -> Ratio {
    times.sort_unstable();
    let scale = if unit == "ms" { 1e3 } else { 1e6 };
    let [median, min] = [times.len() / 2, 0].map(|n| times[n].as_secs_f64() * scale);
    let rounds = times.len();
    Ratio { min, rounds, ..count(op, unit, median, target, PARKED) }
}

/// Tasks that sleep, and some that spawn all the time.
#[derive(Default)]
struct Crowd {
    is_there: AtomicBool,
    is_over: AtomicBool,
    longest_spawn: AtomicU64,
}

/// Does `work` beside a crowd on `runtime`.
fn beside_crowd<T>(runtime: &Runtime, spawners: usize, work: impl FnOnce(&Crowd) -> T) -> T {
    let crowd = Arc::<Crowd>::default();
    thread::scope(|scope| {
        let on_runtime = Arc::clone(&crowd).run(spawners);
        scope.spawn(|| runtime.block_on(runtime.spawn(on_runtime)).unwrap());
        while !crowd.is_there.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        let result = work(&crowd);
        crowd.is_over.store(true, Ordering::Relaxed);
        result
    })
}

impl Crowd {
    async fn run(self: Arc<Self>, spawners: usize) {
        let crowd = scope("crowd", async |cx: Cx<Infallible>| {
            for _ in 0..PARKED {
                let sleeper = cx.clone();
                cx.spawn(SLEEPER, async move {
                    sleeper.cancelled().await;
                    Ok(())
                });
            }
            // All of them have a turn.
            sleep(Duration::from_millis(200)).await;
            let spawners: Vec<_> = (0..spawners)
                .map(|_| {
                    let (crowd, cx) = (Arc::clone(&self), cx.clone());
                    cx.clone().spawn("spawner", async move {
                        crowd.spawn_on(&cx).await;
                        Ok(())
                    })
                })
                .collect();
            self.is_there.store(true, Ordering::Relaxed);
            for spawner in spawners {
                spawner.await.unwrap();
            }
            cx.cancel("enough");
            Ok(())
        });
        crowd.await.unwrap();
    }

    async fn spawn_on(&self, cx: &Cx<Infallible>) {
        while !self.is_over.load(Ordering::Relaxed) {
            for _ in 0..32 {
                let began = Instant::now();
                cx.spawn("short", async { Ok(()) });
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap();
                self.longest_spawn.fetch_max(took, Ordering::Relaxed);
            }
            yield_now().await;
        }
    }

    /// How long the longest spawn takes while `work` is done.
    fn longest_spawn(&self, work: impl FnOnce()) -> Duration {
        self.longest_spawn.store(0, Ordering::Relaxed);
        work();
        Duration::from_nanos(self.longest_spawn.load(Ordering::Relaxed))
    }
}
