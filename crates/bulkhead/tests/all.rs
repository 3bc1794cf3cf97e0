//! Bulkheads from outside.

#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod all {
    mod adaptive;
    mod cancel;
    mod compartments;
    #[cfg(all(feature = "http", feature = "tower"))]
    mod http;
    mod keyed;
    mod known;
    #[cfg(feature = "tower")]
    mod layer;
    mod order;
    mod permits;
    mod told;
    mod waiting;
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_bulkhead::{AcquireError, Bulkhead, Permit};

const SECOND: Duration = Duration::from_secs(1);

type Boxed = Pin<Box<tidegate_bulkhead::Acquire>>;

fn bulkhead(capacity: u32) -> Bulkhead {
    Bulkhead::builder(capacity).build().unwrap()
}

/// Polls a future by nobody who could be woken.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// One that waits for `n`.
fn waiter(bulkhead: &Bulkhead, n: u32) -> Boxed {
    let mut waiter = Box::pin(bulkhead.acquire_many(n));
    assert!(poll(waiter.as_mut()).is_pending());
    waiter
}

/// What has become of it.
fn end(waiter: &mut Boxed) -> Result<Permit, AcquireError> {
    match poll(waiter.as_mut()) {
        Poll::Ready(end) => end,
        Poll::Pending => panic!("it waits"),
    }
}

/// Everything has come back.
fn assert_idle(bulkhead: &Bulkhead) {
    let stats = bulkhead.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.queued), (0, 0, 0));
    drop(bulkhead.try_acquire_many(bulkhead.capacity()).unwrap());
}
