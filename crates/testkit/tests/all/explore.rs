//! Schedules from seeds. Names begin with `explore_`, so that a build with `tokio_unstable`, where all
//! tasks are preempted, runs just these.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex as StdMutex},
    time::Duration,
};
use tidegate_testkit::{
    Bubble, FailureKind, Perturbed, Seed, Seeds, cancel_everywhere, explore, perturbed,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::{JoinSet, spawn},
    time::sleep,
};

/// In which order four tasks have a fair lock, six times each.
async fn order() -> Vec<usize> {
    let trace = Arc::new(StdMutex::new(Vec::new()));
    let lock = Arc::new(Mutex::new(()));
    let (end, mut ended) = mpsc::channel::<()>(1);
    for task in 0..4 {
        let (trace, lock, end) = (Arc::clone(&trace), Arc::clone(&lock), end.clone());
        drop(spawn(perturbed(async move {
            for _ in 0..6 {
                let _held = lock.lock().await;
                trace.lock().unwrap().push(task);
            }
            drop(end);
        })));
    }
    drop(end);
    assert_eq!(ended.recv().await, None);
    let trace = trace.lock().unwrap();
    trace.clone()
}

/// The orders that were seen, by their seeds.
fn orders(seeds: Seeds) -> BTreeMap<u64, Vec<usize>> {
    let seen = RefCell::new(BTreeMap::new());
    explore(seeds, async |seed| {
        let order = order().await;
        seen.borrow_mut().insert(seed.value(), order);
    })
    .assert_passed();
    seen.into_inner()
}

#[test]
fn explore_has_the_same_order_for_the_same_seed_and_others_for_others() {
    let first = orders(Seeds::n(64));
    assert_eq!(first.len(), 64, "each seed is another");
    let distinct: BTreeSet<_> = first.values().collect();
    assert!(distinct.len() >= 8, "{distinct:?}");
    assert_eq!(first, orders(Seeds::n(64)));
    for (seed, order) in first.into_iter().take(8) {
        assert_eq!(orders(Seeds::only(Seed::new(seed))), [(seed, order)].into());
    }
}

/// A plain bubble has one schedule.
#[test]
fn explore_is_what_perturbs() {
    let orders: BTreeSet<_> = (0..32)
        .map(|seed| {
            let bubble = Bubble::builder().seed(Seed::new(seed)).build().unwrap();
            bubble.run(order()).unwrap()
        })
        .collect();
    assert_eq!(orders.len(), 1);
}

