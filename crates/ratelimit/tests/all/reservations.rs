//! Tokens that are set aside.

use crate::{SECOND, manual, poll};
use std::pin::pin;
use tidegate_ratelimit::{AcquireError, Rate, RateLimiter};
use tokio::time::Instant;

#[test]
fn a_reservation_is_there_at_once_or_later() {
    let (builder, clock) = manual();
    let limiter = builder.burst(2).build().unwrap();
    let mut now = limiter.reserve(2).unwrap();
    assert!(now.is_ready() && now.delay().is_zero());
    let mut later = limiter.reserve(1).unwrap();
    let mut last = limiter.reserve(2).unwrap();
    assert_eq!((later.delay(), last.delay()), (SECOND, 3 * SECOND));
    assert!(!later.is_ready());
    clock.advance(SECOND);
    assert!(later.is_ready() && !last.is_ready());
    now.commit().unwrap();
    later.commit().unwrap();
    let last = last.commit().unwrap_err();
    assert_eq!((last.cost(), last.delay()), (2, 2 * SECOND));
    assert_eq!(limiter.stats().remaining, 0);
}

#[test]
fn a_reservation_that_is_dropped_gives_its_tokens_back() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(2).build().unwrap();
    drop(limiter.reserve(2).unwrap());
    assert_eq!(limiter.peek().remaining, 2);
    let held = limiter.reserve(2).unwrap();
    let mut behind = limiter.reserve(1).unwrap();
    assert!(!behind.is_ready());
    drop(held);
    assert!(behind.is_ready());
    assert_eq!(limiter.stats().remaining, 1);
}

/// golang/go#43858: reservations that are cancelled out of order give back what they have.
#[test]
fn reservations_that_are_cancelled_out_of_order_give_all_back() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(3).build().unwrap();
    let mut all: Vec<_> = (0..6).map(|_| limiter.reserve(1).unwrap()).collect();
    for n in [1, 3, 0, 2, 0, 0] {
        drop(all.remove(n));
    }
    let stats = limiter.stats();
    assert_eq!((stats.remaining, stats.waiting), (3, 0));
}

/// golang/go#56924: tokens that have come back since are not given back once more.
#[test]
fn a_full_limiter_is_not_filled_further() {
    let (builder, clock) = manual();
    let limiter = builder.burst(3).build().unwrap();
    let held = limiter.reserve(3).unwrap();
    clock.advance(100 * SECOND);
    drop(held);
    assert_eq!(limiter.peek().remaining, 3);
}

#[test]
fn a_reservation_says_at_once_that_it_would_be_late() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let error = limiter.reserve_within(1, SECOND / 2).unwrap_err();
    assert_eq!(error, AcquireError::TooLate { retry_after: SECOND, allowed: SECOND / 2 });
    drop(limiter.reserve_within(1, SECOND).unwrap());
    assert_eq!(limiter.reserve(2).unwrap_err(), AcquireError::Never { cost: 2, possible: 1 });
}

/// Nobody polls a reservation, and nobody need.
#[tidegate_testkit::test]
async fn who_waits_behind_a_reservation_is_served_after_it() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let start = Instant::now();
    let mut held = limiter.reserve(1).unwrap();
    limiter.acquire(1).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert!(held.is_ready());
}

#[tidegate_testkit::test]
async fn a_reservation_is_waited_for() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let start = Instant::now();
    let mut reservation = limiter.reserve(1).unwrap();
    assert!(poll(pin!(reservation.ready())).is_pending());
    reservation.ready().await.unwrap();
    reservation.ready().await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    reservation.commit().unwrap();
}
