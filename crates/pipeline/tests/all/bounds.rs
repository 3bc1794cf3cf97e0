use super::{
    ledger::{Item, Ledger},
    runtimes::{Error, on_every_runtime, on_paused_clock},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_core::Cx;
use tidegate_pipeline::{Pipeline, Stage};

/// Capacity 4 in front of each stage, batches of at most 2, concurrency 3.
fn stage(name: &'static str) -> Stage {
    Stage::new(name).capacity(4).batch(2).concurrency(3)
}

#[test]
fn a_slow_consumer_bounds_the_items_that_are_alive() {
    on_every_runtime(|cx| async move {
        let ledger = Ledger::default();
        Pipeline::from_iter("items", ledger.items(500))
            .map(stage("a"), Ok::<Item, Error>)
            .map_async(stage("b"), |item| async move {
                tokio::task::yield_now().await;
                Ok(item)
            })
            .map_blocking(stage("c"), || (), |(), item| Ok(item))
            .sink(stage("sink"))
            .for_each(&cx, |item| async move {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                drop(item);
                Ok(())
            })
            .await
            .unwrap();
        // The source's chunk fits into the first queue. Then the four queues, and what the
        // workers hold: batches of 2 with 3 workers, 3 in flight, batches of 2 with 3
        // workers; the consumer's batch.
        let most = 4 + 4 * 4 + 3 * 2 + 3 + 3 * 2 + 2;
        assert_eq!((ledger.made(), ledger.alive()), (500, 0));
        assert!(ledger.most_alive() <= most, "{} > {most}", ledger.most_alive());
    });
}

#[test]
fn an_ordered_stage_holds_back_no_more_than_its_window() {
    on_paused_clock(|cx| async move {
        let ledger = Ledger::default();
        let gate = Arc::new(tokio::sync::Notify::new());
        let opened = Arc::clone(&gate);
        let stage = Stage::new("first is slow").capacity(1).batch(1).concurrency(4);
        let run = Pipeline::from_iter("items", ledger.items(500))
            .map_async(stage.ordered().window(20), move |item| {
                let gate = Arc::clone(&gate);
                async move {
                    if item.id == 0 {
                        gate.notified().await;
                    }
                    Ok::<_, Error>(item)
                }
            })
            .sink(Stage::new("sink").capacity(1).batch(1))
            .run(&cx);
        let release = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The window, the queue in front and the source's chunk of one.
            assert_eq!(ledger.made(), 20 + 1 + 1);
            opened.notify_one();
        };
        let (summary, ()) = tokio::join!(run, release);
        assert_eq!(summary.unwrap().delivered(), 500);
    });
}

#[test]
fn no_more_items_are_in_work_than_the_concurrency_allows() {
    on_every_runtime(|cx| async move {
        assert!(most_in_work(&cx).await <= 5);
    });
    // On one thread the schedule is always the same.
    on_paused_clock(|cx| async move {
        assert_eq!(most_in_work(&cx).await, 5, "and no fewer");
    });
}

/// How many of 300 items were in a stage of concurrency 5 at once.
async fn most_in_work(cx: &Cx<Error>) -> usize {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (enter, high) = (Arc::clone(&now), Arc::clone(&most));
    Pipeline::from_iter("numbers", 0..300)
        .map_async(Stage::new("b").concurrency(5), move |n: u32| {
            let (now, most) = (Arc::clone(&enter), Arc::clone(&high));
            async move {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, SeqCst);
                Ok::<_, Error>(n)
            }
        })
        .run(cx)
        .await
        .unwrap();
    most.load(SeqCst)
}

/// One item goes through an idle pipeline without waiting for others to fill a chunk.
#[test]
fn latency_of_a_single_item_has_no_linger() {
    on_paused_clock(|cx| async move {
        let (send, receive) = tokio::sync::mpsc::channel::<u32>(8);
        let start = tokio::time::Instant::now();
        let stream = futures::stream::unfold(receive, |mut receive| async move {
            receive.recv().await.map(|item| (item, receive))
        });
        let mut results = Pipeline::from_stream("channel", stream)
            .map(Stage::new("a").concurrency(2), Ok::<_, Error>)
            .map_async(Stage::new("b").concurrency(8).ordered(), |n| async move { Ok(n) })
            .map_blocking(Stage::new("c").concurrency(2), || (), |(), n| Ok(n))
            .stream(&cx);
        for n in 0..5 {
            send.send(n).await.unwrap();
            let next = futures::StreamExt::next(&mut results).await;
            assert_eq!(next.unwrap().unwrap(), n);
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "nothing waited for a timer");
        drop(send);
        assert!(futures::StreamExt::next(&mut results).await.is_none());
    });
}

/// A pipeline that is always busy lets the other tasks of its thread run.
#[test]
fn an_endless_iterator_does_not_starve_other_tasks() {
    on_paused_clock(|cx| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let other = cx.spawn("other", async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            stops.store(true, SeqCst);
            Ok(())
        });
        let summary =
            Pipeline::from_iter("endless", (0_u64..).take_while(move |_| !stop.load(SeqCst)))
                .map("a", Ok::<u64, Error>)
                .map_async(Stage::new("b").concurrency(4), |n| async move { Ok(n) })
                .run(&cx)
                .await
                .unwrap();
        assert!(summary.delivered() > 0);
        other.await.unwrap();
    });
}
