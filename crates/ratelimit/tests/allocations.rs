//! A call through the layer that need not wait allocates nothing. It is alone in this program, since the allocator counts for
//! all threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{
    alloc::System,
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};
use tidegate_ratelimit::{Denied, KeyedLimiter, Quota, Rate, RateLimitLayer, RateLimiter};
use tower_layer::Layer;
use tower_service::Service;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 1000;

#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        ready(Ok(n))
    }
}

fn limiter(burst: u64) -> RateLimiter {
    RateLimiter::builder(Rate::per_day(1)).burst(burst).build().unwrap()
}

/// How many of the calls pass, and in how many of twenty turns something was allocated.
///
/// The thread that runs the tests allocates now and then as well, but not in turn after turn.
fn run(mut service: impl Service<u64, Response = u64>) -> (u64, usize) {
    const TURNS: u64 = 20;
    let turns: Vec<_> = (0..TURNS).map(|_| turn(&mut service, CALLS / TURNS)).collect();
    let passed = turns.iter().map(|(passed, _)| passed).sum();
    let dirty = turns.iter().filter(|(_, allocations)| *allocations > 0).count();
    (passed, if dirty > 1 { dirty } else { 0 })
}

/// How many of the calls pass, and how many allocations there are.
fn turn(service: &mut impl Service<u64, Response = u64>, calls: u64) -> (u64, usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let region = Region::new(COUNTED);
    let mut passed = 0;
    for n in 0..calls {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(n));
        let Poll::Ready(result) = call.poll(&mut cx) else { panic!("it has to wait") };
        passed += u64::from(result.is_ok_and(|said| said == n));
    }
    let change = region.change();
    (passed, change.allocations + change.reallocations)
}

#[test]
fn calls_allocate_nothing() {
    let enough = limiter(10 * CALLS);
    let some = limiter(CALLS / 2);
    let none = limiter(1);
    none.try_acquire(1).unwrap();
    let deny = |n: u64, _: Denied| n + 1;

    assert_eq!(run(RateLimitLayer::reject(enough.clone()).layer(Echo)), (CALLS, 0));
    assert_eq!(run(RateLimitLayer::reject(some).layer(Echo)), (CALLS / 2, 0));
    let costly = RateLimitLayer::reject(enough.clone()).cost(|n: &u64| n % 3).on_denied(deny);
    assert_eq!(run(costly.layer(Echo)), (CALLS, 0));
    let answered = RateLimitLayer::reject(none).on_denied(deny);
    assert_eq!(run(answered.layer(Echo)), (0, 0));
    assert_eq!(run(RateLimitLayer::wait(enough.clone()).layer(Echo)), (CALLS, 0));
    assert_eq!(run(RateLimitLayer::readiness(enough).layer(Echo)), (CALLS, 0));

    // A key that is new takes its place in the table, and after that nothing.
    let quota = Quota::new(Rate::per_day(1), CALLS / 2);
    let keyed = KeyedLimiter::builder(quota).build().unwrap();
    let of = |n: &u64| n % 2;
    assert_eq!(run(RateLimitLayer::wait(keyed.clone()).key(of).layer(Echo)), (CALLS, 0));
    assert_eq!(keyed.len(), 2);
    assert!((0..2).all(|key| keyed.try_acquire(&key, 1).is_err()), "all of them were taken");
    let keyed = KeyedLimiter::builder(quota).build().unwrap();
    assert_eq!(run(RateLimitLayer::reject(keyed).key(of).layer(Echo)), (CALLS, 0));

    // Several limits have a lock, and no allocation either.
    let also = Quota::new(Rate::per_hour(1), 10 * CALLS);
    let both = RateLimiter::builder(Rate::per_day(1)).burst(10 * CALLS).also(also).build().unwrap();
    assert_eq!(run(RateLimitLayer::reject(both.clone()).layer(Echo)), (CALLS, 0));
    assert_eq!(run(RateLimitLayer::wait(both.clone()).layer(Echo)), (CALLS, 0));
    assert_eq!(run(RateLimitLayer::readiness(both).layer(Echo)), (CALLS, 0));
}
