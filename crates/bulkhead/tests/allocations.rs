//! Permits, and calls through the layer, that need not wait allocate nothing. It is alone in this program, since the
//! allocator counts for all threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{
    alloc::System,
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};
use tidegate_bulkhead::{
    Bulkhead, BulkheadLayer, Compartments, KeyedBulkhead, Permit, Permitted, Rejected, Vegas,
};
use tower_layer::Layer;
use tower_service::Service;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u32 = 1000;
const TURNS: u32 = 20;

#[derive(Clone)]
struct Echo;

impl Service<u32> for Echo {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u32) -> Self::Future {
        ready(Ok(n))
    }
}

fn bulkhead(capacity: u32) -> Bulkhead {
    Bulkhead::builder(capacity).build().unwrap()
}

/// In how many of twenty turns something was allocated.
///
/// The thread that runs the tests allocates now and then as well, but not in turn after turn.
fn dirty(mut act: impl FnMut(u32)) -> usize {
    let turn = |turn| {
        let region = Region::new(COUNTED);
        for n in 0..CALLS / TURNS {
            act(turn * (CALLS / TURNS) + n);
        }
        let change = region.change();
        change.allocations + change.reallocations > 0
    };
    let dirty = (0..TURNS).map(turn).filter(|is_dirty| *is_dirty).count();
    if dirty > 1 { dirty } else { 0 }
}

/// How many of the calls enter, and in how many turns something was allocated.
fn run<T>(mut service: impl Service<u32, Response = T>, said: impl Fn(T) -> u32) -> (u32, usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut entered = 0;
    let dirty = dirty(|n| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(n));
        let Poll::Ready(result) = call.poll(&mut cx) else { panic!("it has to wait") };
        entered += u32::from(result.is_ok_and(|response| said(response) == n));
    });
    (entered, dirty)
}

#[test]
fn nothing_is_allocated() {
    let one = bulkhead(1);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(dirty(|_| drop(one.try_acquire().unwrap())), 0);
    assert_eq!(dirty(|_| drop(one.try_acquire_ref(1).unwrap())), 0);
    assert_eq!(dirty(|_| assert!(pin!(one.acquire()).poll(&mut cx).is_ready())), 0);

    // A limit that finds itself keeps sums alone.
    let adaptive = Bulkhead::builder(5).limit(Vegas::new()).build().unwrap();
    assert_eq!(dirty(|_| adaptive.try_acquire().unwrap().success()), 0);

    let itself = |n: u32| n;
    assert_eq!(run(BulkheadLayer::reject(one.clone()).layer(Echo), itself), (CALLS, 0));
    assert_eq!(run(BulkheadLayer::wait(one.clone()).layer(Echo), itself), (CALLS, 0));
    assert_eq!(run(BulkheadLayer::readiness(one.clone()).layer(Echo), itself), (CALLS, 0));
    let inside = |response: Permitted<u32>| *response;
    let carrying = BulkheadLayer::readiness(one.clone()).in_response();
    assert_eq!(run(carrying.layer(Echo), inside), (CALLS, 0));
    let by_name = Compartments::builder().add("one", 1).build().unwrap();
    let by_name = BulkheadLayer::reject(by_name).key(|_: &u32| "one");
    assert_eq!(run(by_name.layer(Echo), itself), (CALLS, 0));

    // A key that is in use; a new one is put into a table.
    let by_key = KeyedBulkhead::<u32>::builder(2).build().unwrap();
    let uses = by_key.try_acquire(&1).unwrap();
    assert_eq!(dirty(|_| drop(by_key.try_acquire(&1).unwrap())), 0);
    drop(uses);

    let held = one.try_acquire().unwrap();
    assert_eq!(dirty(|_| assert!(one.try_acquire().is_err())), 0);
    let other = |n: u32, _: Rejected| n + 1;
    let turned_away = BulkheadLayer::reject(one.clone()).on_rejected(other);
    assert_eq!(run(turned_away.layer(Echo), itself), (0, 0));
    drop(held);

    // Who waits has a place in tables that are there once somebody has waited.
    let mut held: Option<Permit> = None;
    let mut waits = |_| {
        held = Some(one.try_acquire().unwrap());
        let mut waits = pin!(one.acquire());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        drop(held.take());
        assert!(waits.as_mut().poll(&mut cx).is_ready());
    };
    waits(0);
    assert_eq!(dirty(waits), 0);
}
