//! What users of other breakers complain about: one test for each, named by project and number.

use crate::{SECOND, fail, manual, patient, poll, succeed};
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_breaker::{
    Breaker, BreakerError, Cause, Event, HalfOpen, ManualClock, Recorded, State, Trip, Verdict,
    Window,
};
use tidegate_core::{Backoff, Jitter};

/// Its wait is over, and nobody has called.
fn probing(probes: u32) -> (Breaker<ManualClock>, ManualClock) {
    let (builder, clock) = manual();
    let half_open = HalfOpen::probes(probes).lease(5 * SECOND);
    let builder = builder.trip(Trip::consecutive_failures(1)).half_open(half_open);
    let breaker = builder.build().unwrap();
    fail(&breaker, 1);
    clock.advance(10 * SECOND);
    (breaker, clock)
}

/// An ignored error keeps no place: resilience4j#544, #903, #1389.
#[test]
fn resilience4j_544_an_ignored_result_gives_its_place_back() {
    let (breaker, _clock) = probing(2);
    for _ in 0..100 {
        assert_eq!(breaker.try_enter().unwrap().ignore(), Recorded::Neutral);
        let ignore = |_: &Result<(), ()>| Verdict::Ignore;
        let call = pin!(breaker.call_with(std::future::ready(Err(())), ignore));
        assert!(poll(call).is_ready());
    }
    assert_eq!((breaker.state(), breaker.stats().probes_in_flight), (State::HalfOpen, 0));
    succeed(&breaker, 2);
    assert_eq!(breaker.state(), State::Closed);
}

/// A caller that is gone without a word does not keep it half-open: resilience4j#935, #1568, #994.
#[test]
fn resilience4j_935_a_caller_that_never_reports_loses_its_place() {
    let (breaker, clock) = probing(2);
    let (first, second) = (breaker.try_enter().unwrap(), breaker.try_enter().unwrap());
    let open = breaker.try_enter().unwrap_err();
    assert_eq!((open.state, open.retry_after()), (State::HalfOpen, Some(5 * SECOND)));
    clock.advance(5 * SECOND);
    let third = breaker.try_enter().unwrap();
    assert_eq!(first.failure(), Recorded::Stale, "its lease has ended, and another has its place");
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(second.success(), Recorded::Counted, "nobody needed its place");
    assert_eq!(third.success(), Recorded::Counted);
    assert_eq!(breaker.state(), State::Closed);
}

/// Probes that hang, or that their callers give up, do not keep it half-open while it is called: resilience4j has
/// `maxWaitDurationInHalfOpenState` for that.
#[test]
fn resilience4j_935_probes_that_never_answer_open_it_again() {
    for hang in [true, false] {
        let (breaker, clock) = probing(2);
        let mut held = Vec::new();
        for _ in 0..15 {
            match breaker.try_enter() {
                Ok(probe) if hang => held.push(probe),
                entered => drop(entered),
            }
            assert_eq!(breaker.state(), State::HalfOpen);
            clock.advance(SECOND);
        }
        let open = breaker.try_enter().unwrap_err();
        assert_eq!((open.state, open.retry_after()), (State::Open, Some(20 * SECOND)), "{hang}");
        assert!(held.into_iter().all(|probe| probe.success() == Recorded::Stale));
        clock.advance(20 * SECOND);
        succeed(&breaker, 2);
        assert_eq!(breaker.state(), State::Closed);
    }
}

/// It is silence that opens it again: not that calls are rare, and not that some hang while others answer.
#[test]
fn resilience4j_935_rare_probes_that_answer_close_it() {
    let (breaker, clock) = probing(3);
    succeed(&breaker, 1);
    clock.advance(1000 * SECOND);
    let hangs = breaker.try_enter().unwrap();
    clock.advance(14 * SECOND);
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), State::Closed, "two of three");
    drop(hangs);
}

/// A callee that is well, but slower than a lease, is found out to be well where nobody else wants the places.
#[test]
fn a_probe_that_is_slower_than_its_lease_can_close_it() {
    let (breaker, clock) = probing(1);
    let probe = breaker.try_enter().unwrap();
    clock.advance(8 * SECOND);
    assert_eq!(probe.success(), Recorded::Counted);
    assert_eq!(breaker.state(), State::Closed);
}

/// The last moment of a lease is not within it.
#[test]
fn resilience4j_935_a_lease_is_good_until_it_ends() {
    let (breaker, clock) = probing(1);
    let probe = breaker.try_enter().unwrap();
    clock.advance(Duration::from_nanos(4_999_999_999));
    assert!(breaker.try_enter().is_err());
    assert_eq!(probe.success(), Recorded::Counted);
    assert_eq!(breaker.state(), State::Closed);
}

