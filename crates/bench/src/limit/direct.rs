//! One limiter, asked directly.

use crate::{
    Plan,
    contest::{Contest, Cost, Done, Ratio},
    threads::together,
};
use governor::{
    Quota as GovernorQuota,
    clock::{Clock as GovernorClock, MonotonicClock, QuantaClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use std::{
    hint::black_box,
    num::NonZero,
    time::{Duration, Instant},
};
use tidegate_ratelimit::{Clock, Rate, RateLimiter, TokioClock, TscClock};

/// How often one thread asks in one measurement.
const TIMES: u64 = 2_000_000;

/// Tokens per second, and more of them than are taken: each attempt adds a microsecond to the debt.
const RATE: u32 = 1_000_000;
const PLENTY: u32 = 1_000_000_000;

/// A limiter that is asked for one token at a time.
pub(super) trait Limiter: Send + Sync {
    fn passes(&self) -> bool;
}

impl<C: Clock> Limiter for RateLimiter<C> {
    fn passes(&self) -> bool {
        self.try_acquire(1).is_ok()
    }
}

/// The clock that the peers go by. tokio's own asks first whether it is paused, in a program that
/// tests are part of, as the testkit is of this one.
pub(super) struct StdClock(Instant);

impl Default for StdClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for StdClock {
    type Timer = <TokioClock as Clock>::Timer;

    #[inline]
    fn now(&self) -> u64 {
        let elapsed = self.0.elapsed();
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }

    fn timer(&self) -> Self::Timer {
        unreachable!("nobody waits")
    }
}

type Governor<C> = governor::RateLimiter<
    NotKeyed,
    InMemoryState,
    C,
    NoOpMiddleware<<C as GovernorClock>::Instant>,
>;

impl<C: GovernorClock + Send + Sync> Limiter for Governor<C>
where
    C::Instant: Send + Sync,
{
    fn passes(&self) -> bool {
        self.check().is_ok()
    }
}

impl Limiter for ratelimit::Ratelimiter {
    fn passes(&self) -> bool {
        self.try_wait().is_ok()
    }
}

impl Limiter for leaky_bucket::RateLimiter {
    fn passes(&self) -> bool {
        self.try_acquire(1)
    }
}

impl Limiter for async_rate_limiter::RateLimiter {
    fn passes(&self) -> bool {
        self.try_acquire().is_ok()
    }
}

/// Tokens per second, and how many there are at most.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) rate: u32,
    pub(super) burst: u32,
}

pub(super) fn ours<C: Clock>(limit: Limit, clock: C) -> RateLimiter<C> {
    let rate = Rate::per_second(u64::from(limit.rate));
    RateLimiter::builder(rate).burst(u64::from(limit.burst)).clock(clock).build().unwrap()
}

pub(super) fn governor_of<C: GovernorClock>(limit: Limit, clock: C) -> Governor<C> {
    let [rate, burst] = [limit.rate, limit.burst].map(|n| NonZero::new(n).unwrap());
    let quota = GovernorQuota::per_second(rate).allow_burst(burst);
    governor::RateLimiter::direct_with_clock(quota, clock)
}

pub(super) fn ratelimit_of(limit: Limit) -> ratelimit::Ratelimiter {
    let builder = ratelimit::Ratelimiter::builder(u64::from(limit.rate));
    let burst = u64::from(limit.burst);
    builder.max_tokens(burst).initial_available(burst).build().unwrap()
}

pub(super) fn leaky_bucket_of(limit: Limit) -> leaky_bucket::RateLimiter {
    let burst = limit.burst as usize;
    leaky_bucket::RateLimiter::builder()
        .max(burst)
        .initial(burst)
        .refill(limit.rate as usize / 1_000)
        .interval(Duration::from_millis(1))
        .build()
}

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let tsc = TscClock::new();
    assert!(tsc.is_trusted(), "the counter of this processor is no clock");
    let mut ratios = Vec::new();
    for (threads, target) in [(1, 1.05), (2, 1.0)] {
        ratios.extend(allowed(plan, threads, target, &tsc));
    }
    ratios.extend(denied(plan, &tsc));
    ratios
}

