//! Breakers from outside.

#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod all {
    mod basics;
    mod cancel;
    mod complaints;
    mod configs;
    mod defects;
    mod keyed;
    #[cfg(feature = "tower")]
    mod layer;
    #[cfg(not(miri))]
    mod pages;
    mod proof;
    mod told;
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_breaker::{Breaker, BreakerBuilder, HalfOpen, ManualClock, Recorded};
use tidegate_core::{Backoff, Jitter};

const SECOND: Duration = Duration::from_secs(1);

/// Waits ten seconds when it opens, then twice that each time, on a clock of its own.
fn manual() -> (BreakerBuilder<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (patient().clock(clock.clone()), clock)
}

/// The same on tokio's clock.
fn patient() -> BreakerBuilder {
    let wait = Backoff::exponential(10 * SECOND).max(1000 * SECOND).jitter(Jitter::None);
    Breaker::builder("db").open_wait(wait).half_open(HalfOpen::probes(3).lease(5 * SECOND))
}

/// So many calls that fail, each of which is to count.
fn fail<C: tidegate_breaker::Clock>(breaker: &Breaker<C>, calls: usize) {
    for n in 0..calls {
        assert_eq!(breaker.try_enter().unwrap().failure(), Recorded::Counted, "{n} of {calls}");
    }
}

/// So many calls that succeed, each of which is to count.
fn succeed<C: tidegate_breaker::Clock>(breaker: &Breaker<C>, calls: usize) {
    for n in 0..calls {
        assert_eq!(breaker.try_enter().unwrap().success(), Recorded::Counted, "{n} of {calls}");
    }
}

/// Polls a future by nobody who could be woken.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
