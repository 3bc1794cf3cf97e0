//! Storms on a real multi-threaded runtime: run for longer by `cargo xtask stress`.

use crate::disturbed;
use std::{
    fmt,
    future::pending,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{CancelToken, Cx, Reason, Scope, ScopeError, Straggler, WorkKind, scope};
use tidegate_testkit::{LeakGuard, Rng, Seed, Stress, scale};
use tokio::{runtime::Runtime, task::yield_now};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
});

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_storm_of_dropped_scopes() {
    let _disturbed = disturbed();
    let rounds = scale(10_000);
    let seed = Seed::from_env_or_new("storm_of_dropped_scopes");
    // Before the storm: a panic would not get to the line at its end.
    println!("stress: storm_of_dropped_scopes seed={seed}");
    let mut rng = seed.rng();
    let leaks = LeakGuard::current();
    let alive = Arc::new(());
    let result = scope("storm", async |cx: Cx<Broken>| {
        for _ in 0..rounds {
            drop_midway(&cx, &alive, &mut rng).await;
        }
        Err::<(), _>(Broken)
    })
    .await;
    assert_eq!(Arc::strong_count(&alive), 1, "seed {seed}");
    // The parent has counted every child that had to be aborted.
    let error = result.unwrap_err();
    let adopted = error.report().adopted().len() + error.report().adopted_more();
    assert_eq!(adopted, usize::try_from(rounds).unwrap() * 2, "seed {seed}");
    leaks.verify(Duration::from_secs(5)).await.unwrap();
    println!("stress: storm_of_dropped_scopes seed={seed} rounds={rounds}");
}

/// Drops a scope with two children after a few polls, which may be before they ran.
async fn drop_midway(cx: &Cx<Broken>, alive: &Arc<()>, rng: &mut Rng) {
    let nested = cx.scope("nested", async |cx: Cx<Broken>| {
        for _ in 0..2 {
            let alive = Arc::clone(alive);
            cx.spawn("child", async move {
                yield_now().await;
                let ended = pending::<Result<(), Broken>>().await;
                drop(alive);
                ended
            });
        }
        pending::<Result<(), Broken>>().await
    });
    let polls = rng.below(4);
    tokio::select! {
        biased;
        _ = nested => unreachable!("it never ends by itself"),
        () = async { for _ in 0..polls { yield_now().await } } => {}
    }
}

#[test]
fn stress_races_of_error_panic_and_cancel() {
    struct Round {
        token: CancelToken,
        seed: u64,
        alive: Arc<()>,
    }
    silence_deliberate_panics();
    let _disturbed = disturbed();
    Stress::new("races_of_error_panic_and_cancel").run(
        |rng| Round { token: CancelToken::new(), seed: rng.next_u64(), alive: Arc::default() },
        |round, ctx| {
            let mut rng = Rng::new(round.seed).stream(ctx.index() as u64);
            ctx.point();
            if ctx.index() == 0 {
                round.token.cancel("outside");
                return;
            }
            let tally = Arc::new(Tally::default());
            let result = RUNTIME.block_on(
                Scope::builder("race").grace(Duration::ZERO).token(&round.token).run(async |cx| {
                    for _ in 0..rng.below(6) {
                        let kind = rng.below(5);
                        let (own, alive) = (cx.clone(), Arc::clone(&round.alive));
                        let tally = Arc::clone(&tally);
                        tally.spawned.fetch_add(1, Ordering::SeqCst);
                        cx.spawn("child", async move {
                            let result = tally.count(kind, child(kind, &own)).await;
                            drop(alive);
                            result
                        });
                    }
                    let result = if rng.one_in(2) {
                        Ok(())
                    } else {
                        cx.run(pending()).await.map_err(|_| Broken)
                    };
                    tally.faults.fetch_add(usize::from(result.is_err()), Ordering::SeqCst);
                    result
                }),
            );
            tally.compare(result.err());
        },
        |round, _| match Arc::strong_count(&round.alive) {
            1 => Ok(()),
            n => Err(format!("{} children outlived their scope", n - 1)),
        },
    );
}

/// What the children of a scope did, as they saw it themselves.
#[derive(Default)]
struct Tally {
    spawned: AtomicUsize,
    ended: AtomicUsize,
    faults: AtomicUsize,
}

impl Tally {
    /// Counts in the very poll that ends the child: an abort comes before it or not at all.
    async fn count(
        &self,
        kind: u64,
        child: impl Future<Output = Result<(), Broken>>,
    ) -> Result<(), Broken> {
        let result = child.await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        self.faults.fetch_add(usize::from(kind == 2 || result.is_err()), Ordering::SeqCst);
        assert!(kind != 2, "deliberate");
        result
    }

    /// A scope reports each error and panic once, and each child that it did not let end.
    fn compare(&self, error: Option<ScopeError<Broken>>) {
        let count = |n: &AtomicUsize| n.load(Ordering::SeqCst);
        let (faults, aborted) = error.map_or((0, 0), |error| {
            let report = error.report();
            let first = matches!(error.reason(), Reason::Failed(_) | Reason::Panicked(_));
            let tasks = |s: &&Straggler| s.task().kind() == WorkKind::Task;
            let aborted = report.aborted().iter().filter(tasks).count() + report.refused();
            (usize::from(first) + report.also().len() + report.more(), aborted)
        });
        assert_eq!(faults, count(&self.faults), "errors and panics");
        assert_eq!(aborted, count(&self.spawned) - count(&self.ended), "children aborted");
    }
}

async fn child(kind: u64, cx: &Cx<Broken>) -> Result<(), Broken> {
    yield_now().await;
    match kind {
        // 2 panics after it was counted.
        0 | 2 => Ok(()),
        1 => Err(Broken),
        3 => {
            cx.cancelled().await;
            Ok(())
        }
        _ => {
            cx.cancel("a child has had enough");
            Ok(())
        }
    }
}

/// Thousands of expected panics would drown the output.
fn silence_deliberate_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"deliberate") {
            report(info);
        }
    }));
}
