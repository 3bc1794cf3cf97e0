//! Random traces through the whole breaker, gate and lock, on a clock that is moved by hand.

use super::oracle::{Call, Config, Oracle, Span};
use proptest::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_breaker::{
    Breaker, Event, HalfOpen, ManualClock, Recorded, State, Ticket, Trip, Verdict, Window,
};
use tidegate_core::{Backoff, Jitter};
use tidegate_testkit::{Rng, Seed};

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    /// One of those that run, by its number.
    Finish(usize, Option<Verdict>),
    /// A call that succeeds at once, so many times.
    Good(u32),
    Advance(u64),
    Told(State),
    Look,
}

fn some(config: Config) -> Config {
    let is_none = config.failures.or(config.slow).is_none() && config.consecutive.is_none();
    let min_calls = match config.span {
        Span::Count(count) => config.min_calls.min(count),
        Span::Time(..) => config.min_calls,
    };
    Config { failures: if is_none { Some(15) } else { config.failures }, min_calls, ..config }
}

fn random_config(rng: &mut Rng) -> Config {
    let span = if rng.one_in(2) {
        let counts = [1, 2, 3, 5, 8, 63, 64, 65, 70, 130];
        Span::Count(counts[index(rng.below(10))])
    } else {
        Span::Time(2 + small(rng.below(5)), 1 + rng.below(9))
    };
    let lease = 1 + rng.below(20);
    some(Config {
        span,
        failures: rng.one_in(2).then(|| 1 + rng.below(30)),
        slow: rng.one_in(3).then(|| 1 + rng.below(30)),
        slow_after: 1 + rng.below(6),
        consecutive: rng.one_in(3).then(|| 1 + small(rng.below(6))),
        min_calls: small(rng.below(12)),
        probes: 1 + small(rng.below(5)),
        below: 1 + rng.below(30),
        lease,
        at_most: if rng.one_in(2) { 3 * lease } else { lease + rng.below(20) },
        wait: rng.below(20),
        max_wait: 20 + rng.below(60),
    })
}

fn random_step(rng: &mut Rng) -> Step {
    const VERDICTS: [Option<Verdict>; 8] = [
        Some(Verdict::Success),
        Some(Verdict::Success),
        Some(Verdict::Success),
        Some(Verdict::Failure),
        Some(Verdict::Failure),
        Some(Verdict::Failure),
        Some(Verdict::Ignore),
        None,
    ];
    const TOLD: [State; 5] = [
        State::ForcedOpen,
        State::ForcedClosed,
        State::MetricsOnly,
        State::Disabled,
        State::Closed,
    ];
    match rng.below(32) {
        0..=9 => Step::Enter,
        10..=20 => Step::Finish(index(rng.below(9)), VERDICTS[index(rng.below(8))]),
        21..=23 => Step::Good(small(rng.below(70))),
        24..=28 => Step::Advance(rng.below(8)),
        29 => Step::Advance(rng.below(90)),
        30 => Step::Look,
        _ => Step::Told(TOLD[index(rng.below(5))]),
    }
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap()
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// A breaker and the naive one, side by side.
struct Pair {
    breaker: Breaker<ManualClock>,
    clock: ManualClock,
    oracle: Oracle,
    now: u64,
    would_open: Arc<AtomicU64>,
    succeeded: u64,
}

impl Pair {
    fn new(config: Config) -> Self {
        let (clock, nanos) = (ManualClock::new(), Duration::from_nanos);
        let part = |part: u64| f64::from(small(part)) / 30.0;
        let rules = [
            config.failures.map(|of| Trip::failure_rate(part(of))),
            config.slow.map(|of| Trip::slow_rate(part(of), nanos(config.slow_after))),
            config.consecutive.map(Trip::consecutive_failures),
        ];
        let window = match config.span {
            Span::Count(count) => Window::count(count),
            Span::Time(slices, width) => Window::time(nanos(width * u64::from(slices)), slices),
        };
        let half_open = HalfOpen::probes(config.probes).close_if_rate_below(part(config.below));
        let wait = Backoff::exponential(nanos(config.wait)).max(nanos(config.max_wait));
        let would_open = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&would_open);
        let breaker = Breaker::builder("db")
            .window(window)
            .trip(rules.into_iter().flatten().reduce(Trip::or).unwrap())
            .min_calls(config.min_calls)
            .half_open(half_open.lease(nanos(config.lease)).at_most(nanos(config.at_most)))
            .open_wait(wait.jitter(Jitter::None))
            .observer(move |event| {
                if let Event::WouldOpen { .. } = event {
                    counter.fetch_add(1, SeqCst);
                }
            })
            .clock(clock.clone())
            .build()
            .unwrap();
        let oracle = Oracle::new(config);
        Self { breaker, clock, oracle, now: 0, would_open, succeeded: 0 }
    }

    fn enter(&mut self) -> Option<(Ticket<Breaker<ManualClock>>, Call)> {
        match (self.breaker.try_enter_owned(), self.oracle.enter(self.now)) {
            (Ok(ticket), Ok(call)) => Some((ticket, call)),
            (Err(open), Err(after)) => {
                assert_eq!(open.retry_after, after.map(Duration::from_nanos));
                assert_eq!(open.state, self.oracle.state);
                None
            }
            (said, call) => panic!("{said:?}, not {call:?}"),
        }
    }

    fn finish(
        &mut self,
        (ticket, call): (Ticket<Breaker<ManualClock>>, Call),
        verdict: Option<Verdict>,
    ) {
        let is_counted = self.oracle.state != State::Disabled;
        let expected = self.oracle.finish(self.now, call, verdict);
        match verdict {
            Some(verdict) => assert_eq!(ticket.finish(verdict), expected),
            None => drop(ticket),
        }
        let good = verdict == Some(Verdict::Success) && is_counted;
        self.succeeded += u64::from(good && expected == Recorded::Counted);
    }

    fn told(&mut self, state: State) {
        let handle = self.breaker.handle();
        match state {
            State::ForcedOpen => handle.force_open(),
            State::ForcedClosed => handle.force_closed(),
            State::MetricsOnly => handle.metrics_only(),
            State::Disabled => handle.disable(),
            _ => handle.reset(),
        }
        self.oracle.told(state);
    }

    fn look(&self) {
        let stats = self.breaker.stats();
        let tally = (stats.tally.calls, stats.tally.failures, stats.tally.slow);
        assert_eq!(tally, self.oracle.tally(self.now));
        assert_eq!(stats.retry_after, self.oracle.wait(self.now).map(Duration::from_nanos));
        assert_eq!(stats.generation, self.oracle.generation);
        assert_eq!(self.would_open.load(SeqCst), self.oracle.would_open);
        assert_eq!(stats.succeeded, self.succeeded);
        if self.oracle.state == State::Closed {
            assert_eq!(stats.consecutive_failures, self.oracle.consecutive());
        }
    }
}

