//! Models of the word, the line and the timers: run with `--cfg tidegate_loom`.

use crate::{
    Acquire, ManualClock, Quota, Rate, RateLimiter, RateLimiterBuilder,
    loom_model::{SECOND, model},
};
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::sync::thread;

fn per_second(rate: u64) -> (RateLimiterBuilder<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::builder(Rate::per_second(rate)).clock(clock.clone()), clock)
}

fn poll(acquire: Pin<&mut Acquire<'_, ManualClock>>) -> Poll<bool> {
    acquire.poll(&mut Context::from_waker(Waker::noop())).map(|passed| passed.is_ok())
}

#[test]
fn loom_no_more_than_a_burst_is_taken_at_once() {
    model("no_more_than_a_burst_is_taken_at_once", || {
        let limiter = per_second(1).0.burst(3).build().unwrap();
        let takers = [2, 1].map(|cost| {
            let limiter = limiter.clone();
            thread::spawn(move || u64::from(limiter.try_acquire(cost).is_ok()) * cost)
        });
        let mine = u64::from(limiter.try_acquire(1).is_ok());
        let taken: u64 = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert!((2..=3).contains(&(taken + mine)), "{taken} and {mine}");
        assert_eq!(limiter.peek().remaining, 3 - taken - mine);
    });
}

/// A word of the old scale is never taken for one of the new.
#[test]
fn loom_a_change_of_the_rate_keeps_what_was_taken() {
    model("a_change_of_the_rate_keeps_what_was_taken", || {
        let limiter = per_second(1).0.burst(3).build().unwrap();
        let other = limiter.clone();
        let change = thread::spawn(move || other.set_rate(Rate::per_second(1000)).unwrap());
        let other = limiter.clone();
        let taker = thread::spawn(move || u64::from(other.try_acquire(1).is_ok()));
        let mine = u64::from(limiter.try_acquire(2).is_ok()) * 2;
        change.join().unwrap();
        assert_eq!(mine + taker.join().unwrap(), 3, "there was enough for both");
        assert_eq!(limiter.peek().remaining, 0);
    });
}

/// Nobody sees the one without the other, and what was taken stays taken, whether that was before or after.
#[test]
fn loom_a_change_of_the_quota_is_one_change() {
    model("a_change_of_the_quota_is_one_change", || {
        let limiter = per_second(1).0.burst(3).build().unwrap();
        let (old, new) = (limiter.quota(), Quota::new(Rate::per_second(1000), 4));
        let other = limiter.clone();
        let change = thread::spawn(move || other.set_quota(new).unwrap());
        assert!(limiter.try_acquire(2).is_ok(), "there is enough in both");
        let seen = limiter.quota();
        assert!(seen == old || seen == new, "{seen}");
        assert!(limiter.try_acquire(1).is_ok(), "there is enough in both");
        change.join().unwrap();
        assert_eq!((limiter.quota(), limiter.peek().remaining), (new, 1));
    });
}

/// Somebody was refused, so that the next one looks at the word before the time. Another one takes of what has
/// come back since, and there is enough at every instant.
#[test]
fn loom_nobody_is_refused_by_a_time_that_is_past() {
    model("nobody_is_refused_by_a_time_that_is_past", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(2).build().unwrap();
        limiter.try_acquire(1).unwrap();
        assert!(limiter.try_acquire(2).is_err());
        let other = limiter.clone();
        let taker = thread::spawn(move || {
            clock.advance(SECOND);
            // It writes to the word without a look before, for which loom lets it come in between.
            let _ = other.peek();
            other.try_acquire(1).unwrap();
        });
        assert!(limiter.try_acquire(1).is_ok());
        taker.join().unwrap();
        assert_eq!(limiter.peek().remaining, 0);
    });
}

#[test]
fn loom_who_waits_is_woken_when_the_time_comes() {
    model("who_waits_is_woken_when_the_time_comes", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(1).build().unwrap();
        limiter.try_acquire(1).unwrap();
        let time = thread::spawn(move || clock.advance(SECOND));
        // It may come before the time, after it, or while the timer is being set.
        assert!(loom::future::block_on(limiter.acquire(1)).is_ok());
        time.join().unwrap();
        assert_eq!(limiter.stats().waiting, 0);
    });
}

