//! Calls through the layers of rate limiters, and keys that owe something.

#[path = "../limit/services.rs"]
mod services;

use crate::echo;
use governor::{Quota as GovernorQuota, clock::MonotonicClock};
use std::{any::Any, num::NonZero};
use tidegate_ratelimit::{KeyedLimiter, Quota, Rate};

pub(crate) fn layer_ours(times: u64) -> Box<dyn Any> {
    assert_eq!(echo::call(&mut services::ours(), times), times);
    Box::new(())
}

pub(crate) fn layer_tower_resilience(times: u64) -> Box<dyn Any> {
    assert_eq!(echo::call(&mut services::tower_resilience(), times), times);
    Box::new(())
}

pub(crate) fn keyed_ours(keys: u64) -> Box<dyn Any> {
    let quota = Quota::new(Rate::per_hour(1), 10);
    let limiter = KeyedLimiter::builder(quota).max_keys(1 << 21).build().unwrap();
    assert!((0..keys).all(|key| limiter.try_acquire(&key, 1).is_ok()));
    assert_eq!(limiter.len() as u64, keys);
    Box::new(limiter)
}

pub(crate) fn keyed_governor(keys: u64) -> Box<dyn Any> {
    let quota = GovernorQuota::per_hour(NonZero::new(1).unwrap());
    let limiter = governor::RateLimiter::dashmap_with_clock(quota, MonotonicClock);
    assert!((0..keys).all(|key| limiter.check_key(&key).is_ok()));
    assert_eq!(limiter.len() as u64, keys);
    Box::new(limiter)
}
