//! Threads that call at once: for longer by `cargo xtask stress`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};
use tidegate_breaker::{
    Breaker, HalfOpen, ManualClock, Open, Recorded, State, Ticket, Trip, Verdict, Window,
};
use tidegate_core::Backoff;
use tidegate_testkit::{History, Model, Stress, check_linearizable};

const LEASE: u64 = 3;
const WAIT: u64 = 2;
const PROBES: usize = 2;
/// Calls, or slices of a second.
const WINDOW: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    /// A call with that number asks.
    Enter(u64),
    /// It ends; none, if it is given up.
    Finish(u64, Option<Verdict>),
    Advance(u64),
    Reset,
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ret {
    Entered {
        generation: u64,
        is_probe: bool,
    },
    Rejected(State, Option<u64>),
    Recorded(Recorded),
    Done,
    /// State, calls, failures, and until when.
    Seen(State, u64, u64, Option<u64>),
}

/// What runs: in which generation, and if it is a probe, until when, and which one it is.
type Running = BTreeMap<u64, (u64, Option<(u64, u64)>)>;

/// The generation of a probe that has lost its place.
const LOST: u64 = u64::MAX;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seq {
    now: u64,
    state: State,
    generation: u64,
    /// In which slice, and whether it has failed.
    results: Vec<(u64, bool)>,
    until: u64,
    running: Running,
    answered: usize,
    bad: usize,
    probes: u64,
    /// Since when nobody answers.
    silent: Option<u64>,
}

/// One call after the other.
struct Sequential {
    is_timed: bool,
}

impl Sequential {
    fn in_window<'a>(&self, seq: &'a Seq) -> impl Iterator<Item = &'a (u64, bool)> {
        let (is_timed, now) = (self.is_timed, seq.now);
        let last = if is_timed { usize::MAX } else { WINDOW as usize };
        let results = seq.results.iter().rev().take(last);
        results.filter(move |result| !is_timed || result.0 + u64::from(WINDOW) > now)
    }

    fn tally(&self, seq: &Seq) -> (u64, u64) {
        let results = self.in_window(seq);
        results.fold((0, 0), |sum, result| (sum.0 + 1, sum.1 + u64::from(result.1)))
    }

    fn apply(&self, seq: &mut Seq, op: &Op) -> Ret {
        match *op {
            Op::Advance(by) => seq.now += by,
            Op::Reset => seq.go(State::Closed),
            Op::Enter(id) => return seq.enter(id),
            Op::Finish(id, verdict) => return self.finish(seq, id, verdict).unwrap_or(Ret::Done),
            Op::Look => {
                let tally = self.tally(seq);
                let (calls, failures) = match seq.state {
                    State::HalfOpen => (seq.answered as u64, seq.bad as u64),
                    _ => tally,
                };
                let wait = seq.until.saturating_sub(seq.now);
                let wait = (seq.state == State::Open).then_some(wait);
                return Ret::Seen(seq.state, calls, failures, wait);
            }
        }
        Ret::Done
    }

    /// None, if it has not entered.
    fn finish(&self, seq: &mut Seq, id: u64, verdict: Option<Verdict>) -> Option<Ret> {
        let (generation, lease) = seq.running.remove(&id)?;
        if generation != seq.generation {
            return Some(Ret::Recorded(Recorded::Stale));
        }
        let Some(verdict) = verdict else { return Some(Ret::Recorded(Recorded::Neutral)) };
        let failed = verdict == Verdict::Failure;
        if lease.is_some() {
            seq.answered += 1;
            seq.bad += usize::from(failed);
            let runs_on = seq.running.values().any(|running| running.0 == seq.generation);
            seq.silent = runs_on.then_some(seq.now);
            if seq.bad >= 1 {
                seq.open();
            } else if seq.answered == PROBES {
                seq.go(State::Closed);
            }
        } else {
            seq.results.push((seq.now, failed));
            let (calls, failures) = self.tally(seq);
            if failed && calls >= 2 && failures * 2 >= calls {
                seq.open();
            }
        }
        Some(Ret::Recorded(Recorded::Counted))
    }
}

