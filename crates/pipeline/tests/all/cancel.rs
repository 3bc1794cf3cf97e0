use super::{
    ledger::{Item, Ledger, dropped_after},
    runtimes::{Error, on_every_runtime},
};
use futures::StreamExt as _;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{CancelToken, Cx, Scope};
use tidegate_pipeline::{Pipeline, Reason, Stage, StatsHandle};
use tidegate_testkit::cancel_everywhere;

/// Three stages of all kinds around items of a ledger; an endless source if `count` is none.
fn mixed(ledger: &Ledger, count: usize) -> Pipeline<Item, Error> {
    let stage = |name| Stage::new(name).concurrency(3).capacity(3).batch(2);
    Pipeline::from_iter("items", ledger.items(count))
        .map(stage("map"), Ok)
        .map_async(stage("async").ordered().window(5), |item: Item| async move {
            for _ in 0..item.id % 4 {
                tokio::task::yield_now().await;
            }
            Ok(item)
        })
        .map_blocking(stage("blocking").ordered().window(7), || (), |(), item| Ok(item))
        .filter("odd", |item| item.id % 2 == 1)
        .sink(Stage::new("sink").capacity(2).batch(2))
}

fn assert_settled(stats: &StatsHandle, ledger: &Ledger, delivered: usize) {
    let stats = stats.snapshot();
    assert!(stats.is_conserved(), "{stats}");
    assert_eq!(ledger.alive(), 0, "{stats}");
    assert_eq!(stats.delivered(), delivered as u64, "{stats}");
    assert_eq!(stats.stages()[0].items_in, ledger.made() as u64, "{stats}");
    for stage in stats.stages() {
        assert_eq!(stage.queued, 0, "{stats}");
    }
}

#[test]
fn a_cancelled_run_returns_the_cause_and_counts_what_is_left() {
    on_every_runtime(|cx| async move {
        for after in [0, 1, 5, 50] {
            let ledger = Ledger::default();
            let token = CancelToken::new();
            let mut delivered = 0;
            let error = Scope::builder("inner")
                .token(&token)
                .run(async |inner: Cx<Error>| {
                    let pipeline = mixed(&ledger, usize::MAX);
                    let stats = pipeline.stats();
                    let error = pipeline
                        .for_each(&inner, |item| {
                            drop(item);
                            if delivered == after {
                                token.cancel("enough");
                            }
                            delivered += 1;
                            std::future::ready(Ok(()))
                        })
                        .await
                        .unwrap_err();
                    assert_settled(&stats, &ledger, delivered);
                    Err::<(), _>(error.to_string())
                })
                .await
                .unwrap_err();
            assert!(error.to_string().contains("enough"), "{error}");
            assert!(!cx.is_cancelled());
        }
    });
}

/// What gets the results of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Consumer {
    ForEach,
    ForEachChunk,
    Run,
    Collect,
}

/// The run is dropped after each number of polls it can have.
#[tokio::test]
async fn dropping_the_run_at_every_await_frees_everything() {
    let all = [Consumer::ForEach, Consumer::ForEachChunk, Consumer::Run, Consumer::Collect];
    for consumer in all {
        drop_everywhere(consumer).await;
    }
}

async fn drop_everywhere(consumer: Consumer) {
    let mut finished = false;
    let mut polls = 0;
    while !finished {
        let ledger = Ledger::default();
        let delivered = Cell::new(0);
        let mut stats = None;
        // Whether the scope counts work that a dropped run left as its own failure is not
        // the matter here: it has waited for it.
        let _ended = tidegate_core::scope("test", async |cx: Cx<Error>| {
            let pipeline = mixed(&ledger, 60);
            stats = Some(pipeline.stats());
            let add = |count| delivered.set(delivered.get() + count);
            let one_by_one = |item| async move {
                tokio::task::yield_now().await;
                add(1);
                drop(item);
                Ok(())
            };
            let chunk = |chunk: &mut Vec<Item>| {
                add(chunk.len());
                chunk.clear();
                Ok(())
            };
            let run = async {
                match consumer {
                    Consumer::ForEach => pipeline.for_each(&cx, one_by_one).await,
                    Consumer::ForEachChunk => pipeline.for_each_chunk(&cx, chunk).await,
                    Consumer::Run => pipeline.run(&cx).await,
                    Consumer::Collect => {
                        let collected = pipeline.collect(&cx).await;
                        collected.map(|(items, summary)| {
                            assert_eq!(items.len() as u64, summary.delivered());
                            summary
                        })
                    }
                }
            };
            if let Some(ended) = dropped_after(polls, run).await {
                ended.unwrap();
                finished = true;
            }
            Ok(())
        })
        .await;
        if polls > 0 {
            let stats = stats.unwrap();
            // What these two get is told by nobody else.
            if [Consumer::Run, Consumer::Collect].contains(&consumer) {
                delivered.set(usize::try_from(stats.snapshot().delivered()).unwrap());
            }
            assert_settled(&stats, &ledger, delivered.get());
        }
        assert_eq!(ledger.alive(), 0, "{consumer:?}");
        polls += 1;
    }
    let least = if consumer == Consumer::ForEach { 30 } else { 2 };
    assert!(polls > least, "{consumer:?} waits {least} times: {polls}");
}

