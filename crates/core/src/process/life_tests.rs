//! The table, row by row, and against one that looks at whole histories.

use super::*;
use proptest::prelude::*;

const S: fn(u64) -> Duration = Duration::from_secs;

/// Feeds events at seconds, and tells what was done when.
fn play(events: &[(u64, Event)]) -> (Life, Vec<(u64, Action)>) {
    play_within(None, events)
}

/// The same for one that has so many seconds.
fn play_within(timeout: Option<u64>, events: &[(u64, Event)]) -> (Life, Vec<(u64, Action)>) {
    let begin = Instant::now();
    let mut life = Life::new(timeout.map(S), S(5), S(2), begin);
    let mut done = Vec::new();
    let tick_until = |life: &mut Life, now: u64| {
        let mut ticks = Vec::new();
        while let Some(at) = life.deadline().filter(|&at| at <= begin + S(now)) {
            if let Some(action) = life.on(Event::Tick, at) {
                ticks.push(((at - begin).as_secs(), action));
            }
        }
        ticks
    };
    for &(now, event) in events {
        done.extend(tick_until(&mut life, now));
        done.extend(life.on(event, begin + S(now)).map(|action| (now, action)));
    }
    done.extend(tick_until(&mut life, 1000));
    (life, done)
}

fn ends(events: &[(u64, Event)], ended: Ended, done: &[(u64, Action)]) {
    let (life, acted) = play(events);
    assert_eq!((life.ended(), acted.as_slice()), (ended, done), "{events:?}");
}

#[test]
fn a_process_that_ends_by_itself_is_not_signalled() {
    let finish = Action::Finish;
    ends(&[(1, Event::PipesClosed), (3, Event::Exited)], Ended::Itself, &[(3, finish)]);
    ends(&[(1, Event::Exited), (2, Event::PipesClosed)], Ended::Itself, &[(2, finish)]);
    let late = [(1, Event::Exited), (2, Event::PipesClosed), (3, Event::Stop), (4, Event::Kill)];
    ends(&late, Ended::Itself, &[(2, finish)]);
}

#[test]
fn golang_23019_pipes_that_stay_open_are_given_up_after_the_delay() {
    ends(&[(1, Event::Exited)], Ended::Itself, &[(3, Action::Finish)]);
    assert!(play(&[(1, Event::Exited)]).0.pipes_open());
}

#[test]
fn a_stopped_process_has_the_grace() {
    let polite = [(1, Event::Stop), (2, Event::PipesClosed), (5, Event::Exited)];
    ends(&polite, Ended::Stopped, &[(1, Action::Signal), (5, Action::Finish)]);
    let deaf = [(1, Event::Stop), (2, Event::Stop), (7, Event::Exited)];
    let done = [(1, Action::Signal), (6, Action::Kill), (9, Action::Finish)];
    ends(&deaf, Ended::Killed, &done);
}

#[test]
fn a_process_whose_time_is_over_is_stopped_as_by_an_order() {
    let ends = |events: &[_], ended, done: &[_]| {
        let (life, acted) = play_within(Some(3), events);
        assert_eq!((life.ended(), acted.as_slice()), (ended, done), "{events:?}");
    };
    let polite = [(3, Event::PipesClosed), (4, Event::Exited)];
    ends(&polite, Ended::Stopped, &[(3, Action::Signal), (4, Action::Finish)]);
    let deaf = [(4, Event::Stop), (5, Event::PipesClosed), (9, Event::Exited)];
    ends(&deaf, Ended::Killed, &[(3, Action::Signal), (8, Action::Kill), (9, Action::Finish)]);
    // It has ended, or was asked to, before: the time of what holds its pipes is another one.
    ends(&[(2, Event::Exited)], Ended::Itself, &[(4, Action::Finish)]);
    let stopped = [(1, Event::Stop), (2, Event::PipesClosed), (5, Event::Exited)];
    ends(&stopped, Ended::Stopped, &[(1, Action::Signal), (5, Action::Finish)]);
}

#[test]
fn a_killed_process_that_does_not_die_is_given_up() {
    let done = [(1, Action::Kill), (6, Action::Abandon)];
    ends(&[(1, Event::Kill), (2, Event::Kill)], Ended::Killed, &done);
    let impatient = [(1, Event::Stop), (2, Event::Kill), (3, Event::Exited)];
    let done = [(1, Action::Signal), (2, Action::Kill), (5, Action::Finish)];
    ends(&impatient, Ended::Killed, &done);
}

#[test]
fn what_holds_the_pipes_can_be_stopped_and_killed() {
    let begin = Instant::now();
    let mut life = Life::new(None, S(5), S(100), begin);
    assert_eq!(life.on(Event::Exited, begin), None);
    assert_eq!(life.on(Event::Stop, begin + S(1)), Some(Action::Signal));
    assert_eq!(life.deadline(), Some(begin + S(6)));
    assert_eq!(life.on(Event::Kill, begin + S(2)), Some(Action::Kill));
    assert_eq!(life.deadline(), Some(begin + S(3)));
    assert_eq!(life.ended(), Ended::Itself, "the process itself ended before");
}