impl Seq {
    fn go(&mut self, to: State) {
        self.state = to;
        self.generation += 1;
        self.results.clear();
        (self.answered, self.bad, self.silent) = (0, 0, None);
    }

    fn open(&mut self) {
        self.until = self.now + WAIT;
        self.go(State::Open);
    }

    fn enter(&mut self, id: u64) -> Ret {
        if self.state == State::Open {
            if self.now < self.until {
                return Ret::Rejected(State::Open, Some(self.until - self.now));
            }
            self.go(State::HalfOpen);
        }
        let mut lease = None;
        if self.state == State::HalfOpen {
            if self.silent.is_some_and(|since| self.now - since >= 3 * LEASE) {
                self.open();
                return Ret::Rejected(State::Open, Some(WAIT));
            }
            let running = self.running.values_mut();
            let probes: Vec<_> = running.filter(|one| one.0 == self.generation).collect();
            if probes.len() + self.answered >= PROBES {
                let first = probes.into_iter().min_by_key(|one| one.1);
                let (generation, Some((until, _))) = first.unwrap() else { unreachable!() };
                if *until > self.now {
                    return Ret::Rejected(State::HalfOpen, Some(*until - self.now));
                }
                *generation = LOST;
            }
            self.probes += 1;
            self.silent.get_or_insert(self.now);
            lease = Some((self.now + LEASE, self.probes));
        }
        self.running.insert(id, (self.generation, lease));
        Ret::Entered { generation: self.generation, is_probe: lease.is_some() }
    }
}

impl Model for Sequential {
    type Op = Op;
    type Ret = Ret;
    type State = Seq;
    type Next = Option<Seq>;
    type Key = ();

    fn partition(&self, _op: &Op) {}

    fn init(&self, (): &()) -> Seq {
        Seq {
            now: 0,
            state: State::Closed,
            generation: 0,
            results: Vec::new(),
            until: 0,
            running: Running::new(),
            answered: 0,
            bad: 0,
            probes: 0,
            silent: None,
        }
    }

    fn step(&self, seq: &Seq, op: &Op, ret: Option<&Ret>) -> Option<Seq> {
        let mut next = seq.clone();
        let said = self.apply(&mut next, op);
        ret.is_none_or(|ret| *ret == said).then_some(next)
    }
}

struct Setup {
    breaker: Breaker<ManualClock>,
    clock: ManualClock,
    history: History<Op, Ret>,
    clients: AtomicU64,
    calls: AtomicU64,
}

fn setup(is_timed: bool) -> Setup {
    setup_with(is_timed, Trip::failure_rate(0.5))
}

fn setup_with(is_timed: bool, trip: Trip) -> Setup {
    let clock = ManualClock::new();
    let length = Duration::from_secs(WINDOW.into());
    let window = if is_timed { Window::time(length, WINDOW) } else { Window::count(WINDOW) };
    let breaker = Breaker::builder("raced")
        .window(window)
        .trip(trip)
        .min_calls(2)
        .half_open(HalfOpen::probes(2).close_if_rate_below(0.5).lease(Duration::from_secs(LEASE)))
        .open_wait(Backoff::constant(Duration::from_secs(WAIT)).jitter(tidegate_core::Jitter::None))
        .clock(clock.clone())
        .build()
        .unwrap();
    let (clients, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    Setup { breaker, clock, history: History::new(), clients, calls }
}

fn seconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs())
}

