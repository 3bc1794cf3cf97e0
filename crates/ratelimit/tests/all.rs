//! Limiters from outside.

#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod all {
    #[cfg(feature = "tower")]
    mod admission;
    mod cancel;
    #[cfg(feature = "http")]
    mod http;
    mod keyed;
    #[cfg(feature = "tower")]
    mod keyed_layer;
    mod keyed_model;
    mod keyed_reservations;
    #[cfg(feature = "tower")]
    mod layer;
    mod live;
    mod order;
    mod proof;
    mod refunds;
    mod refusals;
    mod reservations;
    mod runtimes;
    #[cfg(feature = "stream")]
    mod stream;
    mod told;
    mod waiting;
    mod windows;
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{ManualClock, Rate, RateLimiter, RateLimiterBuilder};

const SECOND: Duration = Duration::from_secs(1);

/// One token a second, on a clock of its own.
fn manual() -> (RateLimiterBuilder<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::builder(Rate::per_second(1)).clock(clock.clone()), clock)
}

/// Polls a future by nobody who could be woken.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
