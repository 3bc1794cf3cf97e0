//! Visitors: threads, panics, cancellation.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tidegate_core::CancelToken;
use tidegate_fs_walk::{EntryRef, Flow, Order, Visit, Walk, WalkError};

use crate::child::{
    assert_median_below, assert_no_threads, in_child, now, time_to_no_threads, wait_until,
};
use crate::tree::{ORDERS, Random, block_on, make, random_tree, temp};

fn big_tree() -> tempfile::TempDir {
    let dir = temp();
    random_tree(dir.path(), &mut Random::new(11), 3000);
    dir
}

#[test]
fn a_tiny_tree_is_walked_by_the_caller_alone() {
    in_child(
        "visitors::a_tiny_tree_is_walked_by_the_caller_alone",
        |_| {},
        || {
            let dir = temp();
            for path in ["a/1", "b/2", "c/3"] {
                make(dir.path(), path);
            }
            for order in ORDERS {
                let made = AtomicUsize::new(0);
                let walk = Walk::new(dir.path()).order(order).threads(8);
                let summary = walk.visit(|_| {
                    made.fetch_add(1, Relaxed);
                    |_: Result<EntryRef<'_>, WalkError>| {
                        assert_no_threads();
                        Flow::Continue
                    }
                });
                assert_eq!((summary.expect("not cancelled").entries, made.into_inner()), (7, 1));
            }
        },
    );
}

#[test]
fn threads_are_named_numbered_bounded_and_gone_at_the_end() {
    in_child(
        "visitors::threads_are_named_numbered_bounded_and_gone_at_the_end",
        |_| {},
        || {
            let dir = big_tree();
            let indices = Mutex::new(BTreeSet::new());
            let walk = Walk::new(dir.path()).threads(3);
            // Every visitor waits for the others once, so all of them are there at a time.
            let all = std::sync::Barrier::new(3);
            let summary = walk.visit(|index| {
                indices.lock().expect("no panic").insert(index);
                let (all, mut first) = (&all, index > 0);
                let mut seen = 0;
                move |_: Result<EntryRef<'_>, WalkError>| {
                    seen += 1;
                    if first || (index == 0 && seen == 2000) {
                        first = false;
                        let name = std::thread::current().name().map(str::to_owned);
                        assert!(index == 0 || name == Some(format!("tidegate-walk-{index}")));
                        all.wait();
                    }
                    Flow::Continue
                }
            });
            assert!(summary.expect("not cancelled").entries > 2000);
            assert_eq!(indices.into_inner().expect("no panic"), BTreeSet::from([0, 1, 2]));
            assert_no_threads();
        },
    );
}

/// ripgrep#3009: a visitor that panics must not leave the others waiting.
#[test]
fn a_panic_in_a_visitor_or_filter_reaches_the_caller() {
    in_child(
        "visitors::a_panic_in_a_visitor_or_filter_reaches_the_caller",
        |_| {},
        || {
            let dir = big_tree();
            for order in ORDERS {
                for threads in [1, 2, 8] {
                    for at in [0, 1, 500, 2500] {
                        let count = AtomicUsize::new(0);
                        let boom = || {
                            assert!(count.fetch_add(1, Relaxed) < at, "boom");
                        };
                        let walk = Walk::new(dir.path()).order(order).threads(threads);
                        let result = catch_unwind(AssertUnwindSafe(|| {
                            walk.for_each(|_| {
                                boom();
                                Flow::Continue
                            })
                        }));
                        let payload = result.expect_err("the panic comes through");
                        let message = payload.downcast_ref::<&str>().copied();
                        assert_eq!(message, Some("boom"), "the payload is kept");

                        let count = AtomicUsize::new(0);
                        let walk = walk.filter(move |_| {
                            assert!(count.fetch_add(1, Relaxed) < at, "boom");
                            Visit::Keep
                        });
                        let result =
                            catch_unwind(AssertUnwindSafe(|| walk.for_each(|_| Flow::Continue)));
                        assert!(result.is_err(), "{order:?} {threads} {at}");
                        assert_no_threads();
                    }
                }
            }
        },
    );
}

#[test]
fn a_cancelled_visit_says_so_with_the_cause() {
    let dir = big_tree();
    for order in ORDERS {
        for threads in [1, 3] {
            for at in [0, 100] {
                let token = CancelToken::new();
                if at == 0 {
                    token.cancel("before it began");
                }
                let walk = Walk::new(dir.path()).order(order).threads(threads);
                let seen = AtomicUsize::new(0);
                let error = walk
                    .cancel(token.clone())
                    .for_each(|_| {
                        if seen.fetch_add(1, Relaxed) == at {
                            token.cancel("enough");
                        }
                        Flow::Continue
                    })
                    .expect_err("a cancelled walk never looks complete");
                assert!(error.is_cancelled());
                let cause = if at == 0 { "before it began" } else { "enough" };
                assert!(error.to_string().contains(cause), "{error}");
                assert!(at > 0 || seen.into_inner() == 0);
            }
        }
    }
}

