//! What others got wrong.

use super::oracle::Meter;
use crate::{SECOND, manual};
use std::time::Duration;
use tidegate_ratelimit::{
    ConfigError, Quota, Rate,
    state::{Gcra, Refusal},
};
use tidegate_testkit::Seed;

const NANOS: u64 = 1_000_000_000;

fn cell(rate: Rate, burst: u64) -> Gcra {
    Gcra::new(Quota::new(rate, burst)).unwrap()
}

/// How much of so much passes at once, in as large parts as do.
fn take_all(cell: &mut Gcra, now: u64, of: u64) -> u64 {
    let mut left = of;
    for part in [1_000_000, 1_000, 1] {
        while left >= part && cell.take(now, part).is_ok() {
            left -= part;
        }
    }
    of - left
}

/// A burst times an interval that does not fit: at one an hour, 75 904 of 6 000 000 passed where
/// 5 200 000 should have.
#[test]
fn governor_a_burst_of_centuries_does_not_wrap() {
    let quota = |burst| Quota::new(Rate::per_hour(1), burst);
    assert_eq!(Gcra::new(quota(5_200_000)), Err(ConfigError::BurstTooLarge));
    let most = (1 << 63) / (3600 * NANOS);
    assert_eq!(Gcra::new(quota(most + 1)), Err(ConfigError::BurstTooLarge));
    assert_eq!(take_all(&mut Gcra::new(quota(most)).unwrap(), 0, 6_000_000), most);
}

/// An interval in whole nanoseconds: 333 million passed in the place of 300, and a milliard in that of 700.
#[test]
fn governor_an_interval_of_a_broken_nanosecond_is_not_cut() {
    for rate in [300_000_000, 700_000_000, 999_999_999] {
        let mut cell = cell(Rate::per_second(rate), 1_000);
        let _ = cell.take(0, 1_000);
        let mut passed = 0;
        for now in (0..=NANOS / 100).step_by(100) {
            let all = cell.available(now);
            cell.take(now, all).unwrap();
            passed += all;
        }
        assert_eq!(passed, rate / 100);
    }
}

/// More than can ever pass was told to come back later.
#[test]
fn governor_11_more_than_a_burst_never_passes() {
    let mut cell = cell(Rate::per_second(10), 5);
    assert_eq!(cell.take(0, 6), Err(Refusal::Never));
    assert_eq!(cell.ready_at(6), None);
    assert_eq!(cell.take(0, 5), Ok(()));
}

/// Callers read the clock and then fight for the lock: each time that was a little old made tokens, and twice
/// as much passed.
#[test]
fn golang_65508_times_out_of_order_mint_nothing() {
    for rate in [200_000, 1_000_000] {
        let quota = Quota::new(Rate::per_second(rate), rate / 1000);
        let (mut cell, mut rng) = (Gcra::new(quota).unwrap(), Seed::new(65_508).rng());
        let (mut passed, mut latest) = (0, 0);
        for now in (0..NANOS / 10).step_by(500) {
            let told = now + rng.below(200_000);
            latest = latest.max(told);
            passed += u64::from(cell.take(told, 1).is_ok());
        }
        let most = quota.burst() + latest * rate / NANOS;
        assert!(passed <= most && passed >= most * 99 / 100, "{passed} of {most}");
    }
}

/// A clock that goes back and on again is not time that has passed.
#[test]
fn golang_23145_56287_a_step_back_mints_nothing() {
    let quota = Quota::new(Rate::per_second(10), 10);
    let mut cell = Gcra::new(quota).unwrap();
    assert_eq!(cell.take(5 * NANOS, 10), Ok(()));
    for _ in 0..1_000 {
        assert_eq!(cell.available(4 * NANOS), 0);
        assert!(cell.take(4 * NANOS, 1).is_err());
        assert!(cell.take(5 * NANOS, 1).is_err());
    }
    // Further back, it is the clock that counts: a tenth of a second of it for each token.
    let mut meter = Meter::new(quota);
    assert!(cell.take(0, 1).is_err());
    for now in (0..5 * NANOS).step_by(10_000_000) {
        if cell.take(now, 1).is_ok() {
            assert!(meter.pass(now, 1));
        }
    }
    assert!(meter.is_at_rate(5 * NANOS - 100_000_000));
}

/// What others had reserved since was taken off what was given back.
#[test]
fn golang_43858_56924_what_is_cancelled_is_given_back_whole() {
    let (builder, clock) = manual();
    let limiter = builder.burst(20).build().unwrap();
    limiter.set_rate(Rate::per_second(10)).unwrap();
    limiter.try_acquire(15).unwrap();
    clock.advance(SECOND / 10);
    let cancelled = limiter.reserve(10).unwrap();
    clock.advance(SECOND / 10);
    let mut kept = limiter.reserve(2).unwrap();
    assert!(!kept.is_ready());
    drop(cancelled);
    assert!(kept.is_ready(), "7 were left");
    assert_eq!(limiter.peek().remaining, 5);
    drop(kept);
    assert_eq!(limiter.peek().remaining, 7);

    // Whichever of two is cancelled, and however much they had to owe.
    for (first, second) in [(1, 12), (12, 1), (20, 20), (7, 90)] {
        let mut cell = cell(Rate::per_second(10), 20);
        cell.spend(0, 20);
        let mut never = cell;
        never.spend(1, second);
        cell.spend(1, first);
        cell.spend(1, second);
        cell.give_back(1, first, 1);
        assert_eq!(cell.full_at(), never.full_at());
    }
}

/// 10 in 13 seconds, asked to the very nanosecond.
#[test]
fn golang_34861_46579_what_is_due_passes_at_the_instant() {
    let mut cell = cell(Rate::new(10, Duration::from_secs(13)), 2);
    assert_eq!(cell.take(0, 2), Ok(()));
    for nth in 1..=1_000_000 {
        let now = nth * NANOS / 10 * 13;
        assert_eq!(cell.take(now - 1, 1), Err(Refusal::Until(now)));
        assert_eq!(cell.take(now, 1), Ok(()));
    }
}

/// After a long quiet time, any number passed.
#[test]
fn leaky_bucket_30_an_idle_bucket_does_not_overflow() {
    let year = 365 * 86_400 * NANOS;
    let mut cell = cell(Rate::per_second(1_000_000_000), 5);
    for now in [0, year, 100 * year, 500 * year, u64::MAX] {
        assert_eq!(cell.available(now), 5);
        assert_eq!(take_all(&mut cell, now, 1_000), 5);
    }
}

/// What was left, and what came while nobody asked, were 199 of a burst of 100.
#[test]
fn async_rate_limiter_what_is_left_and_what_comes_are_no_more_than_a_burst() {
    let mut cell = cell(Rate::per_second(100), 100);
    for second in 0..10 {
        let now = 3 * second * NANOS;
        for _ in 0..2 {
            assert_eq!(cell.take(now, 1), Ok(()));
        }
        let now = now + 2 * NANOS;
        assert_eq!(take_all(&mut cell, now, 1_000), 100);
    }
}
