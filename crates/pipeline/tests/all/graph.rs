//! Random pipelines against a sequential oracle.

use super::{ledger::planned_panic, runtimes::Error};
use proptest::prelude::*;
use tidegate_pipeline::{OnError, Pipeline, Stage};
use tokio::runtime::Builder;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Map,
    Async,
    Blocking,
}

#[derive(Clone, Debug)]
struct Plan {
    kind: Kind,
    concurrency: usize,
    window: Option<usize>,
    capacity: usize,
    batch: usize,
    salt: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![Just(Kind::Map), Just(Kind::Async), Just(Kind::Blocking)];
    (kind, 0_usize..5, prop::option::of(1_usize..12), 1_usize..6, 1_usize..5, any::<u64>())
        .prop_map(|(kind, concurrency, window, capacity, batch, salt)| Plan {
            kind,
            concurrency,
            window,
            capacity,
            batch,
            salt,
        })
}

/// What a stage does with an item: the same here and in the oracle.
enum Act {
    Pass(u64),
    Leave,
    Fail,
    Panic,
}

fn act(salt: u64, n: u64) -> Act {
    let hash = (n ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match hash % 29 {
        0 | 1 => Act::Fail,
        2 => Act::Panic,
        3..8 => Act::Leave,
        _ => Act::Pass(n.wrapping_mul(3).wrapping_add(salt % 7)),
    }
}

fn perform(salt: u64, n: u64) -> Result<Option<u64>, Error> {
    match act(salt, n) {
        Act::Pass(n) => Ok(Some(n)),
        Act::Leave => Ok(None),
        Act::Fail => Err("planned".into()),
        Act::Panic => planned_panic(0),
    }
}

fn add(pipeline: Pipeline<u64, Error>, plan: &Plan) -> Pipeline<u64, Error> {
    let Plan { kind, concurrency, window, capacity, batch, salt } = plan.clone();
    let mut stage = Stage::new("stage").concurrency(concurrency).capacity(capacity).batch(batch);
    if let Some(window) = window {
        stage = stage.ordered().window(window);
    }
    match kind {
        Kind::Map => pipeline.filter_map(stage, move |n| perform(salt, n)),
        Kind::Async => pipeline.filter_map_async(stage, move |n| async move {
            for _ in 0..n % 3 {
                tokio::task::yield_now().await;
            }
            perform(salt, n)
        }),
        Kind::Blocking => pipeline.filter_map_blocking(stage, || (), move |(), n| perform(salt, n)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn equals_the_sequential_oracle(
        count in 0_u64..120,
        plans in prop::collection::vec(plan(), 1..5),
        workers in 0_usize..3,
        sink in 1_usize..4,
    ) {
        let mut expected: Vec<u64> = (0..count).collect();
        let (mut failed, mut filtered) = (0, 0);
        for plan in &plans {
            expected = expected
                .into_iter()
                .filter_map(|n| match act(plan.salt, n) {
                    Act::Pass(n) => Some(n),
                    Act::Leave => {
                        filtered += 1;
                        None
                    }
                    Act::Fail | Act::Panic => {
                        failed += 1;
                        None
                    }
                })
                .collect();
        }
        let runtime = match workers {
            0 => Builder::new_current_thread().enable_all().build(),
            n => Builder::new_multi_thread().worker_threads(n).enable_all().build(),
        }
        .unwrap();
        let (mut items, summary) = runtime.block_on(async {
            tidegate_core::scope("test", async |cx| {
                let source = Pipeline::from_iter("numbers", 0..count)
                    .on_error(OnError::Collect { max: 3 })
                    .sink(Stage::new("sink").capacity(sink));
                let pipeline = plans.iter().fold(source, add);
                pipeline.collect(&cx).await.map_err(|error| error.to_string())
            })
            .await
            .unwrap()
        });
        let ordered = plans.iter().all(|plan| plan.window.is_some() || plan.concurrency <= 1);
        if !ordered {
            items.sort_unstable();
            expected.sort_unstable();
        }
        prop_assert_eq!(items, expected);
        prop_assert_eq!((summary.failed(), summary.filtered(), summary.cancelled()), (failed, filtered, 0));
        prop_assert!(summary.stats().is_conserved());
        for (stage, plan) in summary.stages()[1..].iter().zip(&plans) {
            prop_assert!(stage.max_queued <= plan.capacity);
        }
    }
}
