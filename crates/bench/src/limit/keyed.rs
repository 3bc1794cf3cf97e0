//! A limit for each key.

use super::direct::StdClock;
use crate::{
    Plan,
    alloc::allocated,
    contest::{Contest, Cost, Done, Ratio},
    row::counted,
    threads::together,
};
use governor::{
    Quota as GovernorQuota,
    clock::{Clock as GovernorClock, MonotonicClock, QuantaClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use std::{
    hint::black_box,
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use tidegate_ratelimit::{Clock, KeyedLimiter, Quota, Rate, TscClock};

/// How often one thread asks in one measurement.
const TIMES: u64 = 1_000_000;
const KEYS: u64 = 100_000;
/// Of these the memory is counted.
const MANY: u64 = 1_000_000;

const RATE: u32 = 1_000_000;
const PLENTY: u32 = 1_000_000_000;

trait Keyed: Send + Sync {
    fn passes(&self, key: u64) -> bool;
}

impl<C: Clock> Keyed for KeyedLimiter<u64, C> {
    fn passes(&self, key: u64) -> bool {
        self.try_acquire(&key, 1).is_ok()
    }
}

type Governor<C> = governor::RateLimiter<
    u64,
    DashMapStateStore<u64>,
    C,
    NoOpMiddleware<<C as GovernorClock>::Instant>,
>;

impl<C: GovernorClock + Send + Sync> Keyed for Governor<C>
where
    C::Instant: Send + Sync,
{
    fn passes(&self, key: u64) -> bool {
        self.check_key(&key).is_ok()
    }
}

fn ours<C: Clock>(clock: C) -> KeyedLimiter<u64, C> {
    let quota = Quota::new(Rate::per_second(u64::from(RATE)), u64::from(PLENTY));
    KeyedLimiter::builder(quota).max_keys(1 << 21).clock(clock).build().unwrap()
}

fn governor_of<C: GovernorClock>(clock: C) -> Governor<C> {
    let [rate, burst] = [RATE, PLENTY].map(|n| NonZero::new(n).unwrap());
    let quota = GovernorQuota::per_second(rate).allow_burst(burst);
    governor::RateLimiter::dashmap_with_clock(quota, clock)
}

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let tsc = TscClock::new();
    let mut ratios = Vec::new();
    let third = 1.0 / 3.0;
    for (threads, keys, target) in
        [(1, 1, None), (2, 1, Some(third)), (1, KEYS, None), (2, KEYS, None)]
    {
        let named = |clock| {
            let keys = if keys == 1 { "one key".into() } else { format!("{keys} keys") };
            let threads = if threads == 1 { "1 thread" } else { "2 threads" };
            format!("a check of {keys}, {threads}, {clock}")
        };
        let rounds = plan.rounds(21);
        let by_tsc = Contest::new(named("TSC"), Cost::Cpu, rounds, || {
            all_pass(plan, threads, keys, || ours(tsc.clone()))
        })
        .against("governor", target, || {
            all_pass(plan, threads, keys, || governor_of(QuantaClock::default()))
        });
        ratios.extend(by_tsc.run());
        let by_system = Contest::new(named("system's clock"), Cost::Cpu, rounds, || {
            all_pass(plan, threads, keys, || ours(StdClock::default()))
        })
        .against("governor", target, || {
            all_pass(plan, threads, keys, || governor_of(MonotonicClock))
        });
        ratios.extend(by_system.run());
    }
    ratios.extend(memory(plan));
    ratios
}

/// All threads ask for the keys in the same order, from other keys on.
fn all_pass<L: Keyed>(plan: Plan, threads: usize, keys: u64, limiter: impl Fn() -> L) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    let done = together(threads, || {
        let limiter = limiter();
        assert!((0..keys).all(|key| limiter.passes(key)));
        let first = AtomicU64::new(0);
        move || {
            let start = first.fetch_add(keys / 2 + 1, Relaxed);
            (0..times)
                .map(|n| u64::from(black_box(&limiter).passes((start + n * 7_919) % keys)))
                .sum()
        }
    });
    assert_eq!(done.work, times * threads as u64, "not all passed that may");
    done
}

fn memory(plan: Plan) -> Vec<Ratio> {
    let keys = plan.size(MANY, MANY);
    let op = format!("bytes for each of {keys} keys that owe something");
    [("ours", Some(24.0)), ("governor", None)]
        .map(|(who, target)| {
            let live = allocated(&format!("keyed {who}"), keys).live;
            counted(op.clone(), who, live, target, keys)
        })
        .into()
}
