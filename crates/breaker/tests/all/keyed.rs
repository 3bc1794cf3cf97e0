//! A breaker for each key, within a bound.

use crate::SECOND;
use std::sync::{Arc, Mutex};
use tidegate_breaker::{
    ConfigError, Event, KeyedBreaker, KeyedBreakerBuilder, ManualClock, Settings, State, Trip,
    Window,
};
use tidegate_core::{Backoff, Jitter};

fn builder(most: usize) -> (KeyedBreakerBuilder<u64, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let settings = Settings::new()
        .trip(Trip::consecutive_failures(2))
        .open_wait(Backoff::constant(10 * SECOND).jitter(Jitter::None));
    let builder = KeyedBreaker::builder("backends").settings(settings).max_keys(most);
    (builder.clock(clock.clone()), clock)
}

fn fail(breakers: &KeyedBreaker<u64, ManualClock>, key: u64) {
    breakers.breaker(&key).try_enter().unwrap().failure();
}

#[test]
fn keys_have_nothing_to_do_with_each_other() {
    let (builder, clock) = builder(10);
    let breakers = builder.build().unwrap();
    assert!(breakers.get(&1).is_none(), "to look makes none");
    for _ in 0..2 {
        fail(&breakers, 1);
        breakers.breaker(&2).try_enter().unwrap().success();
    }
    assert_eq!(breakers.breaker(&1).try_enter().unwrap_err().retry_after(), Some(10 * SECOND));
    assert_eq!(breakers.get(&1).unwrap().state(), State::Open);
    assert_eq!(breakers.get(&2).unwrap().stats().succeeded, 2);
    clock.advance(10 * SECOND);
    assert!(breakers.breaker(&1).try_enter().unwrap().is_probe());
    let stats = breakers.stats();
    assert_eq!((stats.keys, stats.max_keys, stats.evicted, stats.overflowed), (2, 10, 0, 0));
}

/// However many keys come, no more than the bound are kept, and none that matters is forgotten.
#[test]
fn a_flood_of_keys_is_bounded_and_forgets_nothing_bad() {
    let (builder, _clock) = builder(100);
    let breakers = builder.build().unwrap();
    for key in 0..10 {
        fail(&breakers, key);
        fail(&breakers, key);
    }
    fail(&breakers, 10);
    breakers.breaker(&11).handle().force_closed();
    let held = breakers.breaker(&12);
    held.try_enter().unwrap().success();
    for key in 1000..101_000 {
        breakers.breaker(&key).try_enter().unwrap().success();
    }
    let stats = breakers.stats();
    assert_eq!((stats.keys, stats.overflowed), (100, 0));
    assert_eq!(stats.evicted, 100_000 + 13 - 100);
    for key in 0..10 {
        assert_eq!(breakers.get(&key).unwrap().state(), State::Open);
    }
    assert_eq!(breakers.get(&10).unwrap().stats().consecutive_failures, 1);
    assert_eq!(breakers.get(&11).unwrap().state(), State::ForcedClosed);
    assert_eq!(breakers.get(&12).unwrap().stats().succeeded, 1, "it was in use");
}

/// Who is asked for between two rounds of the hand stays.
#[test]
fn what_is_asked_for_stays() {
    let (builder, _clock) = builder(10);
    let breakers = builder.build().unwrap();
    for key in 0..1000 {
        breakers.breaker(&77).try_enter().unwrap().success();
        breakers.breaker(&(1000 + key)).try_enter().unwrap().success();
    }
    assert_eq!(breakers.get(&77).unwrap().stats().succeeded, 1000);
}

#[test]
fn where_there_is_no_place_keys_share_the_overflow() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let (builder, clock) = builder(2);
    let builder = builder.observer(move |key, event| {
        if let Event::Changed(change) = event {
            heard.lock().unwrap().push((key.copied(), change.to));
        }
    });
    let breakers = builder.build().unwrap();
    for key in 0..2 {
        fail(&breakers, key);
        fail(&breakers, key);
    }
    fail(&breakers, 5);
    fail(&breakers, 6);
    assert_eq!(breakers.overflow().state(), State::Open, "one failure of each");
    assert!(breakers.breaker(&7).try_enter().is_err());
    assert_eq!((breakers.stats().keys, breakers.stats().overflowed), (2, 3));
    let expected = [Some(0), Some(1), None].map(|key| (key, State::Open));
    assert_eq!(*events.lock().unwrap(), expected);

    // A place that is free is taken by the next one.
    clock.advance(10 * SECOND);
    for _ in 0..2 {
        breakers.breaker(&0).try_enter().unwrap().success();
    }
    breakers.breaker(&7).try_enter().unwrap().success();
    assert!(breakers.get(&7).is_some() && breakers.get(&0).is_none());
}

/// An empty window is as good as none: with time, everything is forgotten, though nobody calls any more.
#[test]
fn a_window_of_time_that_has_passed_is_nothing() {
    let clock = ManualClock::new();
    let settings = Settings::new().window(Window::time(10 * SECOND, 10));
    let builder = KeyedBreaker::builder("backends").settings(settings).max_keys(1);
    let breakers = builder.clock(clock.clone()).build().unwrap();
    fail(&breakers, 1);
    assert!(breakers.breaker(&2).name() == breakers.name() && breakers.get(&2).is_none());
    clock.advance(20 * SECOND);
    breakers.breaker(&2).try_enter().unwrap().success();
    assert!(breakers.get(&2).is_some() && breakers.get(&1).is_none());
}

