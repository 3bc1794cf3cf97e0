//! A service and the layers around it, which both programs measure.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{Rate, RateLimitLayer, RateLimiter};
use tower_layer::Layer;
use tower_resilience_ratelimiter::RateLimiterLayer;
use tower_service::Service;

const PLENTY: u32 = 1_000_000_000;

/// Is always ready, and answers at once: all that is measured is the layer.
#[derive(Clone)]
pub(crate) struct Echo;

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

pub(crate) fn ours() -> impl Service<u64, Response = u64> + Clone {
    let limiter = RateLimiter::builder(Rate::per_second(u64::from(PLENTY)));
    let limiter = limiter.burst(u64::from(PLENTY)).build().unwrap();
    RateLimitLayer::reject(limiter).layer(Echo)
}

pub(crate) fn tower_resilience() -> impl Service<u64, Response = u64> + Clone {
    let layer = RateLimiterLayer::builder()
        .limit_for_period(PLENTY as usize)
        .refresh_period(Duration::from_secs(1))
        .timeout_duration(Duration::ZERO);
    layer.build().unwrap().layer(Echo)
}

/// Calls it so many times, and counts the answers.
pub(crate) fn call(service: &mut impl Service<u64, Response = u64>, times: u64) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let call = |n| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(n));
        u64::from(matches!(call.poll(&mut cx), Poll::Ready(Ok(said)) if said == n))
    };
    (0..times).map(call).sum()
}
