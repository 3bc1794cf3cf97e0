//! What a peer gets wrong: one test for each, named by its letter.

use crate::{SECOND, fail, manual, patient, poll, succeed};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_breaker::{
    Event, HalfOpen, Recorded, State, Trip, Window,
    state::{Machine, Sample, Settings},
};
use tidegate_testkit::advance;

/// A window of ten holds ten, however many calls there were before.
#[test]
fn defect_a_the_count_window_slides() {
    for healthy in [100, 1_000, 10_000] {
        let (builder, _clock) = manual();
        let breaker = builder.window(Window::count(10)).min_calls(10).build().unwrap();
        succeed(&breaker, healthy);
        fail(&breaker, 4);
        assert_eq!(breaker.state(), State::Closed, "{healthy}");
        fail(&breaker, 1);
        assert_eq!(breaker.state(), State::Open, "five of the last ten, after {healthy}");
    }
}

/// What was let pass before it opened neither closes nor opens it while its probes run.
#[test]
fn defect_b_a_stale_result_counts_for_nothing() {
    for late_is_good in [true, false] {
        let (builder, clock) = manual();
        let trip = Trip::consecutive_failures(2);
        let half_open = HalfOpen::probes(1).lease(60 * SECOND);
        let breaker = builder.trip(trip).half_open(half_open).build().unwrap();
        let late = breaker.try_enter().unwrap();
        fail(&breaker, 2);
        clock.advance(10 * SECOND);
        let probe = breaker.try_enter().unwrap();
        assert!(probe.is_probe());
        let recorded = if late_is_good { late.success() } else { late.failure() };
        assert_eq!(recorded, Recorded::Stale);
        assert_eq!(breaker.state(), State::HalfOpen, "the probe has not answered");
        assert_eq!(probe.success(), Recorded::Counted);
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.stats().stale, 1);
    }
}

/// The time that the window covers is nothing to the probes.
#[test]
fn defect_c_probes_do_not_leave_with_the_time_window() {
    let (builder, clock) = manual();
    let breaker = builder
        .window(Window::time(Duration::from_millis(200), 10))
        .min_calls(1)
        .half_open(HalfOpen::probes(3).lease(SECOND))
        .build()
        .unwrap();
    fail(&breaker, 1);
    clock.advance(10 * SECOND);
    for _ in 0..3 {
        succeed(&breaker, 1);
        clock.advance(Duration::from_millis(150));
    }
    assert_eq!(breaker.state(), State::Closed);
    succeed(&breaker, 100);
}

/// The same if no probe ever answers: each lease ends.
#[test]
fn defect_c_it_does_not_stay_half_open() {
    let (builder, clock) = manual();
    let breaker = builder.window(Window::time(SECOND, 10)).min_calls(1).build().unwrap();
    fail(&breaker, 1);
    clock.advance(10 * SECOND);
    for _ in 0..3 {
        std::mem::forget(breaker.try_enter().unwrap());
    }
    let open = breaker.try_enter().unwrap_err();
    assert_eq!((open.state, open.retry_after), (State::HalfOpen, Some(5 * SECOND)));
    clock.advance(5 * SECOND);
    succeed(&breaker, 2);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn defect_d_a_panic_is_a_failure() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(2)).build().unwrap();
    for _ in 0..2 {
        let call = async { if true { panic!("of the callee") } else { Ok::<(), ()>(()) } };
        let polled = catch_unwind(AssertUnwindSafe(|| poll(pin!(breaker.call(call)))));
        assert!(polled.is_err());
    }
    assert_eq!(breaker.state(), State::Open);
    let stats = breaker.stats();
    assert_eq!((stats.failed, stats.panicked, stats.cancelled), (2, 2, 0));
}

/// A call that waits is given up by a panic of whoever holds it: the callee has nothing to do with that.
#[test]
fn defect_d_a_panic_of_something_else_is_none_of_the_call() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(1)).build().unwrap();
    let elsewhere = || {
        let mut call = pin!(breaker.call(std::future::pending::<Result<(), ()>>()));
        assert!(poll(call.as_mut()).is_pending());
        panic!("of something else");
    };
    assert!(catch_unwind(AssertUnwindSafe(elsewhere)).is_err());
    let stats = breaker.stats();
    assert_eq!((stats.failed, stats.panicked, stats.cancelled), (0, 0, 1));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn defect_d_a_ticket_that_a_panic_drops_has_failed() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(10)).min_calls(10).build().unwrap();
    for _ in 0..10 {
        let call = || {
            let _ticket = breaker.try_enter().unwrap();
            panic!("of the call");
        };
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    }
    assert_eq!((breaker.state(), breaker.stats().panicked), (State::Open, 10));
}