/// Nobody polls, nobody waits: the thread that cancels wakes those that are parked.
#[test]
fn cancelling_leaves_no_thread_within_50_ms() {
    in_child(
        "visitors::cancelling_leaves_no_thread_within_50_ms",
        |_| {},
        || {
            let dir = big_tree();
            for order in ORDERS {
                let took = (0..11).map(|_| time_to_end_of_cancelled(dir.path(), order)).collect();
                assert_median_below(Duration::from_millis(50), took);
            }
        },
    );
}

/// From the cancellation of a visit under way until its last thread is gone.
fn time_to_end_of_cancelled(root: &Path, order: Order) -> Duration {
    let token = CancelToken::new();
    let walk = Walk::new(root).threads(4).order(order).cancel(token.clone());
    std::thread::scope(|scope| {
        let (go, started) = std::sync::mpsc::sync_channel(1);
        scope.spawn(move || {
            let seen = AtomicUsize::new(0);
            let result = walk.for_each(|_| {
                if seen.fetch_add(1, Relaxed) == 200 {
                    go.send(()).expect("heard");
                }
                // Slower than a real visitor, so that the walk is under way.
                std::thread::yield_now();
                Flow::Continue
            });
            drop(result);
        });
        started.recv().expect("started");
        let start = now();
        token.cancel("stop");
        time_to_no_threads();
        start.elapsed()
    })
}

/// One system call lists more entries than a slow visitor takes in seconds.
#[test]
fn a_stop_is_noticed_at_the_next_entry() {
    let dir = temp();
    for i in 0..1000 {
        make(dir.path(), &i.to_string());
    }
    for order in ORDERS {
        let token = CancelToken::new();
        let seen = AtomicUsize::new(0);
        let walk = Walk::new(dir.path()).order(order).cancel(token.clone());
        let error = walk.for_each(|_| {
            if seen.fetch_add(1, Relaxed) == 9 {
                token.cancel("enough");
            }
            Flow::Continue
        });
        let error = error.expect_err("cancelled");
        assert!(error.is_cancelled());
        // Readers of the standard library try again on `Interrupted`, for ever.
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
        assert_eq!(seen.into_inner(), 10, "{order:?}: entries delivered after the stop");

        let (token, asked) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
        let (inside, count) = (token.clone(), Arc::clone(&asked));
        let walk = Walk::new(dir.path()).order(order).cancel(token).filter(move |_| {
            if count.fetch_add(1, Relaxed) == 9 {
                inside.cancel("enough");
            }
            Visit::Keep
        });
        let all: Vec<_> = block_on(walk.stream().collect());
        assert!(all.last().is_some_and(Result::is_err));
        assert_eq!(asked.load(Relaxed), 10, "{order:?}: asked after the stop");
    }
}

const ENTRIES: usize = 2 + 40 * 3 + 40 * 2;

/// A visitor that takes its time must not keep from the others what its thread found.
#[test]
fn a_blocked_visitor_keeps_no_directory_from_the_others() {
    let dir = temp();
    for i in 0..40 {
        make(dir.path(), &format!("some/{i}/x/file"));
        make(dir.path(), &format!("more{i}/file"));
    }
    let seen = AtomicUsize::new(0);
    let (blocked, files) = (AtomicBool::new(false), AtomicUsize::new(0));
    let walk = Walk::new(dir.path()).threads(2);
    let summary = walk.for_each(|entry| {
        let entry = entry.expect("readable");
        let seen_now = seen.fetch_add(1, Relaxed) + 1;
        let helper = std::thread::current().name().is_some_and(|n| n.starts_with("tidegate"));
        if helper {
            wait_until("the caller waits", || blocked.load(Relaxed));
        } else if entry.file_name() == "file"
            && files.fetch_add(1, Relaxed) >= 8
            && seen_now > ENTRIES / 3
        {
            // Nine directories were read, so there is a helper, whatever their order was.
            blocked.store(true, Relaxed);
            // What is below the one directory that the caller has kept.
            wait_until("the rest is done", || seen.load(Relaxed) + 3 >= ENTRIES);
        }
        Flow::Continue
    });
    assert_eq!(summary.expect("not cancelled").entries, ENTRIES as u64);
}