/// As it becomes half-open, and at any other time, no more run or have answered than there are probes.
#[test]
fn resilience4j_1432_no_more_probes_than_asked_for() {
    let (breaker, _clock) = probing(3);
    let entered: Vec<_> = (0..100).filter_map(|_| breaker.try_enter().ok()).collect();
    assert_eq!(entered.len(), 3);
    let mut entered = entered.into_iter();
    assert_eq!(entered.next().unwrap().failure(), Recorded::Counted);
    assert!(breaker.try_enter().is_err(), "it has answered, and its place is no other's");
    drop(entered.next());
    assert!(breaker.try_enter().is_ok(), "this one has not");
}

/// Whoever waits for it to close does not come at once, and those from before do not decide.
#[test]
fn polly_223_neither_a_stampede_nor_overhanging_results() {
    let (builder, clock) = manual();
    let half_open = HalfOpen::probes(2).lease(99 * SECOND);
    let breaker = builder.trip(Trip::consecutive_failures(1)).half_open(half_open).build().unwrap();
    let overhanging: Vec<_> = (0..10).map(|_| breaker.try_enter().unwrap()).collect();
    fail(&breaker, 1);
    clock.advance(10 * SECOND);
    let probes: Vec<_> = (0..50).filter_map(|_| breaker.try_enter().ok()).collect();
    assert_eq!(probes.len(), 2);
    for late in overhanging {
        assert_eq!(late.success(), Recorded::Stale);
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    // One of two is half of them, and that is too many: the other one comes too late.
    let recorded: Vec<_> = probes.into_iter().map(tidegate_breaker::Ticket::failure).collect();
    assert_eq!(recorded, [Recorded::Counted, Recorded::Stale]);
    assert_eq!(breaker.state(), State::Open);
}

/// Polly#239, #2381: probes are judged by rate, together.
#[test]
fn polly_239_probes_are_judged_by_rate() {
    let half_open = HalfOpen::probes(5).close_if_rate_below(0.5);
    for (answers, then) in [
        ("+-+-+", State::Closed),
        ("-+-+-", State::Open),
        ("--+++", State::Closed),
        ("---", State::Open),
        ("+++", State::Closed),
        ("++--", State::HalfOpen),
    ] {
        let (builder, clock) = manual();
        let builder = builder.trip(Trip::consecutive_failures(1)).half_open(half_open);
        let breaker = builder.build().unwrap();
        fail(&breaker, 1);
        clock.advance(10 * SECOND);
        for answer in answers.chars() {
            let ticket = breaker.try_enter().unwrap();
            let recorded = if answer == '+' { ticket.success() } else { ticket.failure() };
            assert_eq!(recorded, Recorded::Counted, "{answers}");
        }
        assert_eq!(breaker.state(), then, "{answers}");
    }
}

/// Polly#1895: it waits longer each time, and from the start again once it has closed.
#[test]
fn polly_1895_waits_grow_while_it_opens_again() {
    let (builder, clock) = manual();
    let builder = builder.trip(Trip::consecutive_failures(1)).half_open(HalfOpen::probes(1));
    let breaker = builder.build().unwrap();
    for _ in 0..2 {
        for seconds in [10, 20, 40, 80] {
            fail(&breaker, 1);
            let open = breaker.try_enter().unwrap_err();
            assert_eq!(open.retry_after(), Some(seconds * SECOND));
            clock.advance(seconds * SECOND);
        }
        succeed(&breaker, 1);
        assert_eq!(breaker.state(), State::Closed);
    }
}

/// The last wait is used again when there are no more.
#[test]
fn polly_1895_waits_end_in_the_last_one() {
    let (builder, clock) = manual();
    let wait = Backoff::exponential(SECOND).jitter(Jitter::None).limit(2);
    let builder = builder.trip(Trip::consecutive_failures(1)).half_open(HalfOpen::probes(1));
    let breaker = builder.open_wait(wait).build().unwrap();
    for seconds in [1, 2, 2, 2] {
        fail(&breaker, 1);
        assert_eq!(breaker.try_enter().unwrap_err().retry_after(), Some(seconds * SECOND));
        clock.advance(seconds * SECOND);
    }
}

/// Polly#2529: who is told that it has opened is told why.
#[test]
fn polly_2529_the_event_has_the_failure_rate() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let (builder, _clock) = manual();
    let breaker = builder
        .window(Window::count(10))
        .min_calls(4)
        .observer(move |event| heard.lock().unwrap().push(*event))
        .build()
        .unwrap();
    succeed(&breaker, 2);
    fail(&breaker, 2);
    let events = events.lock().unwrap();
    let [Event::Changed(change)] = events[..] else { panic!("{events:?}") };
    assert_eq!((change.from, change.to), (State::Closed, State::Open));
    assert_eq!(change.cause, Cause::FailureRate);
    assert_eq!((change.tally.calls, change.tally.failures), (4, 2));
    assert_eq!(change.tally.failure_rate(), Some(0.5));
    assert_eq!(change.wait, Some(10 * SECOND));
}

