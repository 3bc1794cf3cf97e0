//! What a breaker says of itself, and what it is told.

use crate::{SECOND, fail, manual, poll, succeed};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};
use tidegate_breaker::{Breaker, Cause, Event, ManualClock, Recorded, State, Trip, Window};
use tidegate_core::inspect::Snapshot;

#[test]
fn forced_open_lets_nothing_pass_and_knows_no_end() {
    let (builder, clock) = manual();
    let breaker = builder.build().unwrap();
    let before = breaker.try_enter().unwrap();
    breaker.handle().force_open();
    clock.advance(1000 * SECOND);
    let open = breaker.try_enter().unwrap_err();
    assert_eq!((open.state, open.retry_after()), (State::ForcedOpen, None));
    assert_eq!(open.to_string(), "the breaker is forced open");
    assert_eq!(before.success(), Recorded::Stale);
}

struct Fails;

impl Wake for Fails {
    fn wake(self: Arc<Self>) {
        panic!("of a waker");
    }
}

/// Who hears of a change is nothing to whose call it was.
#[test]
fn a_waker_that_panics_keeps_nothing_from_being_counted_and_told() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let (builder, _clock) = manual();
    let builder = builder.observer(move |event| heard.lock().unwrap().push(*event));
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    let mut states = breaker.handle().subscribe();
    let mut changed = pin!(states.changed());
    let waker = Waker::from(Arc::new(Fails));
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Counted);
    assert_eq!((breaker.state(), breaker.stats().failed), (State::Open, 1));
    assert!(matches!(events.lock().unwrap()[..], [Event::Changed(_)]));
    assert!(poll(changed).is_ready());
}

#[test]
fn forced_closed_sums_up_and_disabled_does_not() {
    let (builder, _clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    breaker.handle().force_closed();
    fail(&breaker, 50);
    succeed(&breaker, 20);
    let stats = breaker.stats();
    assert_eq!((stats.failed, stats.succeeded, stats.tally.calls), (50, 20, 0));
    breaker.handle().disable();
    for _ in 0..10 {
        assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Neutral);
        assert_eq!(breaker.try_enter().unwrap().ignore(), Recorded::Neutral);
        drop(breaker.try_enter().unwrap());
    }
    let after = breaker.stats();
    assert_eq!((after.failed, after.ignored, after.cancelled), (50, 0, 0));
    breaker.handle().reset();
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn metrics_only_says_when_it_would_have_opened() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let (builder, _clock) = manual();
    let breaker = builder
        .window(Window::count(4))
        .observer(move |event| heard.lock().unwrap().push(*event))
        .build()
        .unwrap();
    breaker.handle().metrics_only();
    breaker.handle().metrics_only();
    succeed(&breaker, 10);
    fail(&breaker, 2);
    assert_eq!(breaker.state(), State::MetricsOnly);
    let mut events = events.lock().unwrap().clone().into_iter();
    let Some(Event::Changed(change)) = events.next() else { panic!() };
    assert_eq!(change.cause, Cause::MetricsOnly);
    let Some(Event::WouldOpen { cause, tally, .. }) = events.next() else { panic!() };
    assert_eq!((cause, tally.calls, tally.failures), (Cause::FailureRate, 4, 2));
    assert_eq!(events.next(), None, "once, and to say it again changes nothing");
    assert_eq!(breaker.stats().tally.calls, 0, "it counts anew, as if it had opened");
}

#[test]
fn a_reset_forgets_everything() {
    let (builder, clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(2)).build().unwrap();
    for _ in 0..3 {
        fail(&breaker, 2);
        clock.advance(1000 * SECOND);
        fail(&breaker, 2);
        assert_eq!(breaker.try_enter().unwrap_err().retry_after(), Some(20 * SECOND));
        breaker.handle().reset();
        fail(&breaker, 1);
        breaker.handle().reset();
        fail(&breaker, 1);
        assert_eq!(breaker.state(), State::Closed);
        succeed(&breaker, 1);
    }
}

