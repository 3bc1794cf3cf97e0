//! Who waits is served in order, in time, and by nobody's leave.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{Rate, RateLimiter};
use tokio::time::Instant;

#[tidegate_testkit::test]
async fn tokens_come_back_at_the_rate() {
    let limiter = RateLimiter::builder(Rate::per_second(10)).burst(3).build().unwrap();
    let start = Instant::now();
    for _ in 0..13 {
        limiter.acquire(1).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

/// The task that waits second is the one that would have to poll the first.
#[tidegate_testkit::test]
async fn a_waiter_that_is_not_polled_holds_up_nobody() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut first = pin!(limiter.acquire(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    limiter.acquire(1).await.unwrap();
    let Poll::Ready(passed) = first.as_mut().poll(&mut cx) else { panic!("it was served") };
    passed.unwrap();
}

use std::future::Future;
