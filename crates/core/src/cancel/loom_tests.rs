//! Models of the token: run with `--cfg tidegate_loom`.

use super::CancelToken;
use crate::sync::{Arc, thread};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Checks every interleaving, of which there are to be many.
pub(crate) fn model(name: &str, check: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    loom::model(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom-executions: {name} {executions}");
    assert!(executions > 100, "{name}: {executions} executions explore little");
}

#[test]
fn loom_one_of_three_cancels_wins() {
    model("one_of_three_cancels_wins", || {
        let token = CancelToken::new();
        let racers = ["a", "b"].map(|name| {
            let token = token.clone();
            thread::spawn(move || token.cancel(name))
        });
        let mut won = vec![("c", token.cancel("c"))];
        let [a, b] = racers.map(|racer| racer.join().unwrap());
        won.extend([("a", a), ("b", b)]);
        won.retain(|(_, won)| *won);
        assert_eq!(won.len(), 1);
        assert_eq!(token.cause().unwrap().message(), Some(won[0].0));
    });
}

#[test]
fn loom_a_flag_that_is_seen_has_its_cause() {
    model("a_flag_that_is_seen_has_its_cause", || {
        let token = CancelToken::new();
        let child = token.child();
        let readers = [token.clone(), child.clone()].map(|token| {
            thread::spawn(move || {
                // The level that is reached last is looked at first.
                if token.is_cancelled() {
                    assert!(token.cause().is_some() && token.is_stopping());
                }
                if token.is_stopping() {
                    assert!(token.stop_cause().is_some());
                }
            })
        });
        assert!(token.stop("stop"));
        assert!(token.cancel("cancel"));
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn loom_a_waiter_is_never_lost() {
    model("a_waiter_is_never_lost", || {
        let token = CancelToken::new();
        let child = token.child();
        let cancellers =
            [token, child.clone()].map(|token| thread::spawn(move || token.cancel("stop")));
        loom::future::block_on(child.cancelled());
        for canceller in cancellers {
            canceller.join().unwrap();
        }
    });
}

#[test]
fn loom_two_waiters_and_one_that_leaves() {
    model("two_waiters_and_one_that_leaves", || {
        let token = CancelToken::new();
        let (waiting, cancelling) = (token.clone(), token.clone());
        let waiter = thread::spawn(move || {
            loom::future::block_on(waiting.cancelled_owned());
        });
        let canceller = thread::spawn(move || cancelling.cancel("stop"));
        loom::future::block_on(async {
            let mut leaving = token.cancelled();
            std::future::poll_fn(|cx| {
                let _ = std::pin::Pin::new(&mut leaving).poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        });
        canceller.join().unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn loom_what_leaves_a_live_token_leaves_nothing_behind() {
    model("what_leaves_a_live_token_leaves_nothing_behind", || {
        let token = CancelToken::new();
        let polled = |token: &CancelToken| {
            let (mut waiting, mut stopping) = (token.cancelled(), token.stopping());
            let waker = std::task::Waker::noop();
            let mut cx = std::task::Context::from_waker(waker);
            assert!(std::pin::Pin::new(&mut waiting).poll(&mut cx).is_pending());
            assert!(std::pin::Pin::new(&mut stopping).poll(&mut cx).is_pending());
            drop(token.on_cancel(|_| ()));
        };
        let child = token.child();
        assert_eq!(token.node().registered(), (1, 0));
        let (other, third) = (token.clone(), token.clone());
        let leaving = thread::spawn(move || {
            polled(&other);
            drop(child);
        });
        let passing = thread::spawn(move || drop(third.child()));
        polled(&token);
        leaving.join().unwrap();
        passing.join().unwrap();
        assert_eq!(token.node().registered(), (0, 0));
    });
}

#[test]
fn loom_a_child_is_born_into_the_cancellation() {
    model("a_child_is_born_into_the_cancellation", || {
        let token = CancelToken::new();
        let (other, third, parent) = (token.clone(), token.clone(), token.clone());
        let stopper = thread::spawn(move || other.stop("stop"));
        let canceller = thread::spawn(move || third.cancel("cancel"));
        let born = thread::spawn(move || parent.child());
        let child = token.child();
        let grandchild = child.child();
        stopper.join().unwrap();
        canceller.join().unwrap();
        for token in [&child, &grandchild, &born.join().unwrap()] {
            assert_eq!(token.cause().unwrap().message(), Some("cancel"));
            assert!(token.stop_cause().is_some());
        }
    });
}

#[test]
fn loom_a_child_leaves_while_its_parent_is_cancelled() {
    model("a_child_leaves_while_its_parent_is_cancelled", || {
        let token = CancelToken::new();
        let (child, sibling) = (token.child(), token.child());
        let grandchild = child.child();
        let newborn = token.clone();
        let leaving = [child, grandchild].map(|token| thread::spawn(move || drop(token)));
        let passing = thread::spawn(move || drop(newborn.child()));
        token.stop("stop");
        token.cancel("cancel");
        passing.join().unwrap();
        for leaving in leaving {
            leaving.join().unwrap();
        }
        assert!(sibling.is_cancelled());
        assert_eq!(token.node().registered(), (0, 0));
    });
}

#[test]
fn loom_cancels_at_three_heights_reach_the_leaf_once() {
    model("cancels_at_three_heights_reach_the_leaf_once", || {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        let lower = [(middle.clone(), "middle"), (leaf.clone(), "leaf")];
        let cancellers = lower.map(|(token, name)| thread::spawn(move || token.cancel(name)));
        root.cancel("root");
        let [_, own] = cancellers.map(|canceller| canceller.join().unwrap());
        let (above, below) = (middle.cause().unwrap(), leaf.cause().unwrap());
        assert_eq!(below.message() == Some("leaf"), own);
        assert!(own || above.same(&below), "a leaf has its parent's cause: {above} / {below}");
    });
}

#[test]
fn loom_a_stop_and_a_cancellation_race() {
    model("a_stop_and_a_cancellation_race", || {
        let token = CancelToken::new();
        let child = token.child();
        let (other, third) = (token.clone(), token.clone());
        let stopper = thread::spawn(move || other.stop("stop"));
        let parent = thread::spawn(move || third.child());
        token.cancel("cancel");
        let stopped = stopper.join().unwrap();
        let (stop, cancel) = (token.stop_cause().unwrap(), token.cause().unwrap());
        assert_eq!(stop.same(&cancel), !stopped, "{stop} / {cancel}");
        for child in [child, parent.join().unwrap()] {
            // The cancellation may overtake the stop on its way down.
            let below = child.stop_cause().unwrap();
            assert!(below.same(&stop) || below.same(&cancel), "{below}");
            assert!(child.cause().unwrap().same(&cancel));
        }
    });
}

#[test]
fn loom_who_waits_for_a_stop_is_never_lost() {
    model("who_waits_for_a_stop_is_never_lost", || {
        let token = CancelToken::new();
        let (child, other, third) = (token.child(), token.clone(), token.clone());
        let stopper = thread::spawn(move || other.stop("stop"));
        let leaver = thread::spawn(move || drop(third.on_cancel(|_| ())));
        loom::future::block_on(child.stopping());
        stopper.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(token.node().registered(), (1, 0));
    });
}

#[test]
fn loom_a_callback_is_called_or_taken_back() {
    model("a_callback_is_called_or_taken_back", || {
        let calls = Arc::new(AtomicUsize::new(0));
        let token = CancelToken::new();
        let child = token.child();
        let counter = Arc::clone(&calls);
        let cancellers =
            [token, child.clone()].map(|token| thread::spawn(move || token.cancel("now")));
        let count = move || _ = counter.fetch_add(1, Ordering::Relaxed);
        child
            .on_cancel({
                let count = count.clone();
                move |_| count()
            })
            .keep();
        let taken_back = child.on_cancel(move |_| count()).unregister();
        for canceller in cancellers {
            canceller.join().unwrap();
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1 + usize::from(!taken_back));
    });
}
