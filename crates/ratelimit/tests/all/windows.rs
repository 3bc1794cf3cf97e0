//! Strict windows, alone and beside quotas, from outside.

use crate::{SECOND, manual, poll};
use std::{pin::pin, time::Duration};
use tidegate_ratelimit::{AcquireError, Quota, Rate, RateLimiter, SlidingWindow, TryAcquireError};
use tokio::time::Instant;

/// 10 a second, and never more than 25 in ten.
#[test]
fn a_quota_and_a_window_hold_both() {
    let (_, clock) = manual();
    let builder =
        RateLimiter::builder(Quota::new(Rate::per_second(10), 10)).window(25, 10 * SECOND);
    let limiter = builder.clock(clock.clone()).build().unwrap();
    let mut passed = Vec::new();
    for now in (0..60_000).step_by(20) {
        clock.set(Duration::from_millis(now));
        if limiter.try_acquire(1).is_ok() {
            passed.push(now);
        }
    }
    let most = |length: u64| {
        let within = |end: u64| passed.iter().filter(move |at| **at <= end && **at + length > end);
        passed.iter().map(|end| within(*end).count()).max()
    };
    assert_eq!((most(1_000), most(10_000)), (Some(19), Some(25)));
    assert_eq!(passed.len(), 6 * 25);
}

/// 100 a minute on both sides: what a quota lets pass in 59 seconds, a window does not.
#[test]
fn a_window_alone_is_a_limiter() {
    let (_, clock) = manual();
    let limit = SlidingWindow::new(100, 60 * SECOND);
    let limiter = RateLimiter::builder(limit).clock(clock.clone()).build().unwrap();
    limiter.try_acquire(100).unwrap();
    clock.set(59 * SECOND);
    let denied = TryAcquireError::Denied { retry_after: SECOND, remaining: 0 };
    assert_eq!(limiter.try_acquire(1).unwrap_err(), denied);
    let never = TryAcquireError::Never { cost: 101, possible: 100, remaining: 0 };
    assert_eq!(limiter.try_acquire(101).unwrap_err(), never);
    clock.set(60 * SECOND);
    let permit = limiter.try_acquire(100).unwrap();
    assert!(limiter.try_acquire(1).is_err());
    permit.refund();
    assert_eq!(limiter.peek().remaining, 100);
}

#[tidegate_testkit::test]
async fn who_waits_for_a_window_is_served_in_turn_and_on_the_dot() {
    let limiter = RateLimiter::builder(SlidingWindow::new(3, 10 * SECOND)).build().unwrap();
    let start = Instant::now();
    let mut served = Vec::new();
    for cost in [1, 2, 2, 3, 1] {
        limiter.acquire(cost).await.unwrap();
        served.push(start.elapsed().as_secs());
    }
    assert_eq!(served, [0, 0, 10, 20, 30]);
}

#[tidegate_testkit::test]
async fn a_window_that_may_owe_makes_others_wait_for_it() {
    let limit = SlidingWindow::new(2, 10 * SECOND);
    let limiter = RateLimiter::builder(limit).allow_debt().build().unwrap();
    let start = Instant::now();
    limiter.acquire(5).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    limiter.acquire(1).await.unwrap();
    assert_eq!(start.elapsed(), 20 * SECOND, "with the fifth");
    limiter.acquire(1).await.unwrap();
    assert_eq!(start.elapsed(), 30 * SECOND);
}

/// Two at the start and two at nine seconds. Who asks for three then is served at 19, with the next;
/// had they come one by one, some would have passed at 10, and left room at 20. It is 29 for those behind.
#[tidegate_testkit::test]
async fn who_cannot_pass_in_time_behind_others_does_not_wait_longer_than_it_may() {
    let limiter = RateLimiter::builder(SlidingWindow::new(4, 10 * SECOND)).build().unwrap();
    let start = Instant::now();
    limiter.try_acquire(2).unwrap();
    tokio::time::sleep(9 * SECOND).await;
    limiter.try_acquire(2).unwrap();
    let mut served = [pin!(limiter.acquire(3)), pin!(limiter.acquire(1)), pin!(limiter.acquire(1))];
    for waits in &mut served {
        assert!(poll(waits.as_mut()).is_pending());
    }
    let late = limiter.acquire_within(1, 16 * SECOND).await.unwrap_err();
    let (retry_after, allowed) = (10 * SECOND, 6 * SECOND);
    assert_eq!(late, AcquireError::TooLate { retry_after, allowed });
    assert_eq!(start.elapsed(), 19 * SECOND);
    served[2].as_mut().await.unwrap();
    assert_eq!(start.elapsed(), 29 * SECOND);
}
