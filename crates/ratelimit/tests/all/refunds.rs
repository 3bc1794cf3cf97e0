//! What is given back late: never more than if it had not been taken.

use crate::{SECOND, manual, poll};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};
use tidegate_ratelimit::{
    KeyedLimiter, ManualClock, OnFull, Quota, Rate, RateLimiter, SlidingWindow,
};

/// All of it has come back by itself when it is given back.
#[test]
fn a_late_refund_makes_no_tokens() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).build().unwrap();
    let late = limiter.try_acquire(10).unwrap();
    clock.advance(10 * SECOND);
    limiter.try_acquire(10).unwrap();
    late.refund();
    assert_eq!(limiter.peek().remaining, 0);
    assert!(limiter.try_acquire(1).is_err());
}

#[test]
fn a_late_refund_makes_no_room_in_a_window() {
    let clock = ManualClock::new();
    let window = SlidingWindow::new(3, 10 * SECOND);
    let limiter = RateLimiter::builder(window).clock(clock.clone()).build().unwrap();
    let late = limiter.try_acquire(3).unwrap();
    clock.advance(10 * SECOND);
    limiter.try_acquire(3).unwrap();
    late.refund();
    assert_eq!(limiter.peek().remaining, 0);
    assert!(limiter.try_acquire(1).is_err());
}

/// Not those that leave the window first, nor those that came last.
#[test]
fn a_window_gives_back_the_very_tokens() {
    let clock = ManualClock::new();
    let window = SlidingWindow::new(3, 10 * SECOND);
    let limiter = RateLimiter::builder(window).clock(clock.clone()).build().unwrap();
    let permits = [1, 2, 3].map(|at| {
        clock.set(at * SECOND);
        limiter.try_acquire(1).unwrap()
    });
    let [_first, second, _third] = permits;
    second.refund();
    assert_eq!(limiter.peek().remaining, 1);
    let free = [11, 12, 13].map(|at| {
        clock.set(at * SECOND);
        limiter.peek().remaining
    });
    assert_eq!(free, [2, 2, 3]);
}

/// Others have taken what has come meanwhile.
#[test]
fn a_refund_gives_back_what_has_not_come_by_itself() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).build().unwrap();
    let late = limiter.try_acquire(10).unwrap();
    clock.advance(4 * SECOND);
    limiter.try_acquire(4).unwrap();
    late.refund();
    assert_eq!(limiter.peek().remaining, 6);
    let stats = limiter.stats();
    assert_eq!(stats.refunded, 10, "as many as were handed in");
}

#[test]
fn a_late_refund_counts_for_each_limit_by_itself() {
    let (builder, clock) = manual();
    let limiter = builder
        .burst(10)
        .also(Quota::new(Rate::per_minute(1), 20))
        .window(20, 8 * SECOND)
        .build()
        .unwrap();
    let late = limiter.try_acquire(10).unwrap();
    clock.advance(9 * SECOND);
    limiter.try_acquire(9).unwrap();
    late.refund();
    // One is missing from the first, and all but 9 seconds' worth from the second; none from the window.
    assert_eq!(limiter.peek().remaining, 1);
    clock.advance(8 * SECOND);
    limiter.try_acquire(9).unwrap();
    assert_eq!(limiter.peek().remaining, 0);
    clock.advance(10 * SECOND);
    assert_eq!(limiter.peek().remaining, 2, "of the 20 a minute 18 were kept");
}

#[test]
fn a_debt_is_given_back_as_far_as_it_is_not_paid() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).allow_debt().build().unwrap();
    let large = limiter.try_acquire(30).unwrap();
    clock.advance(15 * SECOND);
    large.refund();
    assert_eq!(limiter.peek().remaining, 10);

    let clock = ManualClock::new();
    let window = SlidingWindow::new(3, 10 * SECOND);
    let builder = RateLimiter::builder(window).clock(clock.clone());
    let limiter = builder.allow_debt().build().unwrap();
    let large = limiter.try_acquire(7).unwrap();
    clock.advance(20 * SECOND);
    limiter.try_acquire(2).unwrap();
    large.refund();
    assert_eq!(limiter.peek().remaining, 1, "the last of seven");
}

