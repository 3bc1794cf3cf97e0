//! Programs that hang with the combinators of `futures`, and must not hang here.

use super::runtimes::{Error, on, on_every_runtime, on_paused_clock};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use tidegate_core::Cx;
use tidegate_pipeline::{Pipeline, Stage};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// A stage and the consumer lock the same mutex, which is fair: a future of the stage that
/// is next in line but never polled stops everybody.
async fn shared_mutex(cx: Cx<Error>, stage: Stage) {
    let mutex = Arc::new(Mutex::new(0));
    let lock = Arc::clone(&mutex);
    let summary = Pipeline::from_iter("numbers", 0..200)
        .map_async(stage, move |n: u32| {
            let lock = Arc::clone(&lock);
            async move {
                let mut count = lock.lock().await;
                tokio::task::yield_now().await;
                *count += 1;
                Ok::<_, Error>(n)
            }
        })
        .sink(Stage::new("sink").capacity(1))
        .for_each(&cx, |_| async {
            let mut count = mutex.lock().await;
            tokio::task::yield_now().await;
            *count += 1;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((summary.delivered(), *mutex.lock().await), (200, 400));
}

#[test]
fn futures_rs_2387_buffered_shares_a_mutex_with_the_consumer() {
    on_every_runtime(|cx| shared_mutex(cx, Stage::new("lock").concurrency(10).ordered()));
}

#[test]
fn futures_rs_2387_buffer_unordered_shares_a_mutex_with_the_consumer() {
    on_every_runtime(|cx| shared_mutex(cx, Stage::new("lock").concurrency(10)));
}

/// The program is one that really hangs.
#[test]
fn futures_rs_2387_hangs_with_stream_ext() {
    on_paused_clock(|_| async {
        let mutex = Arc::new(Mutex::new(0));
        let program = futures::stream::iter(0..200)
            .map(|n: u32| {
                let mutex = Arc::clone(&mutex);
                async move {
                    let mut count = mutex.lock().await;
                    tokio::task::yield_now().await;
                    *count += 1;
                    n
                }
            })
            .buffer_unordered(10)
            .for_each(|_| async {
                let mut count = mutex.lock().await;
                tokio::task::yield_now().await;
                *count += 1;
            });
        tokio::time::timeout(Duration::from_secs(3600), program).await.expect_err("hangs");
    });
}

#[test]
fn futurelock_omicron_9259_a_stage_is_next_in_line_for_a_fair_permit() {
    on_every_runtime(|cx| async move {
        let permits = Arc::new(Semaphore::new(1));
        let stage_permits = Arc::clone(&permits);
        let summary = Pipeline::from_iter("numbers", 0..100)
            .map_async(Stage::new("permit").concurrency(4).capacity(1), move |n: u32| {
                let permits = Arc::clone(&stage_permits);
                async move {
                    let permit = permits.acquire().await.map_err(|error| error.to_string())?;
                    tokio::task::yield_now().await;
                    drop(permit);
                    Ok::<_, Error>(n)
                }
            })
            .sink(Stage::new("sink").capacity(1).batch(1))
            .for_each(&cx, |_| async {
                // Several times, so that stage futures queue up between.
                for _ in 0..3 {
                    let _permit = permits.acquire().await.map_err(|error| error.to_string())?;
                    tokio::task::yield_now().await;
                }
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(summary.delivered(), 100);
    });
}

/// Stage and consumer send to one channel: room that was given to a future nobody polls
/// blocks every other sender, on an empty channel.
#[test]
fn futurelock_omicron_9259_senders_wait_for_an_empty_channel() {
    on_every_runtime(|cx| async move {
        let (send, mut receive) = mpsc::channel(1);
        let received = cx.spawn("receiver", async move {
            let mut messages = 0;
            while receive.recv().await.is_some() {
                messages += 1;
            }
            Ok(messages)
        });
        let stage_send = send.clone();
        let summary = Pipeline::from_iter("numbers", 0..200)
            .map_async(Stage::new("send").concurrency(8), move |n: u32| {
                let send = stage_send.clone();
                async move {
                    send.send(n).await.map_err(|error| error.to_string())?;
                    Ok::<_, Error>(n)
                }
            })
            .sink(Stage::new("sink").capacity(1).batch(1))
            .for_each(&cx, |n| {
                let send = &send;
                async move { send.send(n).await.map_err(|error| error.to_string()) }
            })
            .await
            .unwrap();
        drop(send);
        assert_eq!((summary.delivered(), received.await.unwrap()), (200, 400));
    });
}

/// The program above is one that really hangs.
#[test]
fn futurelock_omicron_9259_hangs_with_stream_ext() {
    on_paused_clock(|cx| async move {
        let (send, mut receive) = mpsc::channel(1);
        let _receiver = cx.spawn("receiver", async move {
            while receive.recv().await.is_some() {}
            Ok(())
        });
        let program = futures::stream::iter(0..200_u32)
            .map(|n| {
                let send = send.clone();
                async move {
                    send.send(n).await.unwrap();
                    n
                }
            })
            .buffer_unordered(8)
            .for_each(|n| {
                let send = send.clone();
                async move { send.send(n).await.unwrap() }
            });
        tokio::time::timeout(Duration::from_secs(3600), program).await.expect_err("hangs");
    });
}

#[test]
fn buffered_zero_hangs_futures_rs_2740() {
    on_every_runtime(|cx| async move {
        for count in [0, 1, 50] {
            let zero = |name| Stage::new(name).concurrency(0).capacity(0).window(0).batch(0);
            let (items, summary) = Pipeline::from_iter("numbers", 0..count)
                .map(zero("a"), Ok::<u32, Error>)
                .map(zero("b").ordered(), Ok)
                .map_async(zero("c"), |n| async move { Ok(n) })
                .map_async(zero("d").ordered(), |n| async move { Ok(n) })
                .map_blocking(zero("e"), || (), |(), n| Ok(n))
                .map_blocking(zero("f").ordered(), || (), |(), n| Ok(n))
                .sink(zero("sink"))
                .collect(&cx)
                .await
                .unwrap();
            assert_eq!(items, (0..count).collect::<Vec<_>>());
            assert_eq!(summary.delivered(), u64::from(count));
        }
    });
}

/// With a single blocking thread, a stage that held it while it waits for the other stage
/// would wait for ever.
#[test]
fn nushell_18997_chained_blocking_stages_share_one_thread() {
    for multi in [false, true] {
        let mut builder = if multi {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime =
            builder.worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap();
        on("one blocking thread", &runtime, |cx| async move {
            let stage = |name| Stage::new(name).concurrency(3).capacity(2).batch(2);
            let (mut items, _) = Pipeline::from_iter("numbers", 0..500)
                .map_blocking(
                    stage("a"),
                    || 0,
                    |calls, n: u32| {
                        *calls += 1;
                        Ok::<_, Error>(n)
                    },
                )
                .map_blocking(stage("b").ordered(), || (), |(), n| Ok(n))
                .map_blocking(stage("c"), || (), |(), n| Ok(n))
                .sink(Stage::new("sink").capacity(1))
                .collect(&cx)
                .await
                .unwrap();
            items.sort_unstable();
            assert_eq!(items, (0..500).collect::<Vec<_>>());
        });
    }
}

/// A window smaller than the concurrency: the holder of the oldest ticket can always hand
/// on its result, so that the others get new tickets.
#[test]
fn a_window_of_one_makes_a_stage_sequential_not_stuck() {
    on_every_runtime(|cx| async move {
        for window in 1..4 {
            let stage = |name| Stage::new(name).concurrency(8).ordered().window(window);
            let (items, _) = Pipeline::from_iter("numbers", 0..300)
                .map(stage("a").capacity(1), Ok::<u32, Error>)
                .map_async(stage("b").capacity(1), |n| async move {
                    if n % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    Ok(n)
                })
                .map_blocking(stage("c").capacity(1), || (), |(), n| Ok(n))
                .sink(Stage::new("sink").capacity(1))
                .collect(&cx)
                .await
                .unwrap();
            assert_eq!(items, (0..300).collect::<Vec<_>>());
        }
    });
}
