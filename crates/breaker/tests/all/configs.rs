//! What cannot be built: an error, and no panic (tower-resilience#422, #434).

use crate::{SECOND, fail, manual};
use std::time::Duration;
use tidegate_breaker::{
    Breaker, BreakerBuilder, ConfigError, HalfOpen, State, Trip, Window,
    state::{MAX_COUNT, MAX_PROBES, MAX_SLICES},
};
use tidegate_core::Backoff;

fn builder() -> BreakerBuilder {
    Breaker::builder("db")
}

#[test]
fn tower_resilience_422_no_setter_panics_and_build_says_what_is_wrong() {
    let rates = [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY];
    let bad = |part: f64| {
        [
            builder().trip(Trip::failure_rate(part)),
            builder().trip(Trip::slow_rate(part, SECOND)),
            builder().half_open(HalfOpen::probes(1).close_if_rate_below(part)),
        ]
        .map(|builder| builder.build().unwrap_err())
    };
    for part in rates {
        assert_eq!(bad(part), [ConfigError::Rate; 3], "{part}");
        let good = Trip::failure_rate(0.5);
        for trip in [Trip::failure_rate(part).or(good), good.or(Trip::failure_rate(part))] {
            let error = builder().trip(trip).build().unwrap_err();
            assert_eq!(error, ConfigError::Rate, "{part}, hidden behind a good one");
        }
    }
    let nanos = Duration::from_nanos;
    for (builder, error) in [
        (builder().window(Window::count(0)), ConfigError::EmptyWindow),
        (builder().window(Window::count(MAX_COUNT + 1)), ConfigError::WindowTooLarge),
        (builder().window(Window::time(Duration::ZERO, 1)), ConfigError::EmptyWindow),
        (builder().window(Window::time(SECOND, 0)), ConfigError::EmptyWindow),
        (builder().window(Window::time(nanos(9), 10)), ConfigError::EmptyWindow),
        (builder().window(Window::time(SECOND, 1)), ConfigError::OneSlice),
        (builder().window(Window::time(SECOND, MAX_SLICES + 1)), ConfigError::WindowTooLarge),
        (builder().trip(Trip::consecutive_failures(0)), ConfigError::ZeroFailures),
        (builder().trip(Trip::slow_rate(0.5, Duration::ZERO)), ConfigError::ZeroSlow),
        (builder().window(Window::count(9)).min_calls(10), ConfigError::MinCallsBeyondWindow),
        (builder().half_open(HalfOpen::probes(0)), ConfigError::Probes),
        (builder().half_open(HalfOpen::probes(MAX_PROBES + 1)), ConfigError::Probes),
        (builder().half_open(HalfOpen::probes(1).lease(Duration::ZERO)), ConfigError::ZeroLease),
        (
            builder().half_open(HalfOpen::probes(1).lease(2 * SECOND).at_most(SECOND)),
            ConfigError::ShortHalfOpen,
        ),
        (builder().open_wait(Backoff::constant(SECOND).limit(0)), ConfigError::NoWait),
    ] {
        assert_eq!(builder.build().unwrap_err(), error);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn tower_resilience_434_the_extremes_work() {
    for window in [
        Window::count(1),
        Window::count(MAX_COUNT),
        Window::time(Duration::MAX, 2),
        Window::time(Duration::MAX, MAX_SLICES),
        Window::time(Duration::from_nanos(2), 2),
    ] {
        let (builder, clock) = manual();
        let half_open = HalfOpen::probes(MAX_PROBES).close_if_rate_below(1.0).lease(Duration::MAX);
        let builder = builder.window(window).min_calls(1).half_open(half_open);
        let breaker = builder.open_wait(Backoff::constant(Duration::MAX)).build().unwrap();
        clock.set(Duration::MAX);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), State::Open, "{window:?}");
    }
}

/// Of two rules of a kind the stricter one counts, and two that mean different things by slow are an error.
#[test]
fn rules_are_put_together() {
    let (half, third) = (Trip::failure_rate(0.5), Trip::failure_rate(0.3));
    assert_eq!(half.or(third), third.or(half));
    assert_eq!(half.or(third), third);
    let (three, five) = (Trip::consecutive_failures(3), Trip::consecutive_failures(5));
    assert_eq!(three.or(five), three);
    let slow = Trip::slow_rate(0.5, SECOND).or(Trip::slow_rate(0.2, SECOND));
    assert_eq!(slow, Trip::slow_rate(0.2, SECOND));
    let disagree = Trip::slow_rate(0.5, SECOND).or(half).or(Trip::slow_rate(0.5, 2 * SECOND));
    let error = builder().trip(disagree).build().unwrap_err();
    assert_eq!(error, ConfigError::TwoKindsOfSlow);
}

/// A window that holds fewer calls than are needed by default needs as many as it holds.
#[test]
fn a_small_window_needs_no_more_calls_than_it_holds() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(5)).build().unwrap();
    fail(&breaker, 4);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

/// A part is what its fraction says: two of three are two thirds, and not one more.
#[test]
fn a_rate_is_reached_by_the_fraction_that_it_is() {
    for all in 1..=64_u32 {
        for some in 1..=all {
            let part = f64::from(some) / f64::from(all);
            let (builder, clock) = manual();
            let builder = builder.window(Window::count(all)).min_calls(all);
            let half_open = HalfOpen::probes(all).close_if_rate_below(part);
            let breaker =
                builder.trip(Trip::failure_rate(part)).half_open(half_open).build().unwrap();
            let (good, bad) = ((all - some) as usize, some as usize);
            crate::succeed(&breaker, good);
            fail(&breaker, bad - 1);
            assert_eq!(breaker.state(), State::Closed, "{some} of {all}");
            fail(&breaker, 1);
            assert_eq!(breaker.state(), State::Open, "{some} of {all}");
            clock.advance(10 * SECOND);
            fail(&breaker, bad - 1);
            let state = breaker.state();
            assert!(bad == 1 || state == State::HalfOpen, "{some} of {all}: {state}");
            fail(&breaker, 1);
            assert_eq!(breaker.state(), State::Open, "{some} of {all}");
        }
    }
}

/// What is within the length less a slice is always in the window, wherever its slices begin.
#[test]
fn a_window_of_two_slices_slides() {
    for offset in 0..20 {
        let (builder, clock) = manual();
        let window = Window::time(10 * SECOND, 2);
        let breaker = builder.window(window).min_calls(4).build().unwrap();
        clock.advance(offset * SECOND);
        fail(&breaker, 2);
        clock.advance(5 * SECOND);
        fail(&breaker, 2);
        assert_eq!(breaker.state(), State::Open, "{offset}");
    }
}
