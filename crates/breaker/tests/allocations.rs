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
    Breaker, BreakerBuilder, BreakerLayer, HalfOpen, Handle, KeyedBreaker, State, Trip, Window,
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

/// How often a thousand calls allocate, of what `make` makes anew.
///
/// It is the least of three counts. The thread that runs the tests allocates while it prepares to wait for this one, and what
/// is made for the whole process is made once, such as the places that `tracing` knows; but calls do the same each time: one
/// that allocates, be it the last of the thousand, does so in all three.
fn allocations<F: FnMut(u64)>(make: impl Fn() -> F) -> usize {
    let counts = (0..3).map(|_| {
        let mut call = make();
        let region = Region::new(COUNTED);
        (0..1000).for_each(&mut call);
        let change = region.change();
        change.allocations + change.reallocations
    });
    counts.min().unwrap()
}

fn builder() -> BreakerBuilder {
    let time = Window::time(Duration::from_secs(60), 60);
    Breaker::builder("db").window(time).half_open(HalfOpen::probes(1000))
}

fn check(make: impl Fn() -> Breaker) {
    let core = allocations(|| {
        let breaker = make();
        move |n| {
            let Ok(ticket) = breaker.try_enter() else { return };
            let _ = if n % 10 == 0 { ticket.failure() } else { ticket.success() };
        }
    });
    let future = allocations(|| {
        let breaker = make();
        move |n| {
            let call = pin!(breaker.call(ready(if n % 10 == 0 { Err(n) } else { Ok(n) })));
            assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    });
    let layer = allocations(|| {
        let answer = |n: u64, _| Ok::<u64, u64>(n);
        let mut service = BreakerLayer::new(make()).fallback(answer).layer(Echo);
        move |n| {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut cx).is_ready());
            let call = pin!(service.call(n));
            assert!(call.poll(&mut cx).is_ready());
        }
    });
    assert_eq!((core, future, layer), (0, 0, 0), "{}", make().state());
}

#[test]
fn calls_allocate_nothing() {
    check(|| builder().build().unwrap());
    let slow = Trip::failure_rate(0.9).or(Trip::slow_rate(0.9, Duration::from_secs(1)));
    check(|| builder().window(Window::count(100)).trip(slow).build().unwrap());
    check(|| {
        let open = builder().build().unwrap();
        while open.state() == State::Closed {
            open.try_enter().unwrap().failure();
        }
        open
    });
    // Half-open, for as many calls as there are probes.
    let probes = allocations(|| {
        let wait = Backoff::constant(Duration::ZERO);
        let builder = builder().open_wait(wait).trip(Trip::consecutive_failures(1));
        let half_open = builder.build().unwrap();
        half_open.try_enter().unwrap().failure();
        move |_| {
            let ticket = half_open.try_enter().unwrap();
            assert!(ticket.is_probe());
            ticket.ignore();
            assert_eq!(half_open.state(), State::HalfOpen);
        }
    });
    assert_eq!(probes, 0);

    // One key has a breaker, and the others get no place.
    let keyed = allocations(|| {
        let keys = KeyedBreaker::<u64>::builder("keys").max_keys(1).build().unwrap();
        keys.breaker(&0).try_enter().unwrap().failure();
        move |n| {
            keys.breaker(&n).try_enter().unwrap().success();
            let stats = keys.stats();
            assert_eq!((stats.keys, stats.overflowed), (1, n));
        }
    });
    assert_eq!(keyed, 0);

    let handled = |does: fn(&Handle)| {
        check(|| {
            let breaker = builder().build().unwrap();
            does(&breaker.handle());
            breaker
        });
    };
    handled(Handle::force_closed);
    handled(Handle::disable);
    handled(Handle::metrics_only);
    handled(Handle::force_open);
}
