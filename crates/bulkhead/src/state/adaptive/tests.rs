//! What holds for each limit, whatever it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{Aimd, Gradient2, Limit, LimitAlgorithm, Sample, Vegas};
use crate::{ConfigError, Outcome, Outcome::Success};
use proptest::prelude::*;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Each of them, from 20, between 3 and 200.
fn all() -> Vec<Box<dyn LimitAlgorithm>> {
    vec![
        Aimd::new(MS * 200).min(3).max(200).start(20).unwrap(),
        Vegas::new().min(3).max(200).start(20).unwrap(),
        Gradient2::new().min(3).max(200).start(20).unwrap(),
    ]
}

/// All of the limit in flight, each call of that latency, for so many rounds.
fn run(limit: &mut dyn LimitAlgorithm, now: &mut Duration, latency: Duration, rounds: u32) {
    for _ in 0..rounds {
        let in_flight = limit.limit();
        for _ in 0..in_flight {
            *now += latency / in_flight;
            limit.sample(*now, Sample { latency, in_flight, outcome: Success });
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Success),
        1 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
        1 => Just(Outcome::Error),
        2 => Just(Outcome::Cancelled),
    ]
}

fn latency() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0_u64..2_000_000).prop_map(Duration::from_micros),
        any::<u64>().prop_map(Duration::from_nanos),
    ]
}

fn sample() -> impl Strategy<Value = (Duration, Sample)> {
    let in_flight = prop_oneof![0_u32..300, any::<u32>()];
    let step = prop_oneof![9 => (0_u64..50_000).prop_map(Duration::from_micros),
                           1 => any::<u64>().prop_map(Duration::from_nanos)];
    (step, latency(), in_flight, outcome()).prop_map(|(step, latency, in_flight, outcome)| {
        (step, Sample { latency, in_flight, outcome })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 100 }))]

    #[test]
    fn a_limit_stays_within_its_bounds_and_is_the_same_each_time(
        samples in prop::collection::vec(sample(), 0..300),
    ) {
        for (mut limit, mut again) in all().into_iter().zip(all()) {
            let mut now = Duration::ZERO;
            for (step, sample) in &samples {
                now = now.saturating_add(*step);
                let to = limit.sample(now, *sample);
                prop_assert!((3..=200).contains(&to), "{limit:?}");
                prop_assert_eq!(to, limit.limit());
                prop_assert_eq!(to, again.sample(now, *sample));
            }
        }
    }

    #[test]
    fn overload_never_raises_it(
        samples in prop::collection::vec(sample(), 0..300),
        share in 1_usize..9,
    ) {
        for mut limit in all() {
            let (mut now, mut most) = (Duration::ZERO, 0);
            for (n, (step, sample)) in samples.iter().enumerate() {
                now = now.saturating_add((*step).min(MS * 20));
                let outcome = if n % share == 0 { Outcome::Failure } else { Outcome::Cancelled };
                let sample = Sample { outcome, ..*sample };
                let before = limit.limit();
                let to = limit.sample(now, sample);
                most = most.max(to);
                // A probe that is over gives back what it has taken.
                let is_over = |limit| format!("{limit:?}").contains("probe: None");
                prop_assert!(to <= before || is_over(&limit), "{limit:?}");
            }
            prop_assert!(most <= 20, "{limit:?}");
        }
    }

    #[test]
    fn what_is_not_used_does_not_grow(
        samples in prop::collection::vec(sample(), 0..300),
    ) {
        for mut limit in all() {
            let mut now = Duration::ZERO;
            for (step, sample) in &samples {
                now = now.saturating_add(*step);
                let in_flight = sample.in_flight % (limit.limit().div_ceil(2)).max(1);
                let to = limit.sample(now, Sample { in_flight, ..*sample });
                prop_assert!(to <= 20, "{limit:?}");
            }
        }
    }
}

#[test]
fn nonsense_is_an_error() {
    let of = |limit: &dyn Limit, capacity| limit.start(capacity).unwrap_err();
    assert_eq!(of(&Vegas::new().min(0), 1), ConfigError::ZeroCapacity);
    assert_eq!(of(&Vegas::new().max(u32::MAX), 1), ConfigError::CapacityTooLarge);
    let between = |min, capacity, max| ConfigError::LimitOutOfBounds { min, capacity, max };
    assert_eq!(of(&Gradient2::new().min(5), 4), between(5, 4, 1000));
    assert_eq!(of(&Aimd::new(MS).max(5), 6), between(1, 6, 5));
    assert_eq!(of(&Vegas::new().min(9).max(8), 8), between(9, 8, 8));
    let setting = |name| ConfigError::LimitSetting { name };
    assert_eq!(of(&Aimd::new(Duration::ZERO), 1), setting("too_slow"));
    for backoff in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(of(&Aimd::new(MS).backoff(backoff), 1), setting("backoff"));
    }
    for tolerance in [0.99, f64::NAN, f64::INFINITY] {
        assert_eq!(of(&Gradient2::new().tolerance(tolerance), 1), setting("tolerance"));
    }
    assert_eq!(of(&Vegas::new().probe_every(Duration::ZERO), 1), setting("probe_every"));
    // With more than the most there is by default, that is the most.
    assert_eq!(Vegas::new().start(5000).unwrap().limit(), 5000);
}

