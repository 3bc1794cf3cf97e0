//! Calls allocate nothing, by the core or through the layer. It is alone in this program, since the allocator
//! counts for all threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{
    alloc::System,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_breaker::{
    Breaker, BreakerBuilder, BreakerLayer, HalfOpen, KeyedBreaker, State, Trip, Window,
};
use tidegate_core::Backoff;
use tower_layer::Layer;
use tower_service::Service;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = u64;
    type Future = Ready<Result<u64, u64>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), u64>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        ready(if n % 10 == 0 { Err(n) } else { Ok(n) })
    }
}

/// In how many of twenty turns of fifty calls something was allocated.
///
/// The thread that runs the tests allocates now and then as well, but not in turn after turn.
fn dirty_turns(mut call: impl FnMut(u64)) -> usize {
    let dirty = (0..20).filter(|_| {
        let region = Region::new(COUNTED);
        (0..50).for_each(&mut call);
        let change = region.change();
        change.allocations + change.reallocations > 0
    });
    let dirty = dirty.count();
    if dirty > 1 { dirty } else { 0 }
}

fn builder() -> BreakerBuilder {
    let time = Window::time(Duration::from_secs(60), 60);
    Breaker::builder("db").window(time).half_open(HalfOpen::probes(1000))
}

fn check(breaker: &Breaker) {
    let core = dirty_turns(|n| {
        let Ok(ticket) = breaker.try_enter() else { return };
        let _ = if n % 10 == 0 { ticket.failure() } else { ticket.success() };
    });
    let mut cx = Context::from_waker(Waker::noop());
    let future = dirty_turns(|n| {
        let call = pin!(breaker.call(ready(if n % 10 == 0 { Err(n) } else { Ok(n) })));
        assert!(call.poll(&mut cx).is_ready());
    });
    let answer = |n: u64, _| Ok::<u64, u64>(n);
    let mut service = BreakerLayer::new(breaker.clone()).fallback(answer).layer(Echo);
    let layer = dirty_turns(|n| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(n));
        assert!(call.poll(&mut cx).is_ready());
    });
    assert_eq!((core, future, layer), (0, 0, 0), "{}", breaker.state());
}

#[test]
fn calls_allocate_nothing() {
    check(&builder().build().unwrap());
    let slow = Trip::failure_rate(0.9).or(Trip::slow_rate(0.9, Duration::from_secs(1)));
    check(&builder().window(Window::count(100)).trip(slow).build().unwrap());

    let open = builder().build().unwrap();
    while open.state() == State::Closed {
        open.try_enter().unwrap().failure();
    }
    check(&open);
    // Half-open, for as many calls as there are probes.
    let wait = Backoff::constant(Duration::ZERO);
    let half_open = builder().open_wait(wait).trip(Trip::consecutive_failures(1)).build().unwrap();
    half_open.try_enter().unwrap().failure();
    let probes = dirty_turns(|_| {
        let ticket = half_open.try_enter().unwrap();
        assert!(ticket.is_probe());
        ticket.ignore();
    });
    assert_eq!((probes, half_open.state()), (0, State::HalfOpen));

    // One key has a breaker, and the others get no place.
    let keys = KeyedBreaker::<u64>::builder("keys").max_keys(1).build().unwrap();
    keys.breaker(&0).try_enter().unwrap().failure();
    let keyed = dirty_turns(|n| {
        keys.breaker(&n).try_enter().unwrap().success();
    });
    assert_eq!((keyed, keys.stats().keys), (0, 1));
    assert!(keys.stats().overflowed > 900);

    let forced = builder().build().unwrap();
    forced.handle().force_closed();
    check(&forced);
    forced.handle().disable();
    check(&forced);
    forced.handle().force_open();
    check(&forced);
}