fn run(config: Config, steps: impl IntoIterator<Item = Step>) {
    let mut pair = Pair::new(config);
    let mut running = Vec::new();
    for step in steps {
        match step {
            Step::Enter => running.extend(pair.enter()),
            Step::Finish(..) if running.is_empty() => {}
            Step::Finish(n, verdict) => {
                let call = running.swap_remove(n % running.len());
                pair.finish(call, verdict);
            }
            Step::Good(calls) => {
                for _ in 0..calls {
                    if let Some(call) = pair.enter() {
                        pair.finish(call, Some(Verdict::Success));
                    }
                }
            }
            Step::Advance(by) => {
                pair.now += by;
                pair.clock.advance(Duration::from_nanos(by));
            }
            Step::Told(state) => pair.told(state),
            Step::Look => pair.look(),
        }
        assert_eq!(pair.breaker.state(), pair.oracle.state, "after {step:?}");
    }
    pair.look();
}

/// A hundred thousand of them: a trace is what its seed makes.
#[test]
fn random_traces_decide_as_the_naive_breaker() {
    let seed = Seed::from_env_or_new("random traces");
    println!("TIDEGATE_SEED={seed}");
    let rng = seed.rng();
    for trace in 0..tidegate_testkit::scale(100_000) {
        let mut rng = rng.stream(trace);
        let config = random_config(&mut rng);
        let length = 1 + rng.below(40);
        run(config, (0..length).map(|_| random_step(&mut rng)));
    }
}

fn config() -> impl Strategy<Value = Config> {
    let span = prop_oneof![
        (1..140_u32).prop_map(Span::Count),
        (2..7_u32, 1..10_u64).prop_map(|(slices, width)| Span::Time(slices, width)),
    ];
    let part = || prop::option::of(1..31_u64);
    let rules = (part(), part(), 1..7_u64, prop::option::of(1..7_u32), 0..12_u32);
    let half_open = (1..6_u32, 1..31_u64, 1..20_u64, 0..40_u64, 0..20_u64, 20..80_u64);
    (span, rules, half_open).prop_map(|(span, rules, half_open)| {
        let (failures, slow, slow_after, consecutive, min_calls) = rules;
        let (probes, below, lease, more, wait, max_wait) = half_open;
        some(Config {
            span,
            failures,
            slow,
            slow_after,
            consecutive,
            min_calls,
            probes,
            below,
            lease,
            at_most: lease + more,
            wait,
            max_wait,
        })
    })
}

#[cfg(not(miri))]
proptest! {
    /// The same with configurations and traces that are shrunk to what matters.
    #[test]
    fn traces_decide_as_the_naive_breaker(config in config(), seeds in prop::collection::vec(any::<u64>(), 1..60)) {
        run(config, seeds.into_iter().map(|seed| random_step(&mut Rng::new(seed))));
    }
}