/// Who waited has had its tokens since the timer rang for it, and not since it asked or was told.
#[tidegate_testkit::test]
async fn what_was_taken_for_who_waited_is_as_old_as_that() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(4).build().unwrap();
    limiter.acquire(4).await.unwrap();
    let mut waiter = Box::pin(limiter.acquire(4));
    assert!(poll(waiter.as_mut()).is_pending());
    let mut reserved = limiter.reserve(4).unwrap();
    assert!(poll(pin!(reserved.ready())).is_pending());
    tidegate_testkit::advance(4 * SECOND).await;
    tidegate_testkit::advance(SECOND).await;
    // The waiter has them for a second, and one has come for the reservation.
    drop(waiter);
    assert!(reserved.is_ready(), "three and one");
    assert_eq!(limiter.peek().remaining, 0);
    tidegate_testkit::advance(3 * SECOND).await;
    limiter.try_acquire(3).unwrap();
    drop(reserved);
    assert_eq!(limiter.peek().remaining, 1, "one of its four");
}

#[test]
fn a_refund_after_the_rate_was_changed_makes_no_tokens() {
    // Before and after: how much is given back of ten a second later, when all of them are missing.
    let slow = Rate::per_second(1);
    let cases = [
        (slow, Rate::per_second(3), 7),
        // More may have come than the new rate says.
        (Rate::per_second(3), slow, 0),
        (slow, Rate::ZERO, 0),
        (Rate::ZERO, slow, 9),
        (Rate::UNLIMITED, slow, 0),
        (slow, slow, 9),
    ];
    for (before, after, given_back) in cases {
        let clock = ManualClock::new();
        clock.set(100 * SECOND);
        let quota = Quota::new(before, 10);
        let limiter = RateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        let late = limiter.try_acquire(10).unwrap();
        clock.advance(SECOND / 2);
        limiter.set_rate(after).unwrap();
        clock.advance(SECOND / 2);
        limiter.set_burst(40).unwrap();
        limiter.try_acquire(limiter.peek().remaining).unwrap();
        late.refund();
        assert_eq!(limiter.peek().remaining, given_back, "from {before} to {after}");
    }
}

#[test]
fn a_refund_of_the_very_instant_of_a_change_loses_nothing() {
    let (builder, clock) = manual();
    clock.set(7 * SECOND);
    let limiter = builder.burst(10).build().unwrap();
    let permit = limiter.try_acquire(10).unwrap();
    limiter.set_rate(Rate::per_hour(7)).unwrap();
    limiter.set_rate(Rate::new(13, SECOND * 17)).unwrap();
    permit.refund();
    assert_eq!(limiter.peek().remaining, 10);
}

/// Ten seconds have gone by, though the clock does not say so.
#[test]
fn a_refund_after_the_clock_was_set_back_makes_no_tokens() {
    for back_to in [0, 1, 5, 9] {
        let (builder, clock) = manual();
        let limiter = builder.burst(10).build().unwrap();
        let late = [(); 10].map(|()| limiter.try_acquire(1).unwrap());
        clock.set(10 * SECOND);
        limiter.try_acquire(10).unwrap();
        clock.set(back_to * SECOND);
        for late in late {
            late.refund();
        }
        assert_eq!(limiter.peek().remaining, 0, "at {back_to}");
    }
    for back_to in [0, 5, 9] {
        let (limiter, clock) = keyed(10);
        let late = [(); 10].map(|()| limiter.try_acquire(&1, 1).unwrap());
        clock.set(10 * SECOND);
        limiter.try_acquire(&1, 10).unwrap();
        clock.set(back_to * SECOND);
        for late in late {
            late.refund();
        }
        assert_eq!(limiter.peek(&1).unwrap().remaining, 0, "of a key at {back_to}");
    }
    for back_to in [0, 3, 9] {
        let clock = ManualClock::new();
        let window = SlidingWindow::new(3, 10 * SECOND);
        let limiter = RateLimiter::builder(window).clock(clock.clone()).build().unwrap();
        let late = limiter.try_acquire(3).unwrap();
        clock.set(10 * SECOND);
        limiter.try_acquire(3).unwrap();
        clock.set(back_to * SECOND);
        late.refund();
        assert_eq!(limiter.peek().remaining, 0, "at {back_to}");
    }
}

fn keyed(burst: u64) -> (KeyedLimiter<u8, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), burst));
    (builder.clock(clock.clone()).build().unwrap(), clock)
}

#[test]
fn a_late_refund_makes_no_tokens_for_a_key() {
    let (limiter, clock) = keyed(10);
    let late = limiter.try_acquire(&1, 10).unwrap();
    clock.advance(10 * SECOND);
    limiter.evict();
    limiter.try_acquire(&1, 10).unwrap();
    late.refund();
    assert!(limiter.try_acquire(&1, 1).is_err());
    clock.advance(10 * SECOND);
    let late = limiter.try_acquire(&1, 10).unwrap();
    clock.advance(4 * SECOND);
    limiter.try_acquire(&1, 4).unwrap();
    late.refund();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 6);
}