#[tidegate_testkit::test]
async fn subscribers_see_the_state() {
    let (builder, clock) = manual();
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    let handle = breaker.handle();
    let mut states = handle.subscribe();
    assert_eq!(states.get(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(states.changed().await, Some(State::Open));
    clock.advance(10 * SECOND);
    let probe = breaker.try_enter().unwrap();
    let half_open = states.wait_for(|state| state == State::HalfOpen).await;
    assert_eq!(half_open, Some(State::HalfOpen));
    drop(probe);
    handle.force_closed();
    assert_eq!(handle.subscribe().get(), State::ForcedClosed, "whoever comes later, too");
    assert!(format!("{states:?}").contains("ForcedClosed"));
    drop((breaker, handle));
    assert_eq!(states.changed().await, Some(State::ForcedClosed), "it was not seen before");
    assert_eq!(states.changed().await, None, "there will be no more");
    assert_eq!(states.wait_for(|state| state == State::Open).await, None);
    assert_eq!(states.get(), State::ForcedClosed);
}

/// Who looks at a state holds nothing up: it can tell the breaker what to do about it.
#[tidegate_testkit::test]
async fn who_sees_a_state_may_change_it() {
    let (builder, _clock) = manual();
    let breaker = builder.build().unwrap();
    let (handle, mut states) = (breaker.handle(), breaker.handle().subscribe());
    match states.get() {
        State::Closed => handle.force_open(),
        state => panic!("{state}"),
    }
    let seen = states.wait_for(|state| {
        handle.reset();
        state == State::Closed
    });
    assert_eq!(seen.await, Some(State::Closed));
}

#[tidegate_testkit::test]
async fn who_gives_up_waiting_for_a_state_misses_none() {
    let (builder, _clock) = manual();
    let breaker = builder.build().unwrap();
    let (handle, mut states) = (breaker.handle(), breaker.handle().subscribe());
    for state in [State::ForcedOpen, State::ForcedClosed] {
        {
            let waits = std::pin::pin!(states.changed());
            assert!(poll(waits).is_pending());
        }
        {
            let waits = std::pin::pin!(states.wait_for(|is| is == state));
            assert!(poll(waits).is_pending());
        }
        match state {
            State::ForcedOpen => handle.force_open(),
            _ => handle.force_closed(),
        }
        assert_eq!(states.changed().await, Some(state));
    }
}

#[test]
fn an_observer_may_panic_and_ask() {
    let (builder, _clock) = manual();
    let asked = Arc::new(Mutex::new(None::<Breaker<_>>));
    let ask = Arc::clone(&asked);
    let breaker = builder
        .trip(Trip::consecutive_failures(1))
        .observer(move |_| {
            let stats = ask.lock().unwrap().as_ref().unwrap().stats();
            panic!("{stats:?}");
        })
        .build()
        .unwrap();
    *asked.lock().unwrap() = Some(breaker.clone());
    fail(&breaker, 1);
    assert_eq!(breaker.try_enter().unwrap_err().state, State::Open);
    *asked.lock().unwrap() = None;
}

#[test]
fn a_snapshot_names_the_breaker_and_its_state() {
    // A name that no other breaker of this program has, as tests may run beside it.
    let builder = Breaker::builder("of the snapshot").clock(ManualClock::new());
    let breaker = builder.trip(Trip::consecutive_failures(1)).build().unwrap();
    fail(&breaker, 1);
    assert!(breaker.try_enter().is_err());
    let all = Snapshot::take();
    let named =
        |name: &str| all.resources().iter().find(|one| one.name().as_str() == name).cloned();
    let resource = named("of the snapshot").unwrap();
    assert!(resource.location().file().ends_with("told.rs"), "where it was built: {resource:?}");
    let text = all.to_string();
    assert!(text.contains("state") && text.contains("open") && text.contains("rejected"), "{text}");
}

#[test]
fn its_debug_says_what_it_is() {
    let (builder, _clock) = manual();
    let breaker = builder.build().unwrap();
    let ticket = breaker.try_enter().unwrap();
    let call = breaker.call(std::future::ready(Ok::<_, ()>(())));
    let text = format!("{breaker:?} {:?} {ticket:?} {call:?}", breaker.handle());
    assert!(text.contains("db") && text.contains("Closed") && text.contains("is_probe"), "{text}");
    drop(call);
    drop(ticket);
}

/// A ticket that a destructor takes while its thread panics already knows that the panic is not its own.
#[test]
fn a_ticket_of_a_destructor_does_not_fail_by_the_panic_around_it() {
    struct Cleans<'a>(&'a Breaker<ManualClock>);
    impl Drop for Cleans<'_> {
        fn drop(&mut self) {
            drop(self.0.try_enter().unwrap());
        }
    }
    let (builder, _clock) = manual();
    let breaker = builder.build().unwrap();
    let cleans = || {
        let _cleans = Cleans(&breaker);
        panic!("of something else");
    };
    assert!(catch_unwind(AssertUnwindSafe(cleans)).is_err());
    let stats = breaker.stats();
    assert_eq!((stats.cancelled, stats.failed), (1, 0));
}
