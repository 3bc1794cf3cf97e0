//! The rules, one at a time.

use crate::{SECOND, fail, manual, succeed};
use std::time::Duration;
use tidegate_breaker::{Breaker, Clock, ManualClock, State, TokioClock, Trip, Window};

/// A breaker that holds no runtime and no `'static` borrow back from where it goes.
#[test]
fn it_goes_everywhere() {
    fn everywhere<T: Send + Sync + Clone + 'static>() {}
    fn tickets<T: Send + Sync>() {}
    everywhere::<Breaker>();
    everywhere::<Breaker<ManualClock>>();
    everywhere::<tidegate_breaker::Handle>();
    tickets::<tidegate_breaker::Ticket<&Breaker>>();
    tickets::<tidegate_breaker::Ticket<Breaker>>();
}

/// Too few calls decide nothing, and a good one never opens it.
#[test]
fn rates_count_from_min_calls_on_and_a_good_call_opens_nothing() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(10)).min_calls(5).build().unwrap();
    fail(&breaker, 4);
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), State::Closed, "four of five, and the last was good");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_success_ends_a_series() {
    let (builder, _clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(3)).build().unwrap();
    for _ in 0..10 {
        fail(&breaker, 2);
        succeed(&breaker, 1);
    }
    fail(&breaker, 3);
    assert_eq!(breaker.state(), State::Open);
}

/// Slow calls count whether or not they have failed, and time that is only just within is not slow.
#[test]
fn slow_calls_open_it() {
    let (builder, clock) = manual();
    let trip = Trip::slow_rate(0.5, SECOND);
    let breaker = builder.trip(trip).window(Window::count(4)).min_calls(4).build().unwrap();
    let call = |time: Duration, fails: bool| {
        let ticket = breaker.try_enter().unwrap();
        clock.advance(time);
        if fails { ticket.failure() } else { ticket.success() }
    };
    for _ in 0..10 {
        call(SECOND, true);
    }
    call(SECOND + Duration::from_nanos(1), false);
    assert_eq!((breaker.state(), breaker.stats().tally.slow), (State::Closed, 1));
    call(2 * SECOND, true);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!((breaker.stats().slow, breaker.stats().failed), (2, 11));
}

/// Without a rule that needs the time, nobody asks for it.
#[test]
fn good_calls_are_timed_only_where_that_matters() {
    #[derive(Clone)]
    struct Counting(std::sync::Arc<std::sync::atomic::AtomicU64>);
    impl Clock for Counting {
        fn now(&self) -> u64 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
        }
    }
    let readings = |window: Window, trip: Trip| {
        let reads = Counting(std::sync::Arc::default());
        let breaker = Breaker::builder("db").window(window).trip(trip).clock(reads.clone());
        let breaker = breaker.build().unwrap();
        succeed(&breaker, 10);
        reads.now()
    };
    let (rate, slow) = (Trip::failure_rate(0.5), Trip::slow_rate(0.5, SECOND));
    let time = Window::time(SECOND, 10);
    assert_eq!(readings(Window::count(5), rate), 0);
    assert_eq!(readings(Window::count(5), slow), 20);
    assert_eq!(readings(time, rate), 10);
    assert_eq!(readings(time, slow), 20);
}

/// A clock that goes back neither opens it nor lets anything pass sooner.
#[test]
fn a_clock_that_goes_back_stands_still() {
    let (builder, clock) = manual();
    clock.set(100 * SECOND);
    let window = Window::time(10 * SECOND, 10);
    let breaker = builder.window(window).min_calls(3).build().unwrap();
    fail(&breaker, 2);
    clock.set(SECOND);
    succeed(&breaker, 1);
    assert_eq!(breaker.stats().tally.calls, 3);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.stats().retry_after, Some(109 * SECOND));
    clock.set(109 * SECOND);
    assert!(breaker.try_enter().is_err());
    clock.set(110 * SECOND);
    assert!(breaker.try_enter().is_ok());
}

#[test]
fn the_default_clock_works_without_a_runtime() {
    let breaker = Breaker::builder("db").build().unwrap();
    succeed(&breaker, 3);
    fail(&breaker, 1);
    assert_eq!(breaker.stats().tally.calls, 4);
    let first = TokioClock::default().now();
    assert!(first < 60_000_000_000, "{first}");
    assert_eq!(breaker.name().as_str(), "db");
    assert!(breaker.clock().now() < 60_000_000_000);
}

/// A clock that panics costs the call that asked it, and no other: also where a change of state was about to be.
#[test]
fn a_clock_that_panics_leaves_it_as_it_was() {
    #[derive(Clone)]
    struct Moody(ManualClock, std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Clock for Moody {
        fn now(&self) -> u64 {
            assert!(!self.1.load(std::sync::atomic::Ordering::SeqCst), "of the clock");
            self.0.now()
        }
    }
    let clock = Moody(ManualClock::new(), std::sync::Arc::default());
    let set = |panics| clock.1.store(panics, std::sync::atomic::Ordering::SeqCst);
    let builder = Breaker::builder("db").trip(Trip::consecutive_failures(2)).clock(clock.clone());
    let breaker = builder.build().unwrap();
    fail(&breaker, 1);
    let ticket = breaker.try_enter().unwrap();
    set(true);
    let failing = std::panic::AssertUnwindSafe(|| ticket.failure());
    assert!(std::panic::catch_unwind(failing).is_err());
    set(false);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!((breaker.stats().tally.calls, breaker.stats().consecutive_failures), (1, 1));
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

/// Breakers of one builder do not wait equally long; the first goes by the seed as it is.
#[test]
fn clones_of_a_builder_have_jitter_of_their_own() {
    let wait = || tidegate_core::Backoff::constant(100 * SECOND).seed(7);
    let trip = Trip::consecutive_failures(1);
    let (builder, _clock) = manual();
    let builder = builder.trip(trip).open_wait(wait());
    let waits = [builder.clone(), builder.clone(), builder].map(|builder| {
        let breaker = builder.build().unwrap();
        fail(&breaker, 1);
        breaker.stats().retry_after.unwrap()
    });
    assert_eq!(Some(waits[0]), wait().next());
    assert!(waits[0] != waits[1] && waits[1] != waits[2] && waits[0] != waits[2], "{waits:?}");
}

/// Its end is not its origin.
#[test]
fn a_clock_that_is_moved_beyond_its_end_stays_there() {
    let (builder, clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    fail(&breaker, 1);
    clock.advance(SECOND);
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), u64::MAX);
    assert!(breaker.try_enter().is_ok());
}