fn client(setup: &Setup, ctx: &mut tidegate_testkit::Ctx) {
    let Setup { breaker, clock, history, clients, calls } = setup;
    let client = history.client(usize::try_from(clients.fetch_add(1, SeqCst)).unwrap());
    let mut running: Vec<(u64, Ticket<&Breaker<ManualClock>>)> = Vec::new();
    for _ in 0..7 {
        ctx.point();
        match ctx.rng().below(16) {
            0..=1 => {
                let by = 1 + ctx.rng().below(3);
                client.call_sync(Op::Advance(by), || {
                    clock.advance(Duration::from_secs(by));
                    Ret::Done
                });
            }
            2 if ctx.rng().one_in(2) => {
                client.call_sync(Op::Reset, || {
                    breaker.handle().reset();
                    Ret::Done
                });
            }
            2..=3 => {
                client.call_sync(Op::Look, || {
                    let stats = breaker.stats();
                    let (calls, failures) = (stats.tally.calls, stats.tally.failures);
                    Ret::Seen(stats.state, calls, failures, seconds(stats.retry_after))
                });
            }
            4..=9 if !running.is_empty() => {
                let (id, ticket) = running.swap_remove(0);
                let verdict = match ctx.rng().below(5) {
                    0 => None,
                    1..=2 => Some(Verdict::Success),
                    _ => Some(Verdict::Failure),
                };
                client.call_sync(Op::Finish(id, verdict), || {
                    let verdict = verdict.unwrap_or(Verdict::Ignore);
                    Ret::Recorded(ticket.finish(verdict))
                });
            }
            _ => {
                let id = calls.fetch_add(1, SeqCst);
                client.call_sync(Op::Enter(id), || match breaker.try_enter() {
                    Ok(ticket) => {
                        let (generation, is_probe) = (ticket.generation(), ticket.is_probe());
                        running.push((id, ticket));
                        Ret::Entered { generation, is_probe }
                    }
                    Err(Open { state, retry_after, .. }) => {
                        Ret::Rejected(state, seconds(retry_after))
                    }
                });
            }
        }
    }
    // They run on for ever, as far as anybody knows.
    std::mem::forget(running);
}

fn check(setup: &Setup, is_timed: bool) -> Result<(), String> {
    let verdict = check_linearizable(&Sequential { is_timed }, &setup.history);
    if verdict.is_linearizable() { Ok(()) } else { Err(verdict.to_string()) }
}

#[test]
fn stress_a_count_window_is_linearizable() {
    let stress = Stress::new("a_count_window_is_linearizable");
    stress.run(|_| setup(false), client, |setup, _threads| check(setup, false));
}

#[test]
fn stress_a_time_window_is_linearizable() {
    let stress = Stress::new("a_time_window_is_linearizable");
    stress.run(|_| setup(true), client, |setup, _threads| check(setup, true));
}

/// Calls are timed, and none is slow: the end of a call is read once, for that and for the slice that it is in.
#[test]
fn stress_a_time_window_of_timed_calls_is_linearizable() {
    let trip = Trip::failure_rate(0.5).or(Trip::slow_rate(1.0, Duration::from_secs(3600)));
    let stress = Stress::new("a_time_window_of_timed_calls_is_linearizable");
    stress.run(|_| setup_with(true, trip), client, |setup, _threads| check(setup, true));
}

/// Every call is in exactly one of the sums.
#[test]
fn stress_every_call_is_counted_once() {
    Stress::new("every_call_is_counted_once").run(
        |_| (setup(false).breaker, std::array::from_fn::<_, 5, _>(|_| AtomicU64::new(0))),
        |(breaker, sums), ctx| {
            for _ in 0..60 {
                ctx.point();
                if ctx.rng().one_in(20) {
                    match ctx.rng().below(3) {
                        0 => breaker.handle().force_closed(),
                        1 => breaker.handle().metrics_only(),
                        _ => breaker.handle().reset(),
                    }
                }
                let Ok(ticket) = breaker.try_enter() else {
                    sums[0].fetch_add(1, SeqCst);
                    continue;
                };
                let fails = ctx.rng().one_in(8);
                let recorded = if fails { ticket.failure() } else { ticket.success() };
                let sum = match recorded {
                    Recorded::Stale => 1,
                    Recorded::Counted => {
                        if fails {
                            2
                        } else {
                            3
                        }
                    }
                    _ => 4,
                };
                sums[sum].fetch_add(1, SeqCst);
            }
        },
        |(breaker, sums), _threads| {
            let stats = breaker.stats();
            let counted = [stats.rejected, stats.stale, stats.failed, stats.succeeded, 0];
            let told: Vec<_> = sums.iter().map(|sum| sum.load(SeqCst)).collect();
            if counted[..] == told { Ok(()) } else { Err(format!("{stats:?} and {told:?}")) }
        },
    );
}
