//! Layers that are in a wrong order are told, and those that are in the right one are not.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::convert::Infallible;
use tidegate_breaker::{Breaker, BreakerLayer, layer::misplaced};
use tidegate_bulkhead::{Bulkhead, BulkheadLayer};
use tidegate_ratelimit::{Rate, RateLimitLayer, RateLimiter};
use tower::{ServiceBuilder, service_fn};

async fn echo(n: u32) -> Result<u32, Infallible> {
    Ok(n)
}

fn within<S>(_service: &S) -> Option<&'static str> {
    misplaced::<S>()
}

fn bulkhead() -> Bulkhead {
    Bulkhead::builder(1).build().unwrap()
}

fn limiter() -> RateLimiter {
    RateLimiter::builder(Rate::per_second(1)).build().unwrap()
}

#[test]
fn what_waits_does_not_belong_inside_of_a_breaker() {
    let service = ServiceBuilder::new().layer(BulkheadLayer::wait(bulkhead()));
    let said = within(&service.service(service_fn(echo))).unwrap();
    assert!(said.starts_with("a bulkhead that waits inside of a breaker"), "{said}");
    let service = ServiceBuilder::new().layer(RateLimitLayer::wait(limiter()));
    let said = within(&service.service(service_fn(echo))).unwrap();
    assert!(said.starts_with("a limiter that waits inside of a breaker"), "{said}");
    let service = ServiceBuilder::new().retry(()).service(service_fn(echo));
    let said = within(&service).unwrap();
    assert!(said.starts_with("a retry inside of a breaker"), "{said}");
    let deeper = BreakerLayer::new(Breaker::builder("deeper").build().unwrap());
    let service = ServiceBuilder::new().layer(deeper).retry(()).service(service_fn(echo));
    assert!(within(&service).is_some());
}

#[test]
fn the_order_of_the_page_is_right() {
    let within_breaker = ServiceBuilder::new().timeout(std::time::Duration::from_secs(1));
    assert_eq!(within(&within_breaker.service(service_fn(echo))), None);
    // What turns away at once is no call: whoever classifies its errors may have it inside.
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::reject(limiter()))
        .layer(BulkheadLayer::reject(bulkhead()))
        .service(service_fn(echo));
    assert_eq!(within(&service), None);
}
