//! Models of the gate, the lock and the probes: run with `--cfg tidegate_loom`.

use crate::{Breaker, HalfOpen, ManualClock, Recorded, State, Trip, Window};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Wake, Waker},
    time::Duration,
};
use tidegate_core::{
    Backoff, Jitter,
    sync::{Arc, thread},
};

const SECOND: Duration = Duration::from_secs(1);

/// Checks every interleaving, of which there are to be some.
fn model(name: &str, check: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    loom::model(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom-executions: {name} {executions}");
    // Most of it is behind one lock, and has few orders.
    assert!(executions > 10, "{name}: {executions} executions explore little");
}

fn breaker(probes: u32, window: Window) -> (Breaker<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let builder = Breaker::builder("modelled")
        .window(window)
        .trip(Trip::consecutive_failures(2))
        .half_open(HalfOpen::probes(probes).close_if_rate_below(1.0).lease(SECOND))
        .open_wait(Backoff::constant(SECOND).jitter(Jitter::None))
        .clock(clock.clone());
    (builder.build().unwrap(), clock)
}

/// Its wait is over, and nobody has called.
fn waited(probes: u32) -> (Breaker<ManualClock>, ManualClock) {
    let (breaker, clock) = breaker(probes, Window::count(2));
    for _ in 0..2 {
        breaker.try_enter().unwrap().failure();
    }
    clock.advance(SECOND);
    (breaker, clock)
}

#[test]
fn loom_two_callers_and_one_probe() {
    model("two_callers_and_one_probe", || {
        let (breaker, _clock) = waited(1);
        let other = breaker.clone();
        let theirs = thread::spawn(move || {
            let ticket = other.try_enter_owned();
            ticket.map(|ticket| ticket.is_probe().then(|| ticket.success()))
        });
        let mine = breaker.try_enter().map(|ticket| ticket.is_probe().then(|| ticket.success()));
        let theirs = theirs.join().unwrap();
        // One after the other, the second is no probe any more, as it has closed; at once, it is rejected.
        let probes = [mine, theirs].map(|call| call.is_ok_and(|call| call.is_some()));
        assert!(probes[0] != probes[1], "{mine:?} {theirs:?}");
        let counted = Ok(Some(Recorded::Counted));
        assert!(mine == counted || theirs == counted, "{mine:?} {theirs:?}");
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn loom_a_probe_that_is_given_up_gives_its_place_back() {
    model("a_probe_that_is_given_up_gives_its_place_back", || {
        let (breaker, _clock) = waited(1);
        let other = breaker.clone();
        let quitter = thread::spawn(move || drop(other.try_enter_owned()));
        let mine = breaker.try_enter();
        quitter.join().unwrap();
        match mine {
            Ok(ticket) => assert_eq!(ticket.success(), Recorded::Counted),
            Err(_) => assert_eq!(breaker.try_enter().unwrap().success(), Recorded::Counted),
        }
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn loom_a_lease_that_ends_while_its_probe_answers() {
    model("a_lease_that_ends_while_its_probe_answers", || {
        let (breaker, clock) = waited(1);
        let probe = breaker.try_enter_owned().unwrap();
        let time = thread::spawn(move || clock.advance(SECOND));
        let other = breaker.clone();
        let next = thread::spawn(move || {
            let ticket = other.try_enter_owned().ok()?;
            let is_probe = ticket.is_probe();
            Some((is_probe, ticket.failure()))
        });
        let answered = probe.success();
        time.join().unwrap();
        match (answered, next.join().unwrap()) {
            // It has answered in time; who comes then is no probe, and who came before is turned away.
            (Recorded::Counted, next) => {
                assert!(next.is_none_or(|next| !next.0), "{next:?}");
                assert_eq!(breaker.state(), State::Closed);
            }
            // It has not, and the place was another's, or still nobody's.
            (Recorded::Stale, Some((true, Recorded::Counted))) => {
                assert_eq!(breaker.state(), State::Open);
            }
            (Recorded::Stale, None) => assert_eq!(breaker.state(), State::HalfOpen),
            other => panic!("{other:?}"),
        }
    });
}

/// Two callers want the only place while who has it gives it up, and while its lease ends.
#[test]
fn loom_two_callers_half_open_cancel_and_expiry() {
    model("two_callers_half_open_cancel_and_expiry", || {
        let (breaker, clock) = waited(1);
        let first = breaker.try_enter_owned().unwrap();
        let quitter = thread::spawn(move || drop(first));
        let other = breaker.clone();
        let call = |breaker: &Breaker<ManualClock>| {
            let ticket = breaker.try_enter().ok()?;
            Some((ticket.is_probe(), ticket.success()))
        };
        let late = thread::spawn(move || {
            clock.advance(SECOND);
            call(&other)
        });
        let mine = call(&breaker);
        let late = late.join().unwrap();
        quitter.join().unwrap();
        assert!(mine.or(late).is_some(), "a lease that has ended keeps nobody out");
        let calls = || [mine, late].into_iter().flatten();
        let closes = calls().filter(|call| *call == (true, Recorded::Counted)).count();
        assert_eq!((closes, breaker.state()), (1, State::Closed), "{mine:?} {late:?}");
        let late = calls().filter(|call| call.1 == Recorded::Stale).count() as u64;
        let stats = breaker.stats();
        // The one that was given up is one or the other, too.
        assert_eq!(stats.cancelled + stats.stale, 1 + late, "{stats:?}");
    });
}

/// Two of two hold places: one gives up, one answers, and a third comes.
#[test]
fn loom_cancel_and_answer_at_once() {
    model("cancel_and_answer_at_once", || {
        let (breaker, _clock) = waited(2);
        let (first, second) =
            (breaker.try_enter_owned().unwrap(), breaker.try_enter_owned().unwrap());
        let quitter = thread::spawn(move || drop(first));
        let answer = thread::spawn(move || second.failure());
        let third = breaker.try_enter();
        quitter.join().unwrap();
        assert_eq!(answer.join().unwrap(), Recorded::Counted);
        // Of two probes one may fail here.
        match third {
            Ok(ticket) => assert_eq!(ticket.success(), Recorded::Counted),
            Err(_) => assert!(
                breaker.stats().state == State::Closed || breaker.stats().probes_in_flight == 0
            ),
        }
    });
}

#[test]
fn loom_no_result_is_lost_or_counted_twice() {
    model("no_result_is_lost_or_counted_twice", || {
        let (breaker, _clock) = breaker(1, Window::count(8));
        let other = breaker.clone();
        let good = thread::spawn(move || [(); 2].map(|()| other.try_enter().unwrap().success()));
        assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Counted);
        assert_eq!(good.join().unwrap(), [Recorded::Counted; 2]);
        let stats = breaker.stats();
        assert_eq!((stats.tally.calls, stats.tally.failures), (3, 1));
        assert_eq!((stats.succeeded, stats.failed), (2, 1));
    });
}

/// A window of one is full of whatever came last, so that good results are not written.
#[test]
fn loom_a_full_window_misses_no_failure() {
    model("a_full_window_misses_no_failure", || {
        let (breaker, _clock) = breaker(1, Window::count(1));
        breaker.try_enter().unwrap().success();
        let other = breaker.clone();
        let good = thread::spawn(move || other.try_enter().unwrap().success());
        assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Counted);
        let seen = breaker.stats();
        assert_eq!(good.join().unwrap(), Recorded::Counted);
        let stats = breaker.stats();
        assert_eq!((stats.succeeded, stats.failed), (2, 1));
        assert!(stats.tally.failures <= seen.tally.failures, "{seen:?}, then {stats:?}");
        // Failed last, or succeeded last.
        assert_eq!(stats.tally.failures, u64::from(stats.consecutive_failures));
    });
}

#[test]
fn loom_a_result_and_a_change_of_state() {
    model("a_result_and_a_change_of_state", || {
        let (breaker, _clock) = breaker(1, Window::count(8));
        let ticket = breaker.try_enter_owned().unwrap();
        let good = thread::spawn(move || ticket.success());
        let handle = breaker.handle();
        let reset = thread::spawn(move || handle.reset());
        let late = breaker.try_enter().unwrap();
        let generation = late.generation();
        let recorded = late.success();
        let good = good.join().unwrap();
        reset.join().unwrap();
        let stats = breaker.stats();
        assert_eq!(stats.generation, 1);
        // What was let pass after the reset counts, and nothing else is in the window.
        assert_eq!(stats.tally.calls, generation, "{recorded:?}");
        let counted = [good, recorded].iter().filter(|said| **said == Recorded::Counted).count();
        assert_eq!((stats.succeeded, stats.stale), (counted as u64, 2 - counted as u64));
    });
}

/// A good result is in the slice that it came in.
#[test]
fn loom_a_result_and_the_passing_of_time() {
    model("a_result_and_the_passing_of_time", || {
        let (breaker, clock) = breaker(1, Window::time(2 * SECOND, 2));
        breaker.try_enter().unwrap().success();
        let other = breaker.clone();
        let good = thread::spawn(move || other.try_enter().unwrap().success());
        clock.advance(SECOND);
        assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Counted);
        assert_eq!(good.join().unwrap(), Recorded::Counted);
        assert_eq!(breaker.stats().tally.calls, 3);
        clock.advance(SECOND);
        let left = breaker.stats().tally.calls;
        assert!((1..=2).contains(&left), "{left}");
        clock.advance(SECOND);
        assert_eq!(breaker.stats().tally.calls, 0);
    });
}

/// Who is turned away without the lock is so by a state and a time that were there together.
#[test]
fn loom_an_open_one_that_is_reset() {
    model("an_open_one_that_is_reset", || {
        let (breaker, clock) = breaker(1, Window::count(2));
        for _ in 0..2 {
            breaker.try_enter().unwrap().failure();
        }
        let handle = breaker.handle();
        let reset = thread::spawn(move || {
            handle.reset();
            // Nobody is told to wait for a half.
            clock.advance(SECOND / 2);
        });
        let entered = breaker.try_enter();
        match entered {
            Ok(ticket) => assert!(!ticket.is_probe()),
            Err(open) => assert_eq!((open.state, open.retry_after), (State::Open, Some(SECOND))),
        }
        reset.join().unwrap();
        assert_eq!(breaker.state(), State::Closed);
    });
}

/// A wait begins at a time when it is open already, for all who look.
#[test]
fn loom_a_change_of_state_is_at_one_time() {
    model("a_change_of_state_is_at_one_time", || {
        let (breaker, clock) = breaker(1, Window::count(2));
        breaker.try_enter().unwrap().failure();
        let other = breaker.clone();
        let opens = thread::spawn(move || other.try_enter().unwrap().failure());
        clock.advance(SECOND);
        // It is open or not when the clock shows a second; if not, its wait ends a second after that.
        let first = breaker.try_enter().map(|ticket| ticket.is_probe());
        let second = breaker.try_enter().map(|ticket| ticket.is_probe());
        if first == Ok(false) {
            match second {
                Ok(is_probe) => assert!(!is_probe),
                Err(open) => assert_eq!(open.retry_after, Some(SECOND)),
            }
        }
        opens.join().unwrap();
    });
}

/// Who waits and sees no change is woken by it.
#[test]
fn loom_who_waits_is_woken_or_sees_the_change() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    model("who_waits_is_woken_or_sees_the_change", || {
        let (breaker, _clock) = breaker(1, Window::count(2));
        breaker.try_enter().unwrap().failure();
        let other = breaker.clone();
        let opens = thread::spawn(move || other.try_enter().unwrap().failure());
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let mut waiter = None;
        breaker.shared().waiters().add(&mut waiter, &Waker::from(Arc::clone(&woken)));
        let saw = breaker.state();
        assert_eq!(opens.join().unwrap(), Recorded::Counted);
        assert!(saw == State::Open || woken.0.load(Ordering::SeqCst), "{saw}");
        breaker.shared().waiters().remove(&mut waiter);
    });
}
