//! Random trees of scopes against a small sequential oracle.
//!
//! A plan is a tree of scopes and tasks that succeed, fail, panic, ignore a cancellation, block,
//! take long polls, spawn late and elsewhere, are dropped midway, and cancel, stop and move the
//! deadlines of each other. On a paused clock its run is compared with what an interpreter of
//! the same plan foretells, to the millisecond.

mod check;
mod oracle;
mod plan;
mod world;

use self::plan::{Plan, Style, generate};
use crate::disturbed;
use std::{convert::Infallible, time::Duration};
use tidegate_core::{Cx, scope};
use tidegate_testkit::{LeakGuard, Seed, scale};
use tokio::runtime::{Builder, Runtime};

/// Some hours: no two timers of a tree are at the same millisecond, but by rare chance.
const APART: Style = Style { span: 1 << 24, nodes: 200 };

/// All within a few milliseconds.
const CROWDED: Style = Style { span: 4, nodes: 200 };

/// `many` rounds for each two seconds that a lane gives to a stress test; a few in the ordinary
/// run of the tests.
#[expect(clippy::print_stdout, reason = "the stress lane reads it")]
fn rounds(name: &str, many: u64, few: u64, mut round: impl FnMut(Seed)) {
    let seed = Seed::from_env_or_new(name);
    println!("stress: {name} seed={seed}");
    let given: Option<u64> = std::env::var("TIDEGATE_STRESS_MS").ok().map(|ms| ms.parse().unwrap());
    let rounds = scale(given.map_or(few, |ms| few.max(many * ms / 2000)));
    let mut rng = seed.rng();
    // The first is the seed itself, so that a seed that failed is the first to be tried again.
    let seeds = std::iter::once(seed).chain(std::iter::repeat_with(|| Seed::new(rng.next_u64())));
    seeds.take(usize::try_from(rounds).unwrap()).for_each(&mut round);
    println!("stress: {name} seed={seed} rounds={rounds}");
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn fail(seed: Seed, plan: &Plan, error: &str) -> ! {
    panic!("TIDEGATE_SEED={seed}: {error}\n{plan:?}")
}

#[test]
fn stress_random_trees_end_as_foretold() {
    let (mut ambiguous, mut all) = (0, 0);
    rounds("random_trees_end_as_foretold", 10_500, 300, |seed| {
        let plan = generate(&mut seed.rng(), APART);
        let oracle = oracle::predict(&plan);
        all += 1;
        if oracle.is_ambiguous {
            ambiguous += 1;
            return;
        }
        let runtime = paused();
        let world = runtime.block_on(world::run(&plan));
        let left = runtime.metrics().num_alive_tasks();
        let compared = check::as_foretold(&oracle, &world)
            .and_then(|()| check::invariants(&world, true))
            .and_then(|()| if left == 0 { Ok(()) } else { Err(format!("{left} tasks are left")) });
        if let Err(error) = compared {
            fail(seed, &plan, &error);
        }
    });
    assert!(ambiguous * 25 <= all, "{ambiguous} trees of {all} cannot be foretold");
}

/// Who comes first is chance then, but nothing is lost and nobody outlives anything.
#[test]
fn stress_crowded_trees_lose_nothing() {
    rounds("crowded_trees_lose_nothing", 5_000, 200, |seed| {
        let plan = generate(&mut seed.rng(), CROWDED);
        let runtime = paused();
        let world = runtime.block_on(world::run(&plan));
        if let Err(error) = check::invariants(&world, true) {
            fail(seed, &plan, &error);
        }
    });
}

/// Many trees at once on two threads, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_trees_on_two_threads_lose_nothing() {
    const AT_ONCE: usize = 32;
    let _disturbed = disturbed();
    let mut seeds = Vec::new();
    rounds("trees_on_two_threads_lose_nothing", 3_000, 100, |seed| seeds.push(seed));
    let leaks = LeakGuard::current();
    for seeds in seeds.chunks(AT_ONCE) {
        scope("trees", async |cx: Cx<Infallible>| {
            for &seed in seeds {
                cx.spawn("tree", async move {
                    let plan = generate(&mut seed.rng(), CROWDED);
                    let world = world::run(&plan).await;
                    if let Err(error) = check::invariants(&world, false) {
                        fail(seed, &plan, &error);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    leaks.verify(Duration::from_secs(5)).await.unwrap();
}