/// Two of them look before either has taken; a plain schedule never shows it.
async fn overdraws() -> Result<(), String> {
    let balance = Arc::new(Mutex::new(10));
    let tasks: JoinSet<()> = (0..2)
        .map(|_| {
            let balance = Arc::clone(&balance);
            perturbed(async move {
                let seen = *balance.lock().await;
                if seen >= 10 {
                    *balance.lock().await -= 10;
                }
            })
        })
        .collect();
    tasks.join_all().await;
    match *balance.lock().await {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}

#[test]
fn explore_finds_what_a_plain_schedule_does_not() {
    Bubble::new().run(overdraws()).unwrap().unwrap();
    let report = explore(Seeds::n(256), |_| overdraws());
    let (seed, text) = (report.failing_seed().unwrap(), report.failure().unwrap());
    let flags = if cfg!(tokio_unstable) { "RUSTFLAGS=\"--cfg tokio_unstable\" " } else { "" };
    let expected = format!(
        "the test has returned \"-10 are left\"\nrun it again: {flags}TIDEGATE_SEED={seed} cargo \
         test -p tidegate-testkit --test all -- --exact \
         explore::explore_finds_what_a_plain_schedule_does_not"
    );
    // Under Miri the program is the interpreter.
    if !cfg!(miri) {
        assert_eq!(text, expected);
    }
    let again = explore(Seeds::only(seed), |_| overdraws());
    assert_eq!((again.failing_seed(), again.failure()), (Some(seed), Some(text)));
    assert!(report.seeds() <= 256 && report.to_string().contains(&format!("with seed {seed}")));
}

/// What `perturbed` wraps is preempted once, and what it does not, only in a build that can do it.
#[test]
fn explore_says_what_it_has_perturbed() {
    let passed = explore(Seeds::n(3), |_| async {});
    let here = if cfg!(tokio_unstable) { Perturbed::Tasks } else { Perturbed::Test };
    assert_eq!((passed.seeds(), passed.perturbed()), (3, here));
    let text = passed.to_string();
    let hint = text.contains("build with RUSTFLAGS=\"--cfg tokio_unstable\"");
    assert_eq!(hint, !cfg!(tokio_unstable), "{text}");
    assert!(text.starts_with("passed with 3 seed(s); perturbed: "), "{text}");
}

#[test]
fn explore_stops_at_the_first_panic_or_verdict() {
    let runs = Cell::new(0);
    let report = explore(Seeds::n(100), async |_| {
        runs.set(runs.get() + 1);
        assert!(runs.get() < 5, "the fifth");
    });
    assert_eq!((report.seeds(), runs.get()), (5, 5));
    assert!(report.failure().unwrap().starts_with("the test panicked: the fifth\nrun it again: "));
    let stuck = explore(Seeds::n(100), |_| std::future::pending::<()>());
    assert_eq!(stuck.seeds(), 1);
    let seed = stuck.failing_seed().unwrap();
    let command = format!("TIDEGATE_SEED={seed}");
    assert!(
        stuck.failure().unwrap().starts_with("deadlock after 0ns")
            && stuck.failure().unwrap().contains(&command)
    );
}

#[test]
fn explore_takes_as_long_as_it_is_given() {
    let none = explore(Seeds::time(Duration::ZERO), |_| async {});
    assert_eq!(none.seeds(), 1);
    let some = explore(Seeds::time(Duration::from_millis(50)), |_| sleep(Duration::from_secs(1)));
    assert!(some.seeds() >= 1 && some.failure().is_none(), "{some}");
}

#[tidegate_testkit::test(seeds = 16)]
#[should_panic(expected = "returned \"one of them\"")]
async fn explore_by_the_attribute() -> Result<(), String> {
    let seed = Seed::current().expect("each run has one");
    if seed.value() % 4 == 0 { Err("one of them".to_owned()) } else { Ok(()) }
}

/// Settings of the bubble hold for each run.
#[test]
fn explore_in_bubbles_of_ones_own() {
    let hour = Duration::from_secs(3600);
    let bubble = Bubble::builder().virtual_budget(hour).build().unwrap();
    let report = bubble.explore(Seeds::n(4), |_| sleep(hour * 2));
    assert!(report.failure().unwrap().starts_with("the clock has moved on"), "{report}");
    let failure = bubble.run(async { sleep(hour * 2).await }).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::OverBudget { .. }));
}

/// A task that nothing is wrapped around: its three sends are ready, and it goes through at once.
#[cfg(tokio_unstable)]
#[test]
fn explore_preempts_plain_tasks_and_seeds_select() {
    let seen = RefCell::new(BTreeSet::new());
    let picked = RefCell::new(BTreeMap::new());
    let run = async |seed: Seed| {
        let (to, mut from) = mpsc::channel(8);
        for task in 0..2 {
            let to = to.clone();
            drop(spawn(async move {
                for _ in 0..3 {
                    to.send(task).await.unwrap();
                }
            }));
        }
        drop(to);
        let mut order = Vec::new();
        while let Some(task) = from.recv().await {
            order.push(task);
        }
        seen.borrow_mut().insert(order);
        let mut picks = Vec::new();
        for _ in 0..8 {
            picks.push(
                tokio::select! { () = async {} => 0, () = async {} => 1, () = async {} => 2 },
            );
        }
        let former = picked.borrow_mut().insert(seed.value(), picks.clone());
        assert!(former.is_none_or(|former| former == picks));
    };
    explore(Seeds::n(64), run).assert_passed();
    explore(Seeds::n(64), run).assert_passed();
    assert!(seen.borrow().len() >= 3, "{seen:?}");
    let picks: BTreeSet<_> = picked.borrow().values().cloned().collect();
    assert!(picks.len() > 32, "{picks:?}");
}

#[test]
fn what_is_perturbed_is_dropped_with_its_wrapper() {
    let report = cancel_everywhere(
        || tokio::sync::Semaphore::new(1),
        async |permits| {
            perturbed(async {
                let _held = permits.acquire().await.unwrap();
                tokio::task::yield_now().await;
            })
            .await;
        },
        async |permits, point| assert_eq!(permits.available_permits(), 1, "{point}"),
    );
    report.assert_covered(2);
}

/// A panic that comes of showing the error is a failure with a seed, too.
#[test]
fn explore_bears_an_error_that_cannot_be_shown() {
    struct Shy;
    impl std::fmt::Debug for Shy {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("not shown")
        }
    }
    let seed = Seed::new(7);
    let report = explore(Seeds::only(seed), async |_| Err::<(), _>(Shy));
    assert_eq!(report.failing_seed(), Some(seed));
    assert!(report.failure().unwrap().contains("not shown"), "{report}");
}
