//! `in = out + failed + filtered + cancelled`, at every end a run can have.

use super::{
    ledger::{Item, Ledger, planned_panic},
    runtimes::{Error, on_every_runtime},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use tidegate_core::{CancelToken, Cx, Scope};
use tidegate_pipeline::{OnError, Pipeline, Reason, Stage};
use tidegate_testkit::Rng;

/// What one item does is derived from its number, so that a seed repeats the run.
fn act(seed: u64, stage: u64, item: Item) -> Result<Option<Item>, Error> {
    let mut rng = Rng::new(seed ^ (stage << 32) ^ (item.id as u64));
    match rng.next_u64() % 40 {
        0 => Err(format!("error of {}", item.id)),
        1 => planned_panic(item.id),
        2..6 => Ok(None),
        _ => Ok(Some(item)),
    }
}

pub(crate) fn pipeline(seed: u64, ledger: &Ledger) -> Pipeline<Item, Error> {
    let stage = |name, n: u32| {
        let stage = Stage::new(name).concurrency(1 + (seed >> n & 3) as usize).capacity(3).batch(4);
        if (seed >> (n + 8)) % 2 == 0 { stage.ordered().window(6) } else { stage }
    };
    Pipeline::from_iter("items", ledger.items(200))
        .filter_map(stage("map", 0), move |item| act(seed, 0, item))
        .filter_map_async(stage("async", 2), move |item: Item| async move {
            for _ in 0..item.id % 3 {
                tokio::task::yield_now().await;
            }
            act(seed, 1, item)
        })
        .filter_map_blocking(stage("blocking", 4), || (), move |(), item| act(seed, 2, item))
        .sink(Stage::new("sink").capacity(2).batch(3))
}

#[test]
fn holds_at_every_end() {
    on_every_runtime(|_| async move {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let ledger = Ledger::default();
            let token = CancelToken::new();
            let fail_fast = rng.next_u64() % 3 == 0;
            let cancel_after = rng.next_u64() % 250;
            let on_error = if fail_fast { OnError::FailFast } else { OnError::Collect { max: 5 } };
            let seen = Arc::new(Mutex::new(BTreeSet::new()));
            // Told after the run: a panic in the consumer would be a failed item.
            let mut twice = None;
            let scope = Scope::builder("run").token(&token);
            let _ended = scope
                .run(async |cx: Cx<Error>| {
                    let pipeline = pipeline(rng.next_u64(), &ledger).on_error(on_error);
                    let stats = pipeline.stats();
                    let mut delivered = 0;
                    let ended = pipeline
                        .for_each(&cx, |item| {
                            if !seen.lock().unwrap().insert(item.id) {
                                twice = Some(item.id);
                            }
                            delivered += 1;
                            if delivered == cancel_after {
                                token.cancel("now");
                            }
                            std::future::ready(Ok(()))
                        })
                        .await;
                    let stats = stats.snapshot();
                    assert!(stats.is_conserved(), "seed {seed}:\n{stats}");
                    assert_eq!(stats.delivered(), seen.lock().unwrap().len() as u64);
                    let first = &stats.stages()[0];
                    assert_eq!(
                        first.items_in,
                        stats.delivered() + stats.failed() + stats.filtered() + stats.cancelled()
                    );
                    assert_eq!(first.items_in, ledger.made() as u64);
                    match &ended {
                        Ok(summary) => {
                            assert_eq!((summary.cancelled(), first.items_in), (0, 200));
                            assert!(summary.errors().len() <= 5);
                        }
                        Err(error) => assert!(
                            matches!(error.reason(), Reason::Item(_) | Reason::Cancelled(_)),
                            "seed {seed}: {error}"
                        ),
                    }
                    Ok::<_, Error>(())
                })
                .await;
            assert_eq!(twice, None, "seed {seed}: delivered twice");
            assert_eq!(ledger.alive(), 0, "seed {seed}");
        }
    });
}
