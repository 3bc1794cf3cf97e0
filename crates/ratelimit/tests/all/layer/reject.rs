//! Calls that pass or are refused.

use super::{SECOND, echo, limiter, remaining};
use tidegate_ratelimit::{RateLimitError, RateLimitLayer, TryAcquireError};
use tidegate_testkit::advance;
use tower::{Layer, Service, ServiceExt};

/// A limit per connection is no limit: of 1500 requests at once, each to a clone of its own, five pass.
#[tidegate_testkit::test]
async fn clones_share_one_limit() {
    let limiter = limiter(5, 5);
    let layer = RateLimitLayer::reject(limiter.clone());
    let (one, other) = (layer.layer(echo()), layer.clone().layer(echo()));
    let mut passed = 0;
    for n in 0..1500 {
        let service = if n % 2 == 0 { one.clone() } else { other.clone() };
        passed += u64::from(service.oneshot(n).await.is_ok());
    }
    assert_eq!(passed, 5);
    advance(SECOND).await;
    let mut passed = 0;
    for n in 0..1500 {
        passed += u64::from(one.clone().oneshot(n).await.is_ok());
    }
    assert_eq!(passed, 5);
}

#[tidegate_testkit::test]
async fn a_call_that_is_denied_does_not_reach_the_inner_service() {
    let mut service = RateLimitLayer::reject(limiter(1, 1)).layer(echo());
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
    let error = service.ready().await.unwrap().call(2).await.unwrap_err();
    let denied = TryAcquireError::Denied { retry_after: SECOND, remaining: 0 };
    assert_eq!(error, RateLimitError::Denied(denied.into()));
    assert_eq!(error.retry_after(), Some(SECOND));
    let counts = service.get_ref().counts();
    assert_eq!((counts.calls, counts.readied, counts.unused), (1, 2, 0));
    // It has been ready ever since, and is called now.
    advance(SECOND).await;
    assert_eq!(service.ready().await.unwrap().call(3).await.unwrap(), 3);
    assert_eq!(service.get_ref().counts().readied, 2);
}

#[tidegate_testkit::test]
async fn requests_cost_what_they_cost() {
    let limiter = limiter(1, 10);
    let layer = RateLimitLayer::reject(limiter.clone()).cost(|n: &u64| *n);
    let mut service = layer.layer(echo());
    for (cost, left) in [(4, 6), (0, 6), (6, 0), (0, 0)] {
        assert_eq!(service.ready().await.unwrap().call(cost).await.unwrap(), cost);
        assert_eq!(remaining(&limiter), left);
    }
    assert!(service.ready().await.unwrap().call(1).await.is_err());
    let error = service.ready().await.unwrap().call(11).await.unwrap_err();
    assert_eq!(
        error,
        RateLimitError::Denied(
            TryAcquireError::Never { cost: 11, possible: 10, remaining: 0 }.into()
        )
    );
}
