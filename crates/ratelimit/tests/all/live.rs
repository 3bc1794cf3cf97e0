//! Limits that are changed while they are used.

use crate::{SECOND, manual, poll};
use std::{pin::pin, task::Poll, time::Duration};
use tidegate_ratelimit::{AcquireError, ConfigError, Quota, Rate, RateLimiter};
use tokio::time::Instant;

#[test]
fn what_was_taken_stays_taken() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).build().unwrap();
    limiter.try_acquire(6).unwrap();
    limiter.set_rate(Rate::per_second(100)).unwrap();
    assert_eq!(limiter.peek().remaining, 4);
    assert_eq!(limiter.peek().full_after, Some(Duration::from_millis(60)));
    clock.advance(Duration::from_millis(10));
    assert_eq!(limiter.peek().remaining, 5);
    limiter.set_rate(Rate::per_hour(1)).unwrap();
    assert_eq!(limiter.peek().full_after, Some(Duration::from_secs(5 * 3600)));
}

#[test]
fn a_part_of_a_token_is_kept_in_proportion() {
    let (builder, clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    clock.advance(SECOND / 4);
    // Three quarters of a token are missing, of ten seconds then.
    limiter.set_rate(Rate::every(10 * SECOND)).unwrap();
    assert_eq!(limiter.try_acquire(1).unwrap_err().retry_after(), Some(SECOND * 15 / 2));
}

#[test]
fn a_larger_burst_is_there_at_once_and_a_smaller_one_is_owed() {
    let (builder, clock) = manual();
    let limiter = builder.burst(2).build().unwrap();
    limiter.try_acquire(2).unwrap();
    limiter.set_burst(5).unwrap();
    limiter.try_acquire(3).unwrap();
    limiter.set_burst(1).unwrap();
    assert_eq!(limiter.try_acquire(1).unwrap_err().retry_after(), Some(5 * SECOND));
    clock.advance(100 * SECOND);
    assert_eq!(limiter.peek().remaining, 1);
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(1), 1));
}

#[test]
fn a_quota_changes_in_one_step_and_keeps_the_debt_in_proportion() {
    let (builder, clock) = manual();
    let limiter = builder.burst(4).build().unwrap();
    limiter.try_acquire(4).unwrap();
    clock.advance(SECOND / 2);
    // Three and a half are missing, of ten a second and six then.
    let quota = Quota::new(Rate::per_second(10), 6);
    limiter.set_quota(quota).unwrap();
    assert_eq!((limiter.quota(), limiter.peek().remaining), (quota, 2));
    assert_eq!(limiter.peek().full_after, Some(Duration::from_millis(350)));
    // A rate alone brings its burst with it, as for `builder`.
    limiter.set_quota(Rate::per_second(1000)).unwrap();
    assert_eq!(limiter.quota().burst(), 10);
}

/// Each half of it would have failed who waits, in the one order or the other.
#[tidegate_testkit::test]
async fn who_waits_is_not_failed_by_half_a_quota() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(4).build().unwrap();
    limiter.try_acquire(4).unwrap();
    let mut waits = pin!(limiter.acquire_within(4, 4 * SECOND));
    assert!(poll(waits.as_mut()).is_pending());
    let start = Instant::now();
    // A tenth of the rate alone is too slow for it, and makes up for it by what there is more.
    limiter.set_quota(Quota::new(Rate::every(10 * SECOND), 8)).unwrap();
    waits.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_change_that_cannot_be_kept_to_changes_nothing() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(2).build().unwrap();
    assert_eq!(limiter.set_burst(0), Err(ConfigError::ZeroBurst));
    let quota = Quota::new(Rate::per_second(1000), 0);
    assert_eq!(limiter.set_quota(quota), Err(ConfigError::ZeroBurst));
    assert_eq!(limiter.set_rate(Rate::every(Duration::ZERO)), Err(ConfigError::ZeroPeriod));
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(1), 2));
    limiter.try_acquire(2).unwrap();
}

#[tidegate_testkit::test]
async fn who_waits_gains_by_a_higher_rate() {
    let limiter = RateLimiter::builder(Rate::per_hour(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut waits = pin!(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending());
    let start = Instant::now();
    limiter.set_rate(Rate::per_second(1)).unwrap();
    waits.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

/// Its deadline was possible when it came.
#[tidegate_testkit::test]
async fn who_waits_fails_at_once_when_a_change_makes_it_late() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(2).build().unwrap();
    limiter.try_acquire(2).unwrap();
    let mut late = pin!(limiter.acquire_within(1, SECOND));
    let mut patient = pin!(limiter.acquire(1));
    let mut large = pin!(limiter.acquire(2));
    for waits in [late.as_mut(), patient.as_mut(), large.as_mut()] {
        assert!(poll(waits).is_pending());
    }
    limiter.set_rate(Rate::every(10 * SECOND)).unwrap();
    let Poll::Ready(Err(AcquireError::TooLate { retry_after, .. })) = poll(late.as_mut()) else {
        panic!("it cannot be in time any more")
    };
    assert_eq!(retry_after, 10 * SECOND);
    limiter.set_burst(1).unwrap();
    let Poll::Ready(Err(error)) = poll(large.as_mut()) else { panic!("it never passes") };
    assert_eq!(error, AcquireError::Never { cost: 2, possible: 1 });
    let start = Instant::now();
    patient.await.unwrap();
    assert_eq!(start.elapsed(), 20 * SECOND, "two are owed, of which one may be");
}

#[tidegate_testkit::test]
async fn a_rate_of_zero_fails_who_waits_and_an_unlimited_one_serves_them() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut waits = pin!(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending());
    limiter.set_rate(Rate::ZERO).unwrap();
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Err(AcquireError::Never { .. }))));
    limiter.set_rate(Rate::per_second(1)).unwrap();
    let mut waits = pin!(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending());
    limiter.set_rate(Rate::UNLIMITED).unwrap();
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(_))));
}

/// Each change begins a range of words of its own; they are not used up soon.
#[test]
fn two_hundred_thousand_changes_are_borne() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).build().unwrap();
    for n in 0..100_000 {
        limiter.set_rate(Rate::per_second(1 + n % 7)).unwrap();
        limiter.set_rate(Rate::per_second(1)).unwrap();
        limiter.try_acquire(1).unwrap();
        clock.advance(SECOND);
    }
    clock.advance(100 * SECOND);
    assert_eq!(limiter.peek().remaining, 10);
}

/// No word stands for a time before the origin: there the cell itself has to decide.
#[test]
fn a_limiter_fills_from_where_its_clock_was_set_back_to() {
    let (builder, clock) = manual();
    clock.set(3600 * SECOND);
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    clock.set(SECOND);
    let mut passed = 0;
    for second in 2..100 {
        clock.set(second * SECOND);
        passed += u32::from(limiter.try_acquire(1).is_ok());
    }
    assert!(passed >= 97, "{passed}");
}

/// An unlimited limiter has a burst that no other could keep to.
#[test]
fn an_unlimited_limiter_can_be_limited() {
    let limiter = RateLimiter::builder(Rate::UNLIMITED).build().unwrap();
    limiter.set_rate(Rate::per_second(1000)).unwrap();
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(1000), 10));
    // One that was chosen is kept.
    limiter.set_burst(7).unwrap();
    limiter.set_rate(Rate::UNLIMITED).unwrap();
    limiter.set_rate(Rate::per_second(1)).unwrap();
    assert_eq!(limiter.quota().burst(), 7);
}
