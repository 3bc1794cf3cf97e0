//! One limiter, several runtimes: each is driven when it likes, and ends when it likes.

use crate::{SECOND, poll};
use std::{sync::mpsc, time::Duration};
use tidegate_ratelimit::{Rate, RateLimiter};
use tokio::{
    runtime::{Builder, Runtime},
    time::advance,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Fails instead of hanging.
fn ends(test: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        sender.send(()).unwrap();
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(60 * SECOND) {
        panic!("it does not end");
    }
    thread.join().unwrap();
}

fn empty() -> RateLimiter {
    let limiter = RateLimiter::builder(Rate::per_second(100)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    limiter
}

/// A static limiter in tests, each with a runtime of its own.
#[test]
fn a_runtime_that_nobody_drives_holds_up_no_other() {
    let limiter = empty();
    let (idle, driven) = (runtime(), runtime());
    let mut first = Box::pin(limiter.acquire(1));
    assert!(idle.block_on(async { poll(first.as_mut()).is_pending() }));
    driven.block_on(async { assert_eq!(limiter.acquire(1).await.unwrap().cost(), 1) });
    assert!(idle.block_on(async { poll(first.as_mut()).is_ready() }), "it was served before");
}

#[test]
fn a_runtime_that_ends_takes_its_timer_with_it_and_no_other() {
    let limiter = empty();
    let (ended, driven) = (runtime(), runtime());
    let mut first = Box::pin(limiter.acquire(1));
    assert!(ended.block_on(async { poll(first.as_mut()).is_pending() }));
    drop(ended);
    driven.block_on(async { assert_eq!(limiter.acquire(1).await.unwrap().cost(), 1) });
    drop(first);
    assert_eq!(limiter.stats().waiting, 0);
}

/// A future may be polled on a runtime, and then on another one.
#[test]
fn a_waiter_that_moves_has_a_timer_where_it_is() {
    let limiter = empty();
    let (ended, driven) = (runtime(), runtime());
    let mut moved = Box::pin(limiter.acquire(1));
    assert!(ended.block_on(async { poll(moved.as_mut()).is_pending() }));
    driven.block_on(async { assert_eq!(moved.await.unwrap().cost(), 1) });
    drop(ended);
}

#[test]
fn waiters_of_several_threads_and_runtimes_are_all_served() {
    let limiter = RateLimiter::builder(Rate::per_second(10_000)).burst(10).build().unwrap();
    let (sender, receiver) = mpsc::sync_channel(8);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            let (limiter, sender) = (limiter.clone(), sender.clone());
            threads.spawn(move || {
                runtime().block_on(async {
                    for _ in 0..250 {
                        limiter.acquire(1).await.unwrap();
                    }
                });
                sender.send(()).unwrap();
            });
        }
        for _ in 0..4 {
            receiver.recv_timeout(Duration::from_secs(60)).expect("all are served");
        }
    });
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.cancelled, stats.served), (0, 0, stats.waited));
}

#[test]
#[should_panic(expected = "there is no reactor running")]
fn waiting_outside_of_a_runtime_is_said_to_be_impossible() {
    let limiter = empty();
    let _ = poll(Box::pin(limiter.acquire(1)).as_mut());
}

/// What passes at once needs no runtime, and neither does a reservation.
#[test]
fn no_runtime_is_needed_where_nothing_waits() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(2).build().unwrap();
    assert!(poll(Box::pin(limiter.acquire(2)).as_mut()).is_ready());
    drop(limiter.reserve(1).unwrap());
    assert_eq!(limiter.stats().waiting, 0);
}

/// As a sleep of tokio's does: or a runtime that waits for its threads would wait for ever.
#[test]
fn who_waits_on_a_thread_of_its_own_is_no_reason_for_a_runtime_not_to_end() {
    ends(|| {
        let limiter = RateLimiter::builder(Rate::per_hour(1)).burst(1).build().unwrap();
        limiter.try_acquire(1).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (handle, other) = (runtime.handle().clone(), limiter.clone());
        let blocked =
            runtime.spawn_blocking(move || handle.block_on(other.acquire(1)).unwrap().cost());
        while limiter.stats().timers == 0 {
            std::thread::yield_now();
        }
        drop(runtime);
        let error = self::runtime().block_on(blocked).unwrap_err();
        assert!(error.is_panic(), "there is no time any more: {error}");
        assert_eq!(limiter.stats().waiting, 0);
    });
}

/// A static limiter in tests whose time is paused: each has a time of its own.
#[test]
fn a_paused_runtime_that_is_ahead_holds_up_no_other() {
    ends(|| {
        let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
        let paused = || Builder::new_current_thread().enable_time().start_paused(true).build();
        let (ahead, behind) = (paused().unwrap(), paused().unwrap());
        let mut first = Box::pin(limiter.acquire(1));
        ahead.block_on(async {
            advance(3600 * SECOND).await;
            limiter.try_acquire(1).unwrap();
            assert!(poll(first.as_mut()).is_pending());
        });
        behind.block_on(async { assert_eq!(limiter.acquire(1).await.unwrap().cost(), 1) });
        assert!(poll(first.as_mut()).is_ready(), "it was served before");
    });
}
