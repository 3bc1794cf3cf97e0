//! Runs that end in every way, one after the other: for longer by `cargo xtask stress`.

use super::{
    conservation::pipeline,
    ledger::{Ledger, dropped_after},
    runtimes::Error,
};
use futures::StreamExt as _;
use std::time::Duration;
use tidegate_core::{CancelToken, Cx, Scope};
use tidegate_pipeline::OnError;
use tidegate_testkit::{Disturbed, LeakGuard, Rng, Seed, disturb, scale};

/// Disturbs all threads, at each lock and atomic of the crate where the build has points there.
fn disturbed() -> Disturbed {
    #[cfg(tidegate_stress)]
    tidegate_core::sync::inject::with(tidegate_testkit::point_at);
    disturb(Seed::from_env_or_new("disturbed"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_runs_that_fail_panic_are_cancelled_and_dropped() {
    let _disturbed = disturbed();
    let rounds = scale(200);
    let seed = Seed::from_env_or_new("runs_that_fail_panic_are_cancelled_and_dropped");
    println!("TIDEGATE_SEED={:#x}", seed.value());
    let mut rng = seed.rng();
    let leaks = LeakGuard::current();
    for round in 0..rounds {
        let ledger = Ledger::default();
        let token = CancelToken::new();
        let mut ended = Ok(());
        let scope = Scope::builder("run").token(&token);
        let _run = scope
            .run(async |cx: Cx<Error>| {
                ended = one(&cx, &token, &ledger, &mut rng).await;
                Ok::<_, Error>(())
            })
            .await;
        if let Err(what) = ended {
            panic!("round {round}: {what}");
        }
        assert_eq!(ledger.alive(), 0, "round {round}: items outlived their run");
    }
    leaks.verify(Duration::from_secs(5)).await.unwrap();
    let seed = seed.value();
    println!("stress: runs_that_end_in_every_way seed={seed:#x} rounds={rounds}");
}

/// One run of a random pipeline, ended in a random way; what is wrong with its books.
async fn one(
    cx: &Cx<Error>,
    token: &CancelToken,
    ledger: &Ledger,
    rng: &mut Rng,
) -> Result<(), String> {
    let on_error = if rng.one_in(2) { OnError::FailFast } else { OnError::Collect { max: 3 } };
    let pipeline = pipeline(rng.next_u64(), ledger).on_error(on_error);
    let stats = pipeline.stats();
    let mut delivered = 0;
    match rng.below(4) {
        0 => {
            let polls = usize::try_from(rng.below(40)).unwrap();
            drop(dropped_after(polls, pipeline.run(cx)).await);
            // Its workers are the scope's now, which is about to wait for them.
            return Ok(());
        }
        1 => {
            let taken = usize::try_from(rng.below(40)).unwrap();
            drop(pipeline.stream(cx).take(taken).collect::<Vec<_>>().await);
            return Ok(());
        }
        way => {
            let cancel_after = if way == 2 { rng.below(150) } else { u64::MAX };
            let _ended = pipeline
                .for_each(cx, |item| {
                    drop(item);
                    if delivered == cancel_after {
                        token.cancel("enough");
                    }
                    delivered += 1;
                    std::future::ready(Ok(()))
                })
                .await;
        }
    }
    let stats = stats.snapshot();
    if stats.is_conserved() && stats.delivered() == delivered {
        Ok(())
    } else {
        Err(format!("{delivered} were delivered:\n{stats}"))
    }
}