/// While somebody waits for it, the cell has an owner.
#[test]
fn a_late_refund_makes_no_tokens_for_who_waits_for_a_key() {
    let (limiter, clock) = keyed(3);
    let late = limiter.try_acquire(&1, 3).unwrap();
    clock.advance(2 * SECOND);
    limiter.try_acquire(&1, 2).unwrap();
    let mut waiter = pin!(limiter.acquire(&1, 2));
    assert!(poll(waiter.as_mut()).is_pending());
    late.refund();
    assert!(poll(waiter.as_mut()).is_pending(), "one is given back");
    clock.advance(SECOND);
    assert!(poll(waiter.as_mut()).is_ready());
}

#[test]
fn what_was_taken_for_who_waited_for_a_key_is_as_old_as_that() {
    let (limiter, clock) = keyed(4);
    limiter.try_acquire(&1, 4).unwrap();
    let mut waiter = Box::pin(limiter.acquire(&1, 4));
    assert!(poll(waiter.as_mut()).is_pending());
    clock.advance(4 * SECOND);
    clock.advance(2 * SECOND);
    limiter.try_acquire(&1, 2).unwrap();
    drop(waiter);
    assert_eq!(limiter.peek(&1).unwrap().remaining, 2, "two of its four");
}

/// A limit of ten, and a rate that is asked for.
fn asked() -> (KeyedLimiter<u8, ManualClock>, ManualClock, Arc<AtomicU64>) {
    let (clock, rate) = (ManualClock::new(), Arc::new(AtomicU64::new(1)));
    let told = Arc::clone(&rate);
    let limiter = KeyedLimiter::builder(Rate::per_second(1))
        .quota_for(move |_: &u8| Quota::new(Rate::per_second(told.load(SeqCst)), 10))
        .clock(clock.clone())
        .build()
        .unwrap();
    (limiter, clock, rate)
}

/// It was full by the old quota, and forgotten.
#[test]
fn a_refund_to_a_key_that_was_forgotten_makes_no_tokens() {
    let (limiter, clock, rate) = asked();
    rate.store(10, SeqCst);
    let late = limiter.try_acquire(&1, 10).unwrap();
    clock.advance(SECOND);
    assert_eq!(limiter.evict(), 1);
    rate.store(1, SeqCst);
    limiter.try_acquire(&1, 10).unwrap();
    late.refund();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 0);
}

/// It had another quota for a time, was full by that, and forgotten.
#[test]
fn a_refund_after_another_quota_of_the_key_makes_no_tokens() {
    let (limiter, clock, rate) = asked();
    let late = limiter.try_acquire(&1, 10).unwrap();
    rate.store(1000, SeqCst);
    assert!(limiter.try_acquire(&1, 1).is_err());
    clock.advance(SECOND);
    assert_eq!(limiter.evict(), 1);
    rate.store(1, SeqCst);
    limiter.try_acquire(&1, 10).unwrap();
    late.refund();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 0);
}

#[test]
fn a_refund_to_a_key_that_was_reset_makes_no_tokens() {
    let (limiter, clock) = keyed(10);
    let late = limiter.try_acquire(&1, 5).unwrap();
    let waits = limiter.try_acquire(&2, 5).unwrap();
    limiter.reset(&1);
    // While somebody waits for it.
    let mut waiter = Box::pin(limiter.acquire(&2, 10));
    assert!(poll(waiter.as_mut()).is_pending());
    limiter.reset(&2);
    assert!(poll(waiter.as_mut()).is_ready());
    limiter.try_acquire(&1, 10).unwrap();
    late.refund();
    waits.refund();
    assert_eq!([1, 2].map(|key| limiter.peek(&key).unwrap().remaining), [0, 0]);
    clock.advance(10 * SECOND);
    limiter.try_acquire(&1, 10).unwrap().refund();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 10);
}

/// Keys that do not fit the table share a limit.
#[test]
fn a_late_refund_makes_no_tokens_for_keys_that_share_a_quota() {
    let clock = ManualClock::new();
    let quota = Quota::new(Rate::per_second(1), 10);
    let limiter = KeyedLimiter::builder(Quota::new(Rate::ZERO, 10))
        .max_keys(1)
        .on_full(OnFull::Share(quota))
        .clock(clock.clone())
        .build()
        .unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let late = limiter.try_acquire(&2, 10).unwrap();
    clock.advance(10 * SECOND);
    limiter.try_acquire(&3, 10).unwrap();
    late.refund();
    assert!(limiter.try_acquire(&2, 1).is_err());
}
