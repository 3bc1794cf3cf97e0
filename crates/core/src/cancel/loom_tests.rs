//! Models of the token: run with `--cfg tidegate_loom`.

use super::CancelToken;
use crate::sync::{Arc, thread};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Checks every interleaving. Returns how many there were.
pub(crate) fn model(name: &str, check: impl Fn() + Send + Sync + 'static) -> usize {
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    loom::model(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom-executions: {name} {executions}");
    assert!(executions > 1, "{name}: one execution explores nothing");
    executions
}

#[test]
fn loom_one_of_two_cancels_wins() {
    model("one_of_two_cancels_wins", || {
        let token = CancelToken::new();
        let other = token.clone();
        let racer = thread::spawn(move || other.cancel("b"));
        let won = token.cancel("a");
        let lost = racer.join().unwrap();
        assert!(won ^ lost);
        let cause = token.cause().unwrap().to_string();
        assert_eq!(cause.starts_with("cancelled: a"), won, "{cause}");
    });
}

#[test]
fn loom_a_flag_that_is_seen_has_its_cause() {
    model("a_flag_that_is_seen_has_its_cause", || {
        let token = CancelToken::new();
        let other = token.clone();
        let reader = thread::spawn(move || {
            if other.is_cancelled() {
                assert!(other.cause().is_some());
            }
        });
        assert!(token.cancel("stop"));
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_waiter_is_never_lost() {
    model("a_waiter_is_never_lost", || {
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = thread::spawn(move || other.cancel("stop"));
        loom::future::block_on(token.cancelled());
        canceller.join().unwrap();
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
        let other = token.clone();
        let leaving = thread::spawn(move || {
            polled(&other);
            drop(child);
        });
        polled(&token);
        drop(token.child());
        leaving.join().unwrap();
        assert_eq!(token.node().registered(), (0, 0));
    });
}

#[test]
fn loom_a_child_is_born_into_the_cancellation() {
    model("a_child_is_born_into_the_cancellation", || {
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = thread::spawn(move || other.cancel("stop"));
        let child = token.child();
        let grandchild = child.child();
        canceller.join().unwrap();
        assert!(child.is_cancelled() && grandchild.is_cancelled());
        assert!(child.cause().unwrap().same(&token.cause().unwrap()));
    });
}

#[test]
fn loom_a_child_leaves_while_its_parent_is_cancelled() {
    model("a_child_leaves_while_its_parent_is_cancelled", || {
        let token = CancelToken::new();
        let (child, sibling) = (token.child(), token.child());
        let leaving = thread::spawn(move || drop(child));
        token.cancel("stop");
        leaving.join().unwrap();
        assert!(sibling.is_cancelled());
    });
}

#[test]
fn loom_cancels_at_two_heights_reach_the_leaf_once() {
    model("cancels_at_two_heights_reach_the_leaf_once", || {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        let lower = middle.clone();
        let canceller = thread::spawn(move || lower.cancel("middle"));
        root.cancel("root");
        canceller.join().unwrap();
        let (above, below) = (middle.cause().unwrap(), leaf.cause().unwrap());
        assert!(above.same(&below), "a leaf has its parent's cause: {above} / {below}");
    });
}

#[test]
fn loom_a_stop_and_a_cancellation_race() {
    model("a_stop_and_a_cancellation_race", || {
        let token = CancelToken::new();
        let child = token.child();
        let other = token.clone();
        let stopper = thread::spawn(move || other.stop("stop"));
        token.cancel("cancel");
        let stopped = stopper.join().unwrap();
        let (stop, cancel) = (token.stop_cause().unwrap(), token.cause().unwrap());
        assert_eq!(stop.same(&cancel), !stopped, "{stop} / {cancel}");
        // The cancellation may overtake the stop on its way down.
        let below = child.stop_cause().unwrap();
        assert!(below.same(&stop) || below.same(&cancel), "{below}");
        assert!(child.cause().unwrap().same(&cancel));
    });
}

#[test]
fn loom_who_waits_for_a_stop_is_never_lost() {
    model("who_waits_for_a_stop_is_never_lost", || {
        let token = CancelToken::new();
        let (child, other) = (token.child(), token.clone());
        let stopper = thread::spawn(move || other.stop("stop"));
        loom::future::block_on(child.stopping());
        stopper.join().unwrap();
    });
}

#[test]
fn loom_a_callback_is_called_or_taken_back() {
    model("a_callback_is_called_or_taken_back", || {
        let calls = Arc::new(AtomicUsize::new(0));
        let token = CancelToken::new();
        let (counter, other) = (Arc::clone(&calls), token.clone());
        let canceller = thread::spawn(move || other.cancel("now"));
        let registered = token.on_cancel(move |_| _ = counter.fetch_add(1, Ordering::Relaxed));
        let taken_back = registered.unregister();
        canceller.join().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), usize::from(!taken_back));
    });
}