#[test]
fn a_time_too_long_for_a_clock_is_for_ever() {
    let mut life = Life::new(Some(Duration::MAX), Duration::MAX, Duration::MAX, Instant::now());
    assert_eq!(life.deadline(), None);
    assert_eq!(life.on(Event::Stop, Instant::now()), Some(Action::Signal));
    assert_eq!((life.deadline(), life.ended()), (None, Ended::Stopped));
    assert_eq!(life.on(Event::Tick, Instant::now() + S(1000)), None);
    assert_eq!(life.on(Event::Exited, Instant::now()), None);
    assert_eq!(life.on(Event::Kill, Instant::now()), Some(Action::Kill));
    assert!(life.deadline().is_some());
}

/// What must have been done, from when each event came first, without states.
fn expected(timeout: Option<u64>, events: &[(u64, Event)]) -> Vec<(u64, Action)> {
    const NEVER: u64 = u64::MAX;
    let first = |which, from: u64| {
        let mut all = events.iter().filter(|(at, event)| *event == which && *at >= from);
        all.next().map_or(NEVER, |(at, _)| *at)
    };
    let place = |at: u64, which| {
        events.iter().position(|event| *event == (at, which)).unwrap_or(usize::MAX)
    };
    let (exit, closed) = (first(Event::Exited, 0), first(Event::PipesClosed, 0));
    let mut done = Vec::new();
    let stop = first(Event::Stop, 0);
    let kill = first(Event::Kill, 0);
    let came_before = |at: u64, which, than: u64, other| {
        at < than || at == than && at != NEVER && place(at, which) < place(than, other)
    };
    // Alive: the signal, and the kill by order or by the end of the grace.
    let late = timeout.filter(|late| *late <= stop && *late <= exit && *late <= kill);
    let stopped = late.is_some()
        || came_before(stop, Event::Stop, exit, Event::Exited)
            && came_before(stop, Event::Stop, kill, Event::Kill);
    let stop = late.unwrap_or(stop);
    if stopped {
        done.push((stop, Action::Signal));
    }
    let over = if stopped { stop + 5 } else { NEVER };
    let by_order = came_before(kill, Event::Kill, exit, Event::Exited) && kill < over;
    // A deadline is looked at before what comes in the same second.
    let killed = if by_order {
        kill
    } else if over <= exit {
        over
    } else {
        NEVER
    };
    if killed != NEVER {
        done.push((killed, Action::Kill));
        if killed.saturating_add(5) <= exit {
            done.push((killed + 5, Action::Abandon));
            return done;
        }
    }
    if exit == NEVER {
        return done;
    }
    // Dead: whoever holds the pipes has the delay, or less if told to end.
    let mut until = exit + 2;
    let exited_at = place(exit, Event::Exited);
    if came_before(closed, Event::PipesClosed, exit, Event::Exited) {
        done.push((exit, Action::Finish));
        return done;
    }
    for &(at, event) in &events[exited_at + 1..] {
        if at >= until {
            break;
        }
        match event {
            Event::Stop => {
                until = until.min(at + 5);
                done.push((at, Action::Signal));
            }
            Event::Kill => {
                until = until.min(at + 1);
                done.push((at, Action::Kill));
            }
            Event::PipesClosed => {
                done.push((at, Action::Finish));
                return done;
            }
            Event::Exited | Event::Tick => {}
        }
    }
    done.push((until, Action::Finish));
    done
}

proptest! {
    #[test]
    fn whatever_happens_it_is_what_the_whole_history_says(
        steps in prop::collection::vec((0_u64..4, 0_usize..3), 0..8),
        exit in prop::option::of(0_usize..8),
        closed in prop::option::of(0_usize..8),
        timeout in prop::option::of(0_u64..12),
    ) {
        let mut now = 0;
        let mut events: Vec<_> = steps
            .into_iter()
            .map(|(later, which)| {
                now += later;
                (now, [Event::Stop, Event::Kill, Event::Tick][which])
            })
            .collect();
        // Each comes once, if at all.
        for (at, event) in [(exit, Event::Exited), (closed, Event::PipesClosed)] {
            if let Some(at) = at {
                let at = at.min(events.len());
                let now = at.checked_sub(1).map_or(0, |before| events[before].0);
                events.insert(at, (now, event));
            }
        }
        let (life, done) = play_within(timeout, &events);
        prop_assert_eq!(&done, &expected(timeout, &events), "{:?} {:?}", timeout, events);
        let ends = done.iter().filter(|(_, a)| matches!(a, Action::Finish | Action::Abandon)).count();
        prop_assert!(ends <= 1);
        prop_assert!(matches!(life.phase(), Phase::Ended | Phase::Stuck) == (ends == 1));
    }
}
