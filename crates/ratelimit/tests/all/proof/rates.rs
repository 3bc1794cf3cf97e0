//! What passes in the long run is the rate, whatever the rate.

use super::oracle::Meter;
use std::time::Duration;
use tidegate_ratelimit::{
    ManualClock, Quota, Rate, RateLimiter, SlidingWindow,
    state::{Gcra, Refusal, Window},
};

/// Rates, coprime to a second and not, with what is asked for at a time.
fn rates() -> Vec<(Rate, u64)> {
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let per_second = [1, 3, 7, 10, 997, 65_537, 200_003]
        .map(|count| (Rate::per_second(count), 1))
        .into_iter()
        .chain(
            [1_000_003, 300_000_000, 700_000_000, 999_999_937, 1_000_000_000, 3_000_000_019]
                .map(|count| (Rate::per_second(count), 997)),
        );
    per_second
        .chain([
            (Rate::per_minute(61), 1),
            (Rate::per_hour(1), 1),
            (Rate::per_day(10_007), 1),
            (Rate::every(7 * day), 1),
            (Rate::new(9_999_991, 3 * day), 7),
            (Rate::new(1_000_000_007, Duration::from_nanos(1_000_003)), 999_983),
            (Rate::new(1 << 62, second), 1 << 40),
            (Rate::new(1, Duration::from_nanos(1)), 1),
        ])
        .collect()
}

const STEPS: u64 = 20_000;

/// Asks for as much as it gets, as soon as it gets it.
fn runs_at_rate(quota: Quota, cost: u64, mut take: impl FnMut(u64, u64) -> Result<(), u64>) {
    let (mut meter, mut now) = (Meter::new(quota), 0);
    for _ in 0..tidegate_testkit::scale(STEPS) {
        match take(now, cost) {
            Ok(()) => assert!(meter.pass(now, cost), "{quota}: too much at {now}"),
            Err(at) => now = at,
        }
    }
    assert!(now > 0, "{quota}: the burst was never used up");
    assert!(meter.is_at_rate(now), "{quota}: too little until {now}: {meter:?}");
}

/// A burst that is used up soon, and holds what comes back in a nanosecond besides what is asked for.
fn quotas() -> impl Iterator<Item = (Quota, u64)> {
    rates().into_iter().map(|(rate, cost)| {
        let in_a_nano = u128::from(rate.count()).div_ceil(rate.period().as_nanos());
        (Quota::new(rate, 2 * cost + u64::try_from(in_a_nano).unwrap()), cost)
    })
}

#[test]
fn the_cell_runs_at_its_rate() {
    for (quota, cost) in quotas() {
        let mut cell = Gcra::new(quota).unwrap();
        runs_at_rate(quota, cost, |now, cost| {
            cell.take(now, cost).map_err(|refusal| match refusal {
                Refusal::Until(at) => at,
                Refusal::Never => panic!("{quota}: {cost} are not more than the burst"),
            })
        });
    }
}

/// The word, that is, and whatever it does not say.
#[test]
fn a_limiter_runs_at_its_rate() {
    for (quota, cost) in quotas() {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        runs_at_rate(quota, cost, |now, cost| {
            clock.set(Duration::from_nanos(now));
            limiter.try_acquire(cost).map(drop).map_err(|error| {
                let wait = error.retry_after().expect("it is not more than the burst");
                now + u64::try_from(wait.as_nanos()).unwrap()
            })
        });
    }
}

/// With the burst that a rate comes with, asked at each tick of a clock.
#[test]
fn a_limiter_that_is_asked_each_millisecond_runs_at_its_rate() {
    for count in [997, 12_347, 999_983, 300_000_000, 700_000_000] {
        let quota = Quota::from(Rate::per_second(count));
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        let (mut meter, mut now) = (Meter::new(quota), 0);
        for _ in 0..tidegate_testkit::scale(STEPS) {
            let all = limiter.peek().remaining;
            limiter.try_acquire(all).unwrap();
            assert!(meter.pass(now, all), "{quota}: too much at {now}");
            now += 1_000_000;
            clock.set(Duration::from_nanos(now));
        }
        assert!(meter.is_at_rate(now), "{quota}: {meter:?}");
    }
}

/// Of a window, too, all that it lets pass is used; with slots, all but one of them in a thousand.
#[test]
fn a_window_lets_pass_as_much_as_it_may() {
    for (most, length) in [(1, 7), (3, 1_000), (997, 60_000_000_000), (100_003, 60_000_000_000)] {
        let limit = SlidingWindow::new(most, Duration::from_nanos(length));
        let mut window = Window::new(limit).unwrap();
        let (mut now, mut passed) = (0, 0_u64);
        for _ in 0..tidegate_testkit::scale(200_000) {
            match window.take(now, 1) {
                Ok(()) => passed += 1,
                Err(Refusal::Until(at)) => now = at,
                Err(Refusal::Never) => panic!("one is never too many"),
            }
        }
        let (passed, turns) = (u128::from(passed), u128::from(now / length));
        assert!(passed * 1000 >= turns * u128::from(most) * 999, "{limit}: {passed} in {now}");
    }
}