/// All time is that of tokio, which may be paused.
#[tidegate_testkit::test]
async fn defect_e_a_paused_clock_is_the_clock() {
    let breaker = patient().trip(Trip::consecutive_failures(1)).build().unwrap();
    fail(&breaker, 1);
    advance(9 * SECOND).await;
    assert_eq!(breaker.try_enter().unwrap_err().retry_after(), Some(SECOND));
    advance(SECOND).await;
    assert!(breaker.try_enter().unwrap().is_probe());
}

/// Slow calls and windows of time go by it, too.
#[tidegate_testkit::test]
async fn defect_e_latency_and_windows_go_by_a_paused_clock() {
    let trip = Trip::slow_rate(1.0, SECOND);
    let window = Window::time(10 * SECOND, 10);
    let breaker = patient().trip(trip).window(window).min_calls(2).build().unwrap();
    let slow = async || {
        let call = async {
            tokio::time::sleep(2 * SECOND).await;
            Ok::<_, ()>(())
        };
        breaker.call(call).await.unwrap();
    };
    slow().await;
    advance(20 * SECOND).await;
    assert_eq!(breaker.stats().tally.calls, 0, "it is too old");
    slow().await;
    assert_eq!(breaker.state(), State::Closed, "one alone");
    slow().await;
    assert_eq!(breaker.state(), State::Open);
}

/// A call costs the same with fifty thousand in the window, and so does the memory: counted, not timed.
#[test]
fn defect_f_a_time_window_does_not_look_at_each_call() {
    let settings = Settings::new().window(Window::time(60 * SECOND, 60));
    let mut machine = Machine::new(&settings).unwrap();
    let size = |machine: &Machine| format!("{machine:?}").len();
    let mut sizes = Vec::new();
    for n in 0..50_000 {
        let (call, _) = machine.enter(n);
        machine.record(n, call.unwrap(), Some(Sample::default()));
        if n == 100 || n == 49_999 {
            sizes.push(size(&machine));
        }
    }
    assert_eq!(machine.tally(50_000).calls, 50_000);
    // The same slices, with longer numbers in three places.
    assert!(sizes[1] - sizes[0] < 30, "{sizes:?}");
}

/// Whoever keeps a gauge for each state sees exactly one of them set, at all times.
#[test]
fn defect_g_one_state_at_a_time() {
    let gauges = Arc::new(Mutex::new(vec![(State::Closed, 1)]));
    let set = Arc::clone(&gauges);
    let (builder, clock) = manual();
    let breaker = builder
        .trip(Trip::consecutive_failures(1))
        .observer(move |event| {
            let Event::Changed(change) = event else { return };
            let mut gauges = set.lock().unwrap();
            for (state, value) in [(change.from, 0), (change.to, 1)] {
                match gauges.iter_mut().find(|gauge| gauge.0 == state) {
                    Some(gauge) => gauge.1 = value,
                    None => gauges.push((state, value)),
                }
            }
        })
        .build()
        .unwrap();
    let check = |state| {
        let gauges = gauges.lock().unwrap();
        let set: Vec<_> = gauges.iter().filter(|gauge| gauge.1 == 1).map(|gauge| gauge.0).collect();
        assert_eq!(set, [state]);
        assert_eq!(breaker.state(), state);
    };
    check(State::Closed);
    fail(&breaker, 1);
    check(State::Open);
    clock.advance(10 * SECOND);
    fail(&breaker, 1);
    check(State::HalfOpen);
    fail(&breaker, 1);
    check(State::Open);
    clock.advance(20 * SECOND);
    succeed(&breaker, 2);
    check(State::Closed);
    let handle = breaker.handle();
    handle.force_open();
    check(State::ForcedOpen);
    handle.disable();
    check(State::Disabled);
    handle.reset();
    check(State::Closed);
}
