//! What is refused, and what is said about it.

use crate::{SECOND, manual, poll};
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};
use tidegate_ratelimit::{
    AcquireError, Clock, ConfigError, ManualClock, Quota, Rate, RateLimiter, TryAcquireError,
};

#[test]
fn a_refusal_says_when_to_come_back_and_what_is_left() {
    let (builder, clock) = manual();
    let limiter = builder.burst(3).build().unwrap();
    limiter.try_acquire(2).unwrap();
    clock.advance(SECOND / 4);
    let error = limiter.try_acquire(3).unwrap_err();
    let expected = TryAcquireError::Denied { retry_after: SECOND * 7 / 4, remaining: 1 };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "rate limit reached: 1 left, retry after 1.75s");
    clock.advance(Duration::from_nanos(1_749_999_999));
    let error = limiter.try_acquire(3).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_nanos(1)));
    clock.advance(Duration::from_nanos(1));
    limiter.try_acquire(3).unwrap();
}

#[test]
fn a_refusal_takes_nothing() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(3).build().unwrap();
    limiter.try_acquire(2).unwrap();
    for _ in 0..10 {
        limiter.try_acquire(2).unwrap_err();
    }
    limiter.try_acquire(1).unwrap();
}

#[test]
fn nothing_costs_nothing() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    limiter.try_acquire(0).unwrap().refund();
    assert_eq!(limiter.peek().remaining, 0);
}

#[tidegate_testkit::test]
async fn more_than_a_burst_never_passes_and_is_told_so_at_once() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(3).build().unwrap();
    let never = TryAcquireError::Never { cost: 4, possible: 3, remaining: 3 };
    assert_eq!(limiter.try_acquire(4).unwrap_err(), never);
    assert_eq!(never.retry_after(), None);
    let never = AcquireError::Never { cost: 4, possible: 3 };
    assert_eq!(limiter.acquire(4).await.unwrap_err(), never);
    assert_eq!(limiter.peek().remaining, 3);
}

#[tidegate_testkit::test]
async fn a_debt_is_paid_by_who_comes_next() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(3).allow_debt().build().unwrap();
    limiter.try_acquire(10).unwrap();
    let error = limiter.try_acquire(1).unwrap_err();
    assert_eq!(error.retry_after(), Some(8 * SECOND));
    // And it asks for a full limiter itself.
    let error = limiter.try_acquire(5).unwrap_err();
    assert_eq!(error.retry_after(), Some(10 * SECOND));
    let start = tokio::time::Instant::now();
    limiter.acquire(5).await.unwrap();
    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tidegate_testkit::test]
async fn a_rate_of_zero_lets_a_burst_pass_and_no_more() {
    let limiter = RateLimiter::builder(Rate::ZERO).burst(2).build().unwrap();
    limiter.try_acquire(1).unwrap();
    assert_eq!(limiter.peek().full_after, None);
    let never = AcquireError::Never { cost: 2, possible: 1 };
    assert_eq!(limiter.acquire(2).await.unwrap_err(), never);
    limiter.try_acquire(1).unwrap().refund();
    limiter.acquire(1).await.unwrap();
    assert_eq!(limiter.try_acquire(1).unwrap_err().retry_after(), None);
}

#[test]
fn an_unlimited_rate_lets_everything_pass() {
    let limiter = RateLimiter::builder(Rate::UNLIMITED).build().unwrap();
    for cost in [1, 1000, u64::MAX, u64::MAX] {
        limiter.try_acquire(cost).unwrap();
    }
    assert_eq!(limiter.peek().remaining, u64::MAX);
    assert_eq!(limiter.quota().to_string(), "unlimited");
}

#[test]
fn what_cannot_be_kept_to_is_refused_by_name() {
    let build = |quota: Quota| {
        RateLimiter::builder(quota.rate()).burst(quota.burst()).build().map(drop).unwrap_err()
    };
    let long = Duration::from_secs(1 << 40);
    let cases = [
        (Quota::new(Rate::new(1, Duration::ZERO), 1), ConfigError::ZeroPeriod),
        (Quota::new(Rate::per_second(1), 0), ConfigError::ZeroBurst),
        (Quota::new(Rate::every(long), 1), ConfigError::PeriodTooLong),
        (Quota::new(Rate::per_second(u64::MAX), 1), ConfigError::RateTooHigh),
        (Quota::new(Rate::per_hour(1), u64::MAX), ConfigError::BurstTooLarge),
    ];
    for (quota, error) in cases {
        assert_eq!(build(quota), error, "{quota}");
    }
    let several = RateLimiter::builder(Rate::per_second(1)).also(Quota::new(Rate::ZERO, 0));
    assert_eq!(several.build().map(drop).unwrap_err(), ConfigError::ZeroBurst);
}