/// Polly#311: an error that nobody handles keeps no place.
#[test]
fn polly_311_no_ending_keeps_a_place() {
    let (breaker, _clock) = probing(1);
    let ending = |n: u32| {
        let ticket = breaker.try_enter().unwrap();
        match n % 2 {
            0 => drop(ticket),
            _ => drop(ticket.ignore()),
        }
    };
    (0..100).for_each(ending);
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), State::Closed);
}

/// gobreaker#107: what is excluded counts neither way.
#[test]
fn gobreaker_107_what_is_ignored_counts_neither_way() {
    let (builder, _clock) = manual();
    let breaker = builder.window(Window::count(4)).min_calls(2).build().unwrap();
    fail(&breaker, 1);
    for _ in 0..100 {
        assert_eq!(breaker.try_enter().unwrap().ignore(), Recorded::Neutral);
    }
    let stats = breaker.stats();
    assert_eq!((stats.tally.calls, stats.tally.failures, stats.ignored), (1, 1, 100));
    assert_eq!(stats.consecutive_failures, 1, "it breaks no series, either");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

/// cerberus#738: clients that go away say nothing about the backend.
#[tidegate_testkit::test]
async fn cerberus_738_clients_that_go_away_do_not_open_it() {
    let breaker = patient().trip(Trip::consecutive_failures(1)).build().unwrap();
    for _ in 0..100 {
        let hangs = breaker.call(std::future::pending::<Result<(), ()>>());
        assert!(tokio::time::timeout(SECOND, hangs).await.is_err());
    }
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.cancelled, stats.failed), (State::Closed, 100, 0));
}

/// gobreaker#122: who reports is told if that was for nothing.
#[test]
fn gobreaker_122_the_caller_learns_that_its_result_was_dropped() {
    let (builder, _clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    let late: Vec<_> = (0..4).map(|_| breaker.try_enter().unwrap()).collect();
    fail(&breaker, 1);
    for (n, ticket) in late.into_iter().enumerate() {
        let recorded = match n {
            0 => ticket.success(),
            1 => ticket.failure(),
            2 => ticket.ignore(),
            _ => {
                drop(ticket);
                Recorded::Stale
            }
        };
        assert_eq!(recorded, Recorded::Stale);
    }
    assert_eq!(breaker.stats().stale, 4);
}

/// gobreaker#21, #95: counts do not start over at the end of an interval.
#[test]
fn gobreaker_21_a_time_window_rolls() {
    let (builder, clock) = manual();
    let breaker = builder.window(Window::time(10 * SECOND, 10)).min_calls(4).build().unwrap();
    // Two failures at the end of one minute and two at the start of the next are four in ten seconds.
    clock.advance(59 * SECOND);
    fail(&breaker, 2);
    clock.advance(2 * SECOND);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

/// `OmniRoute`#13836: half-open for days, since a probe was lost, and a late result took the place of another.
#[test]
fn omniroute_13836_lost_probes_and_late_results_do_not_wedge_it() {
    let (breaker, clock) = probing(1);
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost.push(breaker.try_enter().unwrap());
        assert!(breaker.try_enter().is_err());
        clock.advance(5 * SECOND);
    }
    assert_eq!(breaker.try_enter().unwrap_err().state, State::Open, "nobody has answered");
    clock.advance(20 * SECOND);
    let probe = breaker.try_enter().unwrap();
    for late in lost {
        assert_eq!(late.failure(), Recorded::Stale, "it has another's place no more");
    }
    assert_eq!(breaker.stats().probes_in_flight, 1);
    assert_eq!(probe.success(), Recorded::Counted);
    assert_eq!(breaker.state(), State::Closed);
}

/// tower-resilience#382: however many come at once.
#[test]
fn tower_resilience_382_half_open_admits_no_more_than_it_should() {
    let (breaker, _clock) = probing(2);
    let mut calls: Vec<_> =
        (0..20).map(|_| Box::pin(breaker.call(std::future::pending::<Result<(), ()>>()))).collect();
    let rejected = calls.iter_mut().filter_map(|call| match poll(call.as_mut()) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    });
    let rejected: Vec<_> = rejected.collect();
    assert_eq!(rejected.len(), 18);
    assert!(rejected.iter().all(|result| matches!(result, Err(BreakerError::Open(_)))));
}
