//! The stream: bounded, cancellable, and on any runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tidegate_core::CancelToken;
use tidegate_fs_walk::{Order, Visit, Walk};
use tidegate_testkit::{Bubble, LeakGuard, Mode};
use tokio::{runtime::Builder, task::JoinSet};

use crate::child::{
    assert_median_below, assert_no_threads, in_child, now, time_to_no_threads, wait_until,
    walk_threads,
};
use crate::tree::{ORDERS, Random, block_on, make, oracle, random_tree, temp};

fn big_tree() -> tempfile::TempDir {
    let dir = temp();
    random_tree(dir.path(), &mut Random::new(5), 4000);
    dir
}

/// A walk that counts what its threads have found.
fn counted(walk: Walk) -> (Walk, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&count);
    let walk = walk.filter(move |_| {
        inner.fetch_add(1, Ordering::Relaxed);
        Visit::Keep
    });
    (walk, count)
}

#[test]
fn a_stream_that_is_never_polled_starts_nothing() {
    in_child(
        "async_stream::a_stream_that_is_never_polled_starts_nothing",
        |_| {},
        || {
            let (walk, count) = counted(Walk::new("."));
            drop(walk.stream());
            let stream = walk.stream();
            assert_no_threads();
            block_on(stream.close());
            assert_eq!(count.load(Ordering::Relaxed), 0);
        },
    );
}

#[test]
fn it_needs_no_blocking_pool() {
    let dir = big_tree();
    let expected = oracle(dir.path()).len();
    let runtime = Builder::new_current_thread().max_blocking_threads(1).build().expect("one");
    // The one thread of the pool is taken until the walk is over.
    let (free, taken) = std::sync::mpsc::sync_channel::<()>(1);
    let pool = runtime.handle().spawn_blocking(move || taken.recv().is_ok());
    for order in ORDERS {
        let stream = Walk::new(dir.path()).order(order).threads(2).stream();
        let entries = runtime.block_on(stream.filter(|e| std::future::ready(e.is_ok())).count());
        assert_eq!(entries, expected);
    }
    free.send(()).expect("still waiting");
    assert!(runtime.block_on(pool).expect("no panic"));
}

const THREADS: usize = 3;

#[test]
fn a_reader_that_stops_polling_stops_the_walk() {
    in_child(
        "async_stream::a_reader_that_stops_polling_stops_the_walk",
        |_| {},
        || {
            let dir = temp();
            for i in 0..40 {
                for j in 0..500 {
                    make(dir.path(), &format!("{i}/{j}"));
                }
            }
            for order in ORDERS {
                let walk = Walk::new(dir.path()).threads(THREADS).order(order).window(1000);
                let (walk, found) = counted(walk);
                let mut stream = walk.stream();
                let first = block_on(stream.next());
                assert!(first.is_some_and(|entry| entry.is_ok()));
                let mut last = usize::MAX;
                wait_until("all threads are parked", || {
                    let now = found.load(Ordering::Relaxed);
                    let parked = walk_threads().iter().all(|state| *state == 'S');
                    let quiet = parked && std::mem::replace(&mut last, now) == now;
                    quiet && walk_threads().iter().all(|state| *state == 'S')
                });
                // Queued, in the hands of each thread, and with the reader; sorted, the window and
                // what each thread reads beyond it.
                let mut bound = (2 * THREADS + THREADS + 1) * 256;
                if order == Order::Sorted {
                    bound += 1000 + (THREADS + 1) * 500 + 40;
                }
                let found = found.load(Ordering::Relaxed);
                assert!(found <= bound, "{order:?}: {found} of 20041 entries, bound {bound}");
                let rest = block_on(stream.count());
                assert_eq!(rest, 20_040, "nothing is lost when it goes on");
            }
        },
    );
}

#[test]
fn cancelling_ends_the_stream_with_the_cause_and_leaves_no_thread() {
    in_child(
        "async_stream::cancelling_ends_the_stream_with_the_cause_and_leaves_no_thread",
        |_| {},
        || {
            let dir = big_tree();
            let mut took = [const { Vec::new() }; 2];
            for round in 0..22 {
                let token = CancelToken::new();
                let walk = Walk::new(dir.path()).threads(4).order(ORDERS[round % 2]);
                let mut stream = walk.cancel(token.clone()).stream();
                for _ in 0..10 {
                    let entry = block_on(stream.next());
                    assert!(entry.is_some_and(|entry| entry.is_ok()));
                }
                let start = now();
                token.cancel("that is enough");
                // Nobody polls it: cancelling alone ends the threads.
                time_to_no_threads();
                took[round % 2].push(start.elapsed());
                let rest: Vec<_> = block_on(stream.collect());
                let [Err(error)] = &rest[..] else { panic!("{} items", rest.len()) };
                assert!(
                    error.is_cancelled() && error.to_string().contains("that is enough"),
                    "{error}"
                );
            }
            for took in took {
                assert_median_below(Duration::from_millis(50), took);
            }
        },
    );
}