/// The consumer is stopped before each of its operations, whether or not that would have had to wait.
#[test]
fn cancel_a_run_at_awaits_that_are_ready() {
    let report = cancel_everywhere(
        Ledger::default,
        async |ledger| {
            let (send, mut receive) = tokio::sync::mpsc::channel(1);
            let receive = &mut receive;
            let run = tidegate_core::scope("test", async |cx: Cx<Error>| {
                let mut stream = Pipeline::from_iter("items", ledger.items(8))
                    .map_async(Stage::new("async").concurrency(2).capacity(2), |item| async move {
                        tokio::task::yield_now().await;
                        Ok::<_, Error>(item)
                    })
                    .sink(Stage::new("sink").capacity(2))
                    .stream(&cx);
                while let Some(item) = stream.next().await {
                    send.send(item.unwrap()).await.unwrap();
                    drop(receive.recv().await);
                }
                Ok(())
            });
            run.await.unwrap();
        },
        async |ledger, point| {
            tidegate_core::join_orphans().await;
            assert_eq!(ledger.alive(), 0, "{point}");
        },
    );
    assert!(report.operations() >= 16, "two for each item: {report:?}");
}

#[test]
fn a_run_in_a_cancelled_scope_ends_at_once() {
    on_every_runtime(|_| async move {
        let ledger = Ledger::default();
        let token = CancelToken::new();
        token.cancel("too late");
        let ended = Scope::builder("inner")
            .token(&token)
            .run(async |inner: Cx<Error>| {
                let error = mixed(&ledger, 10).run(&inner).await.unwrap_err();
                assert!(matches!(error.reason(), Reason::Cancelled(_)), "{error}");
                assert_eq!(error.summary().delivered(), 0);
                Ok::<_, Error>(())
            })
            .await;
        assert!(ended.is_err());
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn a_run_that_was_done_before_the_cancellation_is_whole() {
    on_every_runtime(|_| async move {
        let token = CancelToken::new();
        let _cancelled = Scope::builder("inner")
            .token(&token)
            .run(async |inner: Cx<Error>| {
                let mut last = 0;
                let summary = Pipeline::from_iter("numbers", 0..10)
                    .map_async("a", |n| async move { Ok::<_, Error>(n) })
                    .sink(Stage::new("sink").batch(1))
                    .for_each(&inner, |n| {
                        last = n;
                        if n == 9 {
                            token.cancel("a moment too late");
                        }
                        std::future::ready(Ok(()))
                    })
                    .await;
                // The last item was the consumer's already.
                assert_eq!(summary.unwrap().delivered(), 10);
                Ok::<_, Error>(())
            })
            .await;
    });
}

/// Futures in flight that would never end are dropped at once, not after the grace period.
#[test]
fn cancelling_drops_futures_in_flight_and_finishes_the_blocking_item() {
    on_every_runtime(|_| async move {
        let ledger = Ledger::default();
        let token = CancelToken::new();
        let start = std::time::SystemTime::now();
        let _cancelled = Scope::builder("inner")
            .token(&token)
            .run(async |inner: Cx<Error>| {
                let run = Pipeline::from_iter("items", ledger.items(100))
                    .map_blocking(Stage::new("slow"), || (), |(), item: Item| Ok::<_, Error>(item))
                    .map_async(Stage::new("never").concurrency(5), |item: Item| async move {
                        std::future::pending::<()>().await;
                        Ok(item)
                    })
                    .run(&inner);
                let cancel = async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    token.cancel("now");
                };
                let (ended, ()) = tokio::join!(run, cancel);
                let error = ended.unwrap_err();
                assert!(error.summary().stats().is_conserved());
                assert_eq!(error.summary().cancelled(), ledger.made() as u64);
                assert_eq!(ledger.alive(), 0);
                Ok::<_, Error>(())
            })
            .await;
        assert!(start.elapsed().unwrap() < Duration::from_secs(3), "not after the grace period");
    });
}

/// Its items were cheap, so that it is asked for many at once; the next ones may not be.
#[test]
fn a_source_is_asked_for_nothing_more_after_the_cancellation() {
    const CHEAP: usize = 100_000;
    on_every_runtime(|_| async move {
        let (token, asked) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (token.clone(), Arc::clone(&asked));
        let items = std::iter::repeat_with(move || {
            if count.fetch_add(1, Ordering::Relaxed) == CHEAP {
                stop.cancel("enough");
            }
        });
        let ended = Scope::builder("job").token(&token).run(async |cx: Cx<Error>| {
            let run = Pipeline::<(), Error>::from_iter("items", items).run(&cx).await;
            assert!(matches!(run.unwrap_err().reason(), Reason::Cancelled(_)));
            Ok(())
        });
        assert!(ended.await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), CHEAP + 1);
    });
}