#[test]
fn each_grows_while_calls_take_no_longer_and_falls_when_they_do() {
    for mut limit in all() {
        let mut now = Duration::ZERO;
        run(&mut *limit, &mut now, MS * 50, 80);
        let grown = limit.limit();
        assert!(grown >= 55, "{limit:?}");
        run(&mut *limit, &mut now, MS * 500, 3);
        assert!(limit.limit() < grown, "{limit:?}");
    }
}

/// Why limits by AIMD that go by each sample fall to nothing at one hiccup: a hundred calls that were in flight
/// together are one overload.
#[test]
fn aimd_falls_once_for_calls_that_were_in_flight_together() {
    let mut limit = Aimd::new(MS * 200).backoff(0.25).start(64).unwrap();
    let failure = |latency| Sample { latency, in_flight: 64, outcome: Outcome::Failure };
    for n in 0..64 {
        limit.sample(MS * (1000 + n), failure(MS * 100));
    }
    assert_eq!(limit.limit(), 32);
    assert_eq!(limit.sample(MS * 1100, failure(MS * 100)), 8, "it began afterwards");
}

/// failsafe-go 0.9.6: a limit that was right at a peak is not kept for ever after it.
#[test]
fn a_limit_is_not_stuck_near_its_peak() {
    for mut limit in [Vegas::new().start(10).unwrap(), Gradient2::new().start(10).unwrap()] {
        let mut now = Duration::ZERO;
        run(&mut *limit, &mut now, MS * 50, 120);
        assert!(limit.limit() > 80, "{limit:?}");
        for _ in 0..20_000 {
            now += MS * 10;
            let sample = Sample { latency: MS * 50, in_flight: 5, outcome: Success };
            limit.sample(now, sample);
        }
        assert!(limit.limit() <= 21, "{limit:?}");
    }
}

/// Netflix concurrency-limits #84: after a limit has fallen far, the baseline is not looked at as late as it
/// would have been before.
#[test]
fn the_baseline_is_looked_at_soon_after_the_limit_has_fallen() {
    let mut limit = Vegas::new().probe_every(Duration::from_secs(3600)).start(100).unwrap();
    let mut now = Duration::ZERO;
    run(&mut *limit, &mut now, MS * 50, 10);
    // From now on the service itself takes that long, however few are in flight.
    run(&mut *limit, &mut now, MS * 500, 60);
    let after = limit.limit();
    run(&mut *limit, &mut now, MS * 500, 60);
    assert!(limit.limit() > after && now < Duration::from_secs(120), "{limit:?}");
}

/// Netflix concurrency-limits #125: calls that are much faster than the others, and alone for a while.
#[test]
fn health_checks_do_not_poison_the_baseline_for_long() {
    for mut limit in all() {
        let mut now = Duration::ZERO;
        run(&mut *limit, &mut now, MS * 50, 20);
        for _ in 0..1000 {
            now += MS * 100;
            limit.sample(now, Sample { latency: MS, in_flight: 1, outcome: Success });
        }
        run(&mut *limit, &mut now, MS * 50, 100);
        assert!(limit.limit() >= 35, "{limit:?}");
    }
}

#[test]
fn a_window_with_a_failure_does_not_raise_it() {
    for limit in [Vegas::new().start(20), Gradient2::new().start(20)] {
        let (mut limit, mut now) = (limit.unwrap(), Duration::ZERO);
        for n in 0..10_000 {
            let in_flight = limit.limit();
            now += MS * 50 / in_flight;
            let outcome = if n % 15 == 0 { Outcome::Failure } else { Success };
            limit.sample(now, Sample { latency: MS * 50, in_flight, outcome });
        }
        assert_eq!(limit.limit(), 20, "{limit:?}");
    }
}

/// Netflix concurrency-limits #137: where each call times out after the same time, latencies never differ.
#[test]
fn calls_that_all_time_out_lower_it() {
    for outcome in [Outcome::Failure, Outcome::Cancelled, Outcome::Error] {
        for mut limit in all() {
            let mut now = Duration::ZERO;
            run(&mut *limit, &mut now, MS * 50, 2);
            for _ in 0..2000 {
                let in_flight = limit.limit();
                now += MS * 5000 / in_flight;
                limit.sample(now, Sample { latency: MS * 5000, in_flight, outcome });
            }
            assert!(limit.limit() <= 5, "{outcome:?}: {limit:?}");
        }
    }
}

/// What has failed for reasons of its own, whatever share of the calls that is, and whether it comes back at once or
/// takes as long as any call.
#[test]
fn errors_that_come_back_in_time_lower_nothing() {
    for (percent, fastest) in [(10, 1), (50, 1), (90, 1), (100, 1), (30, 50), (90, 50), (100, 50)] {
        for mut limit in all() {
            let (mut now, mut grown, mut least) = (Duration::ZERO, 0, u32::MAX);
            for n in 0..40_000 {
                let in_flight = limit.limit();
                let is_error = n >= 20_000 && n * 37 % 100 < percent;
                // One in ten takes three times as long as most.
                let slow = if n % 10 == 3 { 3 } else { 1 };
                let latency = MS * if is_error { fastest } else { 50 } * slow;
                now += MS * 50 / in_flight;
                let outcome = if is_error { Outcome::Error } else { Success };
                limit.sample(now, Sample { latency, in_flight, outcome });
                // A look at the time of a call is no fall.
                (grown, least) = match n {
                    0..20_000 => (limit.level(), least),
                    _ => (grown, least.min(limit.level())),
                };
            }
            assert!(least >= grown * 3 / 4, "{percent} % of {fastest} ms: {least}, {limit:?}");
        }
    }
}