#[test]
fn a_token_cancelled_before_the_start_yields_one_error() {
    let token = CancelToken::new();
    token.cancel("never mind");
    for order in ORDERS {
        let walk = Walk::new(".").order(order).cancel(token.clone());
        let all: Vec<_> = block_on(walk.stream().collect());
        assert_eq!(all.len(), 1);
        assert!(all[0].as_ref().is_err_and(tidegate_fs_walk::WalkError::is_cancelled));
    }
}

#[test]
fn a_waiting_reader_hears_of_the_cancellation() {
    let dir = temp();
    make(dir.path(), "a/b");
    let token = CancelToken::new();
    // The filter holds the walk until the token is cancelled.
    let inside = token.clone();
    let walk = Walk::new(dir.path()).cancel(token.clone()).filter(move |entry| {
        if entry.depth() > 0 {
            block_on(inside.cancelled());
        }
        Visit::Keep
    });
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = walk.stream();
        let reader = async { while stream.next().await.is_some_and(|entry| entry.is_ok()) {} };
        let canceller = async { token.cancel("now") };
        assert_eq!(futures::join!(reader, canceller), ((), true));
        assert!(stream.next().await.is_none(), "the error was the last item");
    });
}

#[test]
fn dropping_or_closing_a_stream_leaves_no_thread() {
    in_child(
        "async_stream::dropping_or_closing_a_stream_leaves_no_thread",
        |_| {},
        || {
            let dir = big_tree();
            let mut took = [const { Vec::new() }; 2];
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            for round in 0..40 {
                let guard =
                    LeakGuard::process().threads_named("tidegate-walk").fds_under(dir.path());
                let walk = Walk::new(dir.path()).threads(4).order(ORDERS[round % 2]);
                let mut stream = walk.stream();
                let polled = round % 5 * 300;
                for _ in 0..polled {
                    runtime.block_on(stream.next()).expect("more").expect("readable");
                }
                let start = now();
                match round % 4 {
                    0 => drop(stream),
                    1 => runtime.block_on(stream.close()),
                    2 => runtime.block_on(stream.batches().close()),
                    _ => drop(stream.close().now_or_never()),
                }
                // A thread that was joined is listed for a moment more.
                let grace = Duration::from_secs(5);
                guard.verify_blocking(grace).expect("no thread, no directory is left");
                took[round % 2].push(start.elapsed());
            }
            for took in took {
                assert_median_below(Duration::from_millis(50), took);
            }
        },
    );
}

#[test]
fn a_stream_may_be_dropped_by_its_own_filter() {
    in_child(
        "async_stream::a_stream_may_be_dropped_by_its_own_filter",
        |_| {},
        || {
            let dir = temp();
            make(dir.path(), "a");
            let slot: Arc<std::sync::Mutex<Option<tidegate_fs_walk::WalkStream>>> = Arc::default();
            let inside = Arc::clone(&slot);
            let walk = Walk::new(dir.path()).filter(move |_| {
                drop(inside.lock().expect("no panic").take());
                Visit::Keep
            });
            let mut stream = walk.stream();
            {
                let mut held = slot.lock().expect("no panic");
                // The filter waits for the lock until the stream is in its place.
                let polled = stream.next().now_or_never();
                assert!(polled.is_none());
                *held = Some(stream);
            }
            time_to_no_threads();
            wait_until("the filter dropped it", || slot.lock().expect("no panic").is_none());
        },
    );
}

#[test]
fn a_panic_in_the_filter_comes_up_in_the_poll() {
    let dir = big_tree();
    for order in ORDERS {
        for at in [0, 1, 2000] {
            let count = AtomicUsize::new(0);
            let walk = Walk::new(dir.path()).order(order).threads(3).filter(move |_| {
                assert!(count.fetch_add(1, Ordering::Relaxed) != at, "boom");
                Visit::Keep
            });
            let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                block_on(walk.stream().count())
            }));
            let payload = all.expect_err("it does not end as if it were complete");
            assert_eq!(payload.downcast_ref::<&str>().copied(), Some("boom"));
        }
    }
}

