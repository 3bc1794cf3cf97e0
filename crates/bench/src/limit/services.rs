//! A service with the layers of rate limiters around it, which both programs measure.

use crate::echo::Echo;
use std::time::Duration;
use tidegate_ratelimit::{Rate, RateLimitLayer, RateLimiter};
use tower_layer::Layer;
use tower_resilience_ratelimiter::RateLimiterLayer;
use tower_service::Service;

const PLENTY: u32 = 1_000_000_000;

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
