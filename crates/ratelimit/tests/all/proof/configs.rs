//! What no limiter can keep to is an error, and what one can be built of never panics or wraps.

use super::oracle::Bucket;
use proptest::prelude::*;
use std::time::Duration;
use tidegate_ratelimit::{
    ConfigError, Limit, ManualClock, Quota, Rate, RateLimiter, SlidingWindow,
    state::{Gcra, Refusal, Scale, Window},
};

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_no_quota_can_be_is_an_error() {
    let longest = Duration::from_nanos((1 << 63) - 1);
    let cases = [
        (Rate::per_second(1), 0, Err(ConfigError::ZeroBurst)),
        (Rate::ZERO, 0, Err(ConfigError::ZeroBurst)),
        (Rate::ZERO, u64::MAX, Ok(())),
        (Rate::new(1, Duration::ZERO), 1, Err(ConfigError::ZeroPeriod)),
        (Rate::new(0, Duration::ZERO), 1, Err(ConfigError::ZeroPeriod)),
        (Rate::every(longest), 1, Ok(())),
        (Rate::every(longest), 2, Err(ConfigError::BurstTooLarge)),
        (Rate::every(longest + NANO), 1, Err(ConfigError::PeriodTooLong)),
        (Rate::every(Duration::MAX), 1, Err(ConfigError::PeriodTooLong)),
        (Rate::new(1 << 62, NANO), 1, Ok(())),
        (Rate::new((1 << 62) + 1, NANO), 1, Err(ConfigError::RateTooHigh)),
        (Rate::new(u64::MAX, SECOND), 1, Err(ConfigError::RateTooHigh)),
        (Rate::every(NANO), (1 << 63) - 1, Ok(())),
        (Rate::every(NANO), 1 << 63, Err(ConfigError::BurstTooLarge)),
        (Rate::every(SECOND), u64::MAX, Err(ConfigError::BurstTooLarge)),
        (Rate::UNLIMITED, 0, Ok(())),
        (Rate::UNLIMITED, u64::MAX, Ok(())),
    ];
    for (rate, burst, expected) in cases {
        let quota = Quota::new(rate, burst);
        assert_eq!(Scale::new(quota).map(drop), expected, "{quota:?}");
        let built = RateLimiter::builder(quota).clock(ManualClock::new()).build();
        assert_eq!(built.map(drop), expected, "{quota:?}");
        let beside =
            RateLimiter::builder(Rate::per_second(9)).also(quota).clock(ManualClock::new());
        assert_eq!(beside.build().map(drop), expected, "{quota:?}");
    }
}

/// The burst of a window is all of it.
#[test]
fn a_window_has_no_burst_to_set() {
    let limit = SlidingWindow::new(5, SECOND);
    assert_eq!(Limit::from(limit).quota(), Quota::new(Rate::per_second(5), 5));
    let build = || RateLimiter::builder(limit).clock(ManualClock::new());
    assert_eq!(build().burst(5).build().map(drop), Err(ConfigError::NoBurst));
    let limiter = build().build().unwrap();
    assert_eq!(limiter.set_burst(5), Err(ConfigError::NoBurst));
    assert_eq!(limiter.set_rate(Rate::new(1, Duration::ZERO)), Err(ConfigError::ZeroPeriod));
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(5), 5), "nothing has changed");
    limiter.try_acquire(5).unwrap();
    limiter.set_rate(Rate::new(7, 2 * SECOND)).unwrap();
    assert_eq!((limiter.peek().remaining, limiter.peek().possible), (2, 7));
    assert_eq!(limiter.peek().full_after, Some(2 * SECOND));
}

/// Numbers of every size, and those at which sizes end.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => 0..5_u64,
        2 => (0..64_u32, any::<u64>()).prop_map(|(shift, number)| number >> shift),
        1 => (0..64_u32, 0..3_u64).prop_map(|(shift, by)| (1_u64 << shift).wrapping_sub(1).wrapping_add(by)),
        1 => (0..3_u64).prop_map(|less| u64::MAX - less),
    ]
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => numbers().prop_map(Duration::from_nanos),
        1 => (numbers(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        1 => Just(Duration::MAX),
    ]
}

fn rates() -> impl Strategy<Value = Rate> {
    let arbitrary = (numbers(), durations()).prop_map(|(count, period)| Rate::new(count, period));
    prop_oneof![9 => arbitrary, 1 => Just(Rate::ZERO), 1 => Just(Rate::UNLIMITED)]
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Take(u64),
    Spend(u64),
    /// So much, and when it was taken.
    GiveBack(u64, u64),
    Change(Rate, u64),
    Look(u64),
}

fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let act = prop_oneof![
        4 => numbers().prop_map(Act::Take),
        1 => numbers().prop_map(Act::Spend),
        1 => (numbers(), numbers()).prop_map(|(cost, at)| Act::GiveBack(cost, at)),
        1 => (rates(), numbers()).prop_map(|(rate, burst)| Act::Change(rate, burst)),
        1 => numbers().prop_map(Act::Look),
    ];
    prop::collection::vec((numbers(), act), 1..24)
}

#[cfg(not(miri))]
proptest! {
    /// At the edges of what fits, as anywhere.
    #[test]
    fn any_quota_decides_exactly_or_is_refused(
        rate in rates(),
        burst in numbers(),
        steps in prop::collection::vec((numbers(), numbers()), 1..24),
    ) {
        let quota = Quota::new(rate, burst);
        let Ok(mut cell) = Gcra::new(quota) else { return Ok(()) };
        if rate.is_unlimited() {
            prop_assert_eq!(cell.take(0, u64::MAX), Ok(()));
            return Ok(());
        }
        let mut bucket = Bucket::new(quota);
        let mut now = 0_u64;
        for (step, cost) in steps {
            now = now.saturating_add(step);
            match cell.take(now, cost) {
                Ok(()) => prop_assert!(bucket.take(now, cost)),
                // The last time that can be told may be too early.
                Err(Refusal::Until(u64::MAX)) => prop_assert!(!bucket.take(now, cost)),
                Err(Refusal::Until(at)) => {
                    prop_assert!(at > now && !bucket.clone().take(at - 1, cost));
                    prop_assert!(bucket.take(at, cost));
                    prop_assert_eq!(cell.take(at, cost), Ok(()));
                    now = at;
                }
                Err(Refusal::Never) => prop_assert!(cost > burst || rate.count() == 0),
            }
            prop_assert_eq!(i128::from(cell.available(now)), bucket.level(now));
        }
    }

    #[test]
    fn nothing_panics_whatever_is_asked(rate in rates(), burst in numbers(), acts in acts()) {
        let quota = Quota::new(rate, burst);
        if let Ok(mut cell) = Gcra::new(quota) {
            for &(now, act) in &acts {
                match act {
                    Act::Take(cost) => drop(cell.take(now, cost)),
                    Act::Spend(cost) => cell.spend(now, cost),
                    Act::GiveBack(cost, at) => cell.give_back(now, cost, at),
                    Act::Change(rate, burst) => {
                        if let Ok(scale) = Scale::new(Quota::new(rate, burst)) {
                            cell.change(now, scale);
                        }
                    }
                    Act::Look(cost) => {
                        let _ = (cell.ready_at(cost), cell.full_at(), cell.possible(now));
                        let _ = cell.ready_at_behind(u128::from(cost) << 64, cost);
                    }
                }
                prop_assert!(cell.available(now) <= cell.possible(now));
            }
        }
        let window = SlidingWindow::new(rate.count(), rate.period());
        if let Ok(mut window) = Window::new(window) {
            for &(now, act) in &acts {
                match act {
                    Act::Take(cost) => drop(window.take(now, cost)),
                    Act::Spend(cost) => window.spend(now, cost),
                    Act::GiveBack(cost, at) => window.give_back(now, cost, at),
                    Act::Change(rate, slot) => {
                        let limit = SlidingWindow::new(rate.count(), rate.period());
                        let limit = limit.resolution(Duration::from_nanos(slot));
                        let _ = window.change(now, limit);
                    }
                    Act::Look(cost) => {
                        let _ = (window.ready_at(cost), window.full_at());
                        let _ = window.ready_at_behind(u128::from(cost) << 64, cost);
                    }
                }
                prop_assert!(window.available(now) <= window.possible());
            }
        }
    }

    #[test]
    fn no_limiter_panics_whatever_is_asked(
        rate in rates(),
        burst in numbers(),
        owes in any::<bool>(),
        window in prop::option::of((numbers(), durations())),
        acts in acts(),
    ) {
        let clock = ManualClock::new();
        let mut builder = RateLimiter::builder(Quota::new(rate, burst)).clock(clock.clone());
        if let Some((count, length)) = window {
            builder = builder.window(count, length);
        }
        if owes {
            builder = builder.allow_debt();
        }
        let Ok(limiter) = builder.build() else { return Ok(()) };
        let mut permit = None;
        for (now, act) in acts {
            clock.set(Duration::from_nanos(now));
            match act {
                Act::Take(cost) => permit = limiter.try_acquire(cost).ok(),
                Act::Spend(cost) => drop(limiter.reserve(cost).map(|reserved| reserved.delay())),
                Act::GiveBack(..) => {
                    if let Some(permit) = permit.take() {
                        permit.refund();
                    }
                }
                Act::Change(rate, burst) => drop((limiter.set_rate(rate), limiter.set_burst(burst))),
                Act::Look(cost) => drop(limiter.reserve_within(cost, Duration::from_nanos(now))),
            }
            let peek = limiter.peek();
            prop_assert!(peek.remaining <= peek.possible);
        }
    }
}