/// Keys that fail and never come back do not use up the places: not for ever, and not before it is time.
#[test]
fn dead_keys_are_forgotten_after_a_time() {
    let (builder, clock) = builder(8);
    let breakers = builder.forget_after(60 * SECOND).build().unwrap();
    for key in 0..8 {
        fail(&breakers, key);
        if key % 2 == 0 {
            fail(&breakers, key);
        }
    }
    breakers.breaker(&7).handle().force_open();
    let held = breakers.breaker(&6);
    clock.advance(59 * SECOND);
    assert!(breakers.get(&5).is_some(), "asked for");
    breakers.breaker(&100);
    assert_eq!((breakers.stats().evicted, breakers.stats().overflowed), (0, 1));
    clock.advance(SECOND);
    for key in 100..120 {
        if let Ok(ticket) = breakers.breaker(&key).try_enter() {
            ticket.failure();
        }
    }
    let stats = breakers.stats();
    assert_eq!((stats.evicted, stats.overflowed), (5, 16), "0 to 4");
    assert!([5, 6, 7].iter().all(|key| breakers.get(key).is_some()));
    assert_eq!(held.state(), State::Open);
}

/// Its calls count, and not only who asks for it; and it keeps its place while it is open.
#[test]
fn a_key_that_is_used_or_waits_is_not_forgotten() {
    let (builder, clock) = builder(1);
    let breakers = builder.forget_after(3 * SECOND).build().unwrap();
    let held = breakers.breaker(&1);
    clock.advance(9 * SECOND);
    held.try_enter().unwrap().failure();
    drop(held);
    clock.advance(2 * SECOND);
    breakers.breaker(&2);
    assert!(breakers.get(&2).is_none(), "used 2 s ago");
    fail(&breakers, 1);
    clock.advance(9 * SECOND);
    breakers.breaker(&2);
    assert!(breakers.get(&2).is_none(), "it is open for 10 s");
    clock.advance(SECOND);
    breakers.breaker(&2);
    assert!(breakers.get(&2).is_some());
}

#[test]
fn a_key_can_be_removed() {
    let (builder, _clock) = builder(3);
    let breakers = builder.build().unwrap();
    for key in 0..3 {
        fail(&breakers, key);
        fail(&breakers, key);
    }
    let held = breakers.breaker(&0);
    assert!(breakers.remove(&0) && !breakers.remove(&0) && breakers.get(&0).is_none());
    assert_eq!((held.state(), breakers.stats().keys), (State::Open, 2));
    assert_eq!(breakers.get(&2).unwrap().state(), State::Open, "it has moved");
    breakers.breaker(&0).try_enter().unwrap().success();
    assert_eq!(breakers.stats().evicted, 0);
    assert!((0..3).all(|key| breakers.remove(&key)));
    breakers.breaker(&9).try_enter().unwrap().success();
    assert_eq!(breakers.stats().keys, 1);
}

/// Keys that fail at once do not all come back at once; with a seed it is the same in each run.
#[test]
fn each_key_has_jitter_of_its_own() {
    let waits = |seed| {
        let wait = Backoff::constant(10 * SECOND).jitter(Jitter::Equal).seed(seed);
        let settings = Settings::new().trip(Trip::consecutive_failures(1)).open_wait(wait);
        let builder = KeyedBreaker::builder("backends").settings(settings);
        let breakers = builder.clock(ManualClock::new()).build().unwrap();
        let wait = |key| {
            fail(&breakers, key);
            breakers.breaker(&key).stats().retry_after.unwrap()
        };
        (0..100).map(wait).collect::<Vec<_>>()
    };
    let different: std::collections::HashSet<_> = waits(1).into_iter().collect();
    assert!(different.len() > 90, "{different:?}");
    assert_eq!(waits(2), waits(2));
    assert_ne!(waits(2), waits(3));
}

#[test]
fn what_cannot_be_built_is_an_error() {
    let (none, _clock) = builder(0);
    assert_eq!(none.build().unwrap_err(), ConfigError::ZeroKeys);
    let settings = Settings::new().window(Window::count(0));
    let error = KeyedBreaker::<u64>::builder("db").settings(settings).build().unwrap_err();
    assert_eq!(error, ConfigError::EmptyWindow);
}

#[test]
fn it_says_what_it_is() {
    let (builder, _clock) = builder(4);
    assert!(format!("{builder:?}").contains("backends"));
    let breakers = builder.build().unwrap();
    fail(&breakers, 1);
    let text = format!("{breakers:?}");
    assert!(text.contains("backends") && text.contains("keys: 1"), "{text}");
    let all = tidegate_core::inspect::Snapshot::take();
    let text = all.to_string();
    assert!(text.contains("keyed breaker") && text.contains("1 of 4"), "{text}");
}