#[test]
fn loom_who_gives_up_makes_room_for_the_next() {
    model("who_gives_up_makes_room_for_the_next", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(1).build().unwrap();
        limiter.try_acquire(1).unwrap();
        let other = limiter.clone();
        let quitter = thread::spawn(move || {
            // Waits first, last or not at all, and has its tokens or not when it gives up.
            let mut acquire = pin!(other.acquire(1));
            poll(acquire.as_mut()).is_ready()
        });
        let other = clock.clone();
        let time = thread::spawn(move || other.advance(SECOND));
        time.join().unwrap();
        if quitter.join().unwrap() {
            clock.advance(SECOND);
        }
        assert!(loom::future::block_on(limiter.acquire(1)).is_ok());
    });
}

/// The first in the line leaves while the timer rings for it, and another one waits behind.
#[test]
fn loom_the_next_is_served_if_the_first_leaves_as_its_time_comes() {
    model("the_next_is_served_if_the_first_leaves_as_its_time_comes", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(1).build().unwrap();
        limiter.try_acquire(1).unwrap();
        let mut first = Box::pin(limiter.acquire(1));
        assert!(poll(first.as_mut()).is_pending());
        let other = limiter.clone();
        let second = thread::spawn(move || loom::future::block_on(other.acquire(1)).is_ok());
        let time = thread::spawn(move || clock.advance(SECOND));
        drop(first);
        time.join().unwrap();
        assert!(second.join().unwrap());
        assert_eq!(limiter.stats().waiting, 0);
    });
}

#[test]
fn loom_nobody_overtakes_who_waits() {
    model("nobody_overtakes_who_waits", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(2).build().unwrap();
        limiter.try_acquire(2).unwrap();
        let mut big = Box::pin(limiter.acquire(2));
        assert!(poll(big.as_mut()).is_pending());
        let small = [(); 2].map(|()| {
            let other = limiter.clone();
            thread::spawn(move || other.try_acquire(1).is_ok())
        });
        clock.advance(2 * SECOND);
        assert_eq!(small.map(|small| small.join().unwrap()), [false; 2]);
        assert_eq!(poll(big.as_mut()), Poll::Ready(true));
    });
}

#[test]
fn loom_a_refund_reaches_who_waits() {
    model("a_refund_reaches_who_waits", || {
        let (builder, _clock) = per_second(1);
        let limiter = builder.burst(1).build().unwrap();
        let spenders = [(); 2].map(|()| {
            let other = limiter.clone();
            thread::spawn(move || {
                if let Ok(permit) = other.try_acquire(1) {
                    permit.refund();
                }
            })
        });
        assert!(loom::future::block_on(limiter.acquire(1)).is_ok());
        spenders.into_iter().for_each(|spender| spender.join().unwrap());
        assert_eq!(limiter.peek().remaining, 0);
    });
}

#[test]
fn loom_a_change_of_the_rate_reaches_who_waits() {
    model("a_change_of_the_rate_reaches_who_waits", || {
        let (builder, clock) = per_second(1);
        let limiter = builder.burst(1).build().unwrap();
        limiter.try_acquire(1).unwrap();
        let other = limiter.clone();
        let change = thread::spawn(move || {
            other.set_rate(Rate::per_second(1000)).unwrap();
            clock.advance(Duration::from_millis(1));
        });
        assert!(loom::future::block_on(limiter.acquire(1)).is_ok());
        change.join().unwrap();
    });
}

/// Two callers, one of which gives up, and a change: as the word is closed, opened and changed around
/// them, no token is made and none is lost.
#[test]
fn loom_take_cancel_and_change_lose_nothing() {
    model("take_cancel_and_change_lose_nothing", || {
        let (builder, _clock) = per_second(1);
        let limiter = builder.burst(2).build().unwrap();
        let other = limiter.clone();
        let change = thread::spawn(move || other.set_burst(3).unwrap());
        let other = limiter.clone();
        let quitter = thread::spawn(move || {
            let mut acquire = Box::pin(other.acquire(1));
            match acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(permit)) => permit.refund(),
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => {}
            }
        });
        assert!(limiter.try_acquire(1).is_ok());
        change.join().unwrap();
        quitter.join().unwrap();
        assert_eq!(limiter.peek().remaining, 2);
        assert_eq!(limiter.stats().waiting, 0);
    });
}