/// Whoever looks at the stream next, whatever else ended it, hears of the panic.
#[test]
fn a_panic_in_the_filter_is_not_swallowed_by_a_cancellation_or_a_close() {
    let dir = temp();
    make(dir.path(), "a/b");
    for order in ORDERS {
        for end in ["cancel", "close", "close batches"] {
            let token = CancelToken::new();
            // The first poll starts the walk; it must not be the one that hears of the panic.
            let polled = Arc::new(Barrier::new(2));
            let started = Arc::clone(&polled);
            let walk = Walk::new(dir.path()).order(order).cancel(token.clone()).filter(move |_| {
                started.wait();
                panic!("boom");
            });
            let mut stream = walk.stream();
            assert!(stream.next().now_or_never().is_none());
            polled.wait();
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match end {
                "cancel" => {
                    token.cancel("too late");
                    block_on(stream.count());
                }
                "close" => block_on(stream.close()),
                _ => block_on(stream.batches().close()),
            }));
            let payload = caught.expect_err(end);
            assert_eq!(payload.downcast_ref::<&str>().copied(), Some("boom"), "{order:?} {end}");
        }
    }
}

/// The filter holds a thread of the walk until it may go on, so that the close has to wait.
#[test]
fn a_close_that_is_dropped_has_stopped_the_walk_and_waits_for_its_threads() {
    in_child(
        "async_stream::a_close_that_is_dropped_has_stopped_the_walk_and_waits_for_its_threads",
        |_| {},
        || {
            let dir = big_tree();
            for order in ORDERS {
                let (held, out) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
                let (inside, left) = (Arc::clone(&held), Arc::clone(&out));
                let first = std::sync::Once::new();
                let walk = Walk::new(dir.path()).order(order).threads(2).filter(move |_| {
                    first.call_once(|| {
                        inside.wait();
                        inside.wait();
                        left.store(1, Ordering::SeqCst);
                    });
                    Visit::Keep
                });
                let mut stream = walk.stream();
                assert!(stream.next().now_or_never().is_none());
                held.wait();
                let mut close = Box::pin(stream.close());
                assert!(close.as_mut().now_or_never().is_none(), "{order:?}");
                std::thread::scope(|threads| {
                    threads.spawn(|| held.wait());
                    drop(close);
                    assert_eq!(out.load(Ordering::SeqCst), 1, "{order:?}");
                });
                assert_no_threads();
            }
        },
    );
}

#[test]
fn batches_begin_with_what_was_left_of_the_last_one() {
    let dir = big_tree();
    let expected = oracle(dir.path()).len();
    for taken in [1, 3, 16, 17, 1000] {
        let mut stream = Walk::new(dir.path()).threads(2).stream();
        for _ in 0..taken {
            block_on(stream.next()).expect("more").expect("readable");
        }
        let rest: usize = block_on(stream.batches().map(|batch| batch.len()).collect::<Vec<_>>())
            .into_iter()
            .inspect(|len| assert!(*len > 0))
            .sum();
        assert_eq!(taken + rest, expected);
    }
}

#[test]
fn batches_hold_the_same_entries() {
    let dir = big_tree();
    let expected = oracle(dir.path()).len();
    for order in ORDERS {
        let walk = Walk::new(dir.path()).order(order).threads(2);
        let batches: Vec<_> = block_on(walk.stream().batches().collect());
        assert!(batches.iter().all(|batch| (1..=256).contains(&batch.len())));
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), expected);
        assert!(batches.len() < expected / 100 + 20, "{} batches", batches.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_moves_between_threads() {
    let dir = big_tree();
    let expected = oracle(dir.path()).len();
    let mut stream = Walk::new(dir.path()).threads(2).stream();
    let mut count = 0;
    while let Some(entry) = stream.next().await {
        count += usize::from(entry.is_ok());
        tokio::task::yield_now().await;
    }
    assert_eq!(count, expected);
    assert!(stream.next().await.is_none(), "it stays at its end");
}

/// Each is read by a task, to its end, or to be closed or dropped half-way. What the bubble waits
/// for are threads of no runtime, so its clock is the real one.
#[test]
fn walks_in_a_bubble_leave_no_task_no_thread_and_no_descriptor() {
    in_child(
        "async_stream::walks_in_a_bubble_leave_no_task_no_thread_and_no_descriptor",
        |_| {},
        || {
            let dir = big_tree();
            let expected = oracle(dir.path()).len();
            let watched = Bubble::builder()
                .mode(Mode::RealIo)
                .patience(Duration::from_secs(30))
                .watch(|guard| guard.threads_named("tidegate-walk").fds());
            let test = async {
                let mut readers = JoinSet::new();
                for (number, order) in (0..12).zip(ORDERS.into_iter().cycle()) {
                    let mut stream = Walk::new(dir.path()).order(order).threads(2).stream();
                    readers.spawn(async move {
                        let most = if number % 3 == 0 { usize::MAX } else { 100 };
                        let read = stream.by_ref().take(most).count().await;
                        match number % 3 {
                            0 => assert_eq!(read, expected),
                            1 => stream.close().await,
                            _ => drop(stream),
                        }
                    });
                }
                while let Some(ended) = readers.join_next().await {
                    ended.expect("no panic");
                }
            };
            if let Err(failure) = watched.build().expect("options").run(test) {
                panic!("{failure}");
            }
        },
    );
}