#[test]
fn several_limits_take_from_all_or_from_none() {
    let (builder, clock) = manual();
    let limiter = builder.burst(3).also(Quota::new(Rate::per_minute(1), 4)).build().unwrap();
    limiter.try_acquire(3).unwrap();
    clock.advance(3 * SECOND);
    let error = limiter.try_acquire(2).unwrap_err();
    let expected = TryAcquireError::Denied { retry_after: 57 * SECOND, remaining: 1 };
    assert_eq!(error, expected, "the minute has one left, and counts its own time");
    limiter.try_acquire(1).unwrap();
    assert_eq!(
        limiter.try_acquire(4).unwrap_err(),
        TryAcquireError::Never { cost: 4, possible: 3, remaining: 0 }
    );
    clock.advance(2 * SECOND);
    assert_eq!(limiter.try_acquire(3).unwrap_err().retry_after(), Some(175 * SECOND));
}

/// A debt of long ago is no reason to stand still for as long when the clock is set back.
#[test]
fn a_debt_that_was_paid_does_not_stall_after_a_step_back() {
    for is_locked in [false, true] {
        let (mut builder, clock) = manual();
        if is_locked {
            builder = builder.also(Rate::UNLIMITED);
        }
        let limiter = builder.burst(10).allow_debt().build().unwrap();
        limiter.try_acquire(100_000).unwrap();
        clock.advance(200_000 * SECOND);
        limiter.try_acquire(10).unwrap();
        clock.set(150_000 * SECOND);
        let error = limiter.try_acquire(1).unwrap_err();
        assert_eq!(error.retry_after(), Some(SECOND), "it is empty at worst");
    }
}

/// Has something happen between the look at it and what is made of that.
struct Interrupted(ManualClock, Interruption);

type Interruption = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl Clock for Interrupted {
    type Timer = <ManualClock as Clock>::Timer;

    fn now(&self) -> u64 {
        let now = self.0.now();
        let interruption = self.1.lock().unwrap().take();
        if let Some(interruption) = interruption {
            interruption();
        }
        now
    }

    fn timer(&self) -> Self::Timer {
        self.0.timer()
    }
}

/// Another one takes of what has come back since, and there was enough all the while. The one who asks looks at
/// the word before the time only after somebody was refused.
#[test]
fn nobody_is_refused_by_a_time_that_is_past() {
    for is_spent in [false, true] {
        let (clock, interruption) = (ManualClock::new(), Interruption::default());
        let limiter = RateLimiter::builder(Rate::per_second(1))
            .burst(4)
            .clock(Interrupted(clock.clone(), Arc::clone(&interruption)))
            .build()
            .unwrap();
        limiter.try_acquire(3).unwrap();
        if is_spent {
            limiter.try_acquire(2).unwrap_err();
        }
        let other = limiter.clone();
        *interruption.lock().unwrap() = Some(Box::new(move || {
            clock.advance(SECOND);
            other.try_acquire(1).unwrap();
            if is_spent {
                // That one has passed, after which it seems to have enough.
                other.try_acquire(2).unwrap_err();
            }
        }));
        limiter.try_acquire(1).unwrap();
    }
}

/// Those that were served and are not polled have places still, and nothing else would bound these.
#[test]
fn who_was_served_and_has_not_looked_counts_as_waiting() {
    let (builder, clock) = manual();
    let limiter = builder.burst(2).max_waiters(2).build().unwrap();
    limiter.try_acquire(2).unwrap();
    let mut first = limiter.reserve(1).unwrap();
    let second = limiter.reserve(1).unwrap();
    clock.advance(2 * SECOND);
    assert_eq!((limiter.stats().waiting, limiter.stats().served), (0, 2));
    let full = AcquireError::Full { waiting: 2, retry_after: SECOND };
    assert_eq!(limiter.reserve(1).unwrap_err(), full);
    let acquired = poll(pin!(limiter.acquire(1))).map(Result::err);
    assert_eq!(acquired, Poll::Ready(Some(full)));
    // Once it has looked it needs no place for what it has.
    assert!(first.is_ready());
    let third = limiter.reserve(1).unwrap();
    assert_eq!(limiter.reserve(1).unwrap_err().retry_after(), Some(2 * SECOND));
    drop(second);
    assert!(limiter.reserve(1).is_ok(), "who is dropped has none either");
    drop((first, third));
    assert_eq!(limiter.peek().remaining, 2);
}