fn named(op: &str, threads: usize, clock: &str) -> String {
    let threads = if threads == 1 { "1 thread" } else { "2 threads" };
    format!("{op}, {threads}, {clock}")
}

/// A limiter for each round, which everybody gets enough from.
fn allowed(plan: Plan, threads: usize, target: f64, tsc: &TscClock) -> Vec<Ratio> {
    let limit = Limit { rate: RATE, burst: PLENTY };
    let rounds = plan.rounds(41);
    let op = named("a check that passes", threads, "TSC");
    let by_tsc = Contest::new(op, Cost::Cpu, rounds, || {
        all_pass(plan, threads, || ours(limit, tsc.clone()))
    })
    .against("governor", target, || {
        all_pass(plan, threads, || governor_of(limit, QuantaClock::default()))
    });
    let mut ratios = by_tsc.run();
    let op = named("a check that passes", threads, "system's clock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let by_system = Contest::new(op, Cost::Cpu, rounds, || {
        all_pass(plan, threads, || ours(limit, StdClock::default()))
    })
    .against("governor", target, || all_pass(plan, threads, || governor_of(limit, MonotonicClock)))
    .against("ratelimit", 1.0, || all_pass(plan, threads, || ratelimit_of(limit)))
    .against("leaky-bucket", 1.0, || {
        let _entered = runtime.enter();
        all_pass(plan, threads, || leaky_bucket_of(limit))
    });
    ratios.extend(by_system.run());
    ratios
}

fn all_pass<L: Limiter>(plan: Plan, threads: usize, limiter: impl Fn() -> L) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    let done = together(threads, || {
        let limiter = limiter();
        move || (0..times).map(|_| u64::from(black_box(&limiter).passes())).sum()
    });
    assert_eq!(done.work, times * threads as u64, "not all passed that may");
    done
}

/// One limiter, which nobody gets anything from any more.
fn denied(plan: Plan, tsc: &TscClock) -> Vec<Ratio> {
    let limit = Limit { rate: 1, burst: 1 };
    let hours = Rate::per_hour(1);
    let rounds = plan.rounds(41);
    let used_up = |limiter: &dyn Limiter| assert!(limiter.passes() && !limiter.passes());
    let by_tsc = RateLimiter::builder(hours).burst(1).clock(tsc.clone()).build().unwrap();
    let by_system =
        RateLimiter::builder(hours).burst(1).clock(StdClock::default()).build().unwrap();
    let quota = GovernorQuota::per_hour(NonZero::new(1).unwrap());
    let governor_tsc = governor::RateLimiter::direct_with_clock(quota, QuantaClock::default());
    let governor_system = governor::RateLimiter::direct_with_clock(quota, MonotonicClock);
    // Of a period of an hour, the smallest rate that it knows.
    let builder = ratelimit::Ratelimiter::builder(u64::from(limit.rate));
    let ratelimit = builder.period(Duration::from_hours(1)).max_tokens(1).initial_available(1);
    let ratelimit = ratelimit.build().unwrap();
    let all: [&dyn Limiter; 5] = [&by_tsc, &by_system, &governor_tsc, &governor_system, &ratelimit];
    all.into_iter().for_each(used_up);
    let op = named("a check that does not pass", 1, "TSC");
    let tsc = Contest::new(op, Cost::Cpu, rounds, || none_passes(plan, &by_tsc)).against(
        "governor",
        1.05,
        || none_passes(plan, &governor_tsc),
    );
    let mut ratios = tsc.run();
    let op = named("a check that does not pass", 1, "system's clock");
    let system = Contest::new(op, Cost::Cpu, rounds, || none_passes(plan, &by_system))
        .against("governor", 1.05, || none_passes(plan, &governor_system))
        .against("ratelimit", 1.0, || none_passes(plan, &ratelimit));
    ratios.extend(system.run());
    ratios
}

fn none_passes(plan: Plan, limiter: &impl Limiter) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    together(1, || || (0..times).map(|_| u64::from(!black_box(limiter).passes())).sum())
}
