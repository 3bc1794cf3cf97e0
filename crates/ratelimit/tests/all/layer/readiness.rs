//! Readiness that takes a token.

use super::{SECOND, echo, flaky, limiter, nothing_is_lost, poll_ready, ready, remaining};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};
use tidegate_ratelimit::{AcquireError, Denied, Rate, RateLimitError, RateLimitLayer, RateLimiter};
use tidegate_testkit::{FlakyError, FlakyPlan, Seed, advance, cancel_everywhere};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, buffer::Buffer};

#[tidegate_testkit::test]
async fn poll_ready_reserves_exactly_one() {
    let limiter = limiter(1, 3);
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    for _ in 0..10 {
        ready(&mut service).await.unwrap();
        assert_eq!(remaining(&limiter), 2);
    }
    assert_eq!(service.call(7).await.unwrap(), 7);
    assert_eq!(remaining(&limiter), 2, "the call spends what was taken, and no more");
    ready(&mut service).await.unwrap();
    assert_eq!(remaining(&limiter), 1);
}

/// One that is polled again and again while it waits keeps its place in the line.
#[tidegate_testkit::test]
async fn poll_ready_waits_in_one_place() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let layer = RateLimitLayer::readiness(limiter.clone());
    let (mut first, mut second) = (layer.layer(echo()), layer.layer(echo()));
    for _ in 0..10 {
        assert!(poll_ready(&mut first).is_pending());
        assert!(poll_ready(&mut second).is_pending());
    }
    assert_eq!(limiter.stats().waiting, 2);
    let start = Instant::now();
    ready(&mut first).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    ready(&mut second).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tidegate_testkit::test]
async fn a_clone_starts_unreserved() {
    let limiter = limiter(1, 3);
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    let mut clone = service.clone();
    assert_eq!(remaining(&limiter), 2);
    let called = catch_unwind(AssertUnwindSafe(|| drop(clone.call(1))));
    let message = *called.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("takes the token"), "it is the layer that says so: {message}");
    ready(&mut clone).await.unwrap();
    assert_eq!(remaining(&limiter), 1);
    assert_eq!((service.call(1).await.unwrap(), clone.call(2).await.unwrap()), (1, 2));
}

#[tidegate_testkit::test]
async fn dropping_a_ready_service_gives_its_token_back() {
    let limiter = limiter(1, 3);
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    drop(service.clone());
    assert_eq!(remaining(&limiter), 2, "the token is not the clone's");
    drop(service);
    assert_eq!(remaining(&limiter), 3);
}

#[tidegate_testkit::test]
async fn taking_the_layer_off_a_ready_service_gives_its_token_back() {
    let limiter = limiter(1, 3);
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    let mut inner = service.into_inner();
    assert_eq!(remaining(&limiter), 3);
    assert_eq!(inner.call(7).await.unwrap(), 7, "and it is ready still");
}

#[tidegate_testkit::test]
async fn dropping_a_service_that_waits_leaves_the_line() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let layer = RateLimitLayer::readiness(limiter.clone());
    let (mut first, mut second) = (layer.layer(echo()), layer.layer(echo()));
    assert!(poll_ready(&mut first).is_pending());
    assert!(poll_ready(&mut second).is_pending());
    drop(first);
    let start = Instant::now();
    ready(&mut second).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

/// A token that came while nobody looked is not lost, either.
#[tidegate_testkit::test]
async fn dropping_a_service_that_has_become_ready_unseen_gives_its_token_back() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    advance(SECOND).await;
    assert_eq!(remaining(&limiter), 0, "it was taken for the service");
    drop(service);
    assert_eq!(remaining(&limiter), 1);
}

#[test]
fn waiting_for_readiness_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        || {
            let limiter = limiter(1, 1);
            limiter.try_acquire(1).unwrap();
            limiter
        },
        async |limiter: &RateLimiter| {
            let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
            for n in 0..3 {
                service.ready().await.unwrap().call(n).await.unwrap();
            }
        },
        async |limiter: &RateLimiter, point| nothing_is_lost(limiter, point).await,
    );
    report.assert_covered(3);
}

#[tidegate_testkit::test]
async fn an_inner_service_that_is_not_ready_costs_no_token() {
    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(1.0, SECOND).build().unwrap();
    let limiter = limiter(1, 3);
    let layer = RateLimitLayer::readiness(limiter.clone());
    let mut services: Vec<_> = (0..9).map(|_| layer.layer(flaky(plan.clone()))).collect();
    for service in &mut services {
        assert!(poll_ready(service).is_pending());
    }
    assert_eq!((remaining(&limiter), limiter.stats().waiting), (3, 0));
    ready(&mut services[0]).await.unwrap();
    assert_eq!(remaining(&limiter), 2);
}

#[tidegate_testkit::test]
async fn an_error_of_the_inner_service_gives_the_token_back() {
    /// Ready once, and broken from then on.
    #[derive(Default)]
    struct Breaks(u64);
    impl Service<u64> for Breaks {
        type Response = u64;
        type Error = &'static str;
        type Future = std::future::Ready<Result<u64, &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            self.0 += 1;
            Poll::Ready(if self.0 == 1 { Ok(()) } else { Err("broken") })
        }
        fn call(&mut self, _: u64) -> Self::Future {
            unreachable!("it is not ready")
        }
    }

    let limiter = limiter(1, 3);
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(Breaks::default());
    ready(&mut service).await.unwrap();
    assert_eq!(remaining(&limiter), 2);
    assert_eq!(ready(&mut service).await, Err(RateLimitError::Inner("broken")));
    assert_eq!(remaining(&limiter), 3);
    let called = catch_unwind(AssertUnwindSafe(|| drop(service.call(1))));
    assert!(called.is_err(), "it is not ready any more");
}

#[tidegate_testkit::test]
async fn a_call_before_the_token_is_there_panics_and_gives_up_its_place() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).is_err());
    assert_eq!(limiter.stats().waiting, 0);
    assert_eq!(service.get_ref().counts().calls, 0);
}

#[tidegate_testkit::test]
async fn a_token_that_never_comes_is_an_error_of_the_call() {
    let never = RateLimiter::builder(Rate::ZERO).burst(1).build().unwrap();
    never.try_acquire(1).unwrap();
    let mut service = RateLimitLayer::readiness(never).layer(echo());
    ready(&mut service).await.unwrap();
    let error = service.call(1).await.unwrap_err();
    assert_eq!(error.retry_after(), None);
    assert!(matches!(error, RateLimitError::Denied(Denied::Waiting(AcquireError::Never { .. }))));
    assert_eq!(service.get_ref().counts().calls, 0);
}

/// What tower's `Buffer` takes for the end of a service is only what is.
#[tidegate_testkit::test]
async fn a_line_that_is_full_is_not_the_end_of_a_buffered_service() {
    let builder = RateLimiter::builder(Rate::per_second(1)).burst(1).max_waiters(1);
    let limiter = builder.build().unwrap();
    let layer = RateLimitLayer::readiness(limiter.clone());
    let mut service = Buffer::new(layer.layer(echo()), 4);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
    let other = limiter.reserve(1).unwrap();
    let error = service.ready().await.unwrap().call(2).await.unwrap_err();
    let error = error.downcast::<RateLimitError<FlakyError<Infallible>>>().unwrap();
    assert!(matches!(*error, RateLimitError::Denied(Denied::Waiting(AcquireError::Full { .. }))));
    drop(other);
    let start = Instant::now();
    assert_eq!(service.ready().await.unwrap().call(3).await.unwrap(), 3);
    assert_eq!(start.elapsed(), SECOND);
}

/// It stays ready once it was: the call asks anew, and passes if it can.
#[tidegate_testkit::test]
async fn a_service_that_was_denied_long_ago_passes_or_is_denied_anew() {
    let builder = RateLimiter::builder(Rate::per_second(1)).burst(1).max_waiters(0);
    let limiter = builder.build().unwrap();
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    limiter.try_acquire(1).unwrap();
    assert!(poll_ready(&mut service).is_ready());
    advance(SECOND / 2).await;
    let mut other = service.clone();
    assert!(poll_ready(&mut other).is_ready());
    let denied = service.call(1).await.unwrap_err();
    assert_eq!(denied.retry_after(), Some(SECOND / 2));
    advance(SECOND / 2).await;
    assert!(poll_ready(&mut other).is_ready());
    assert_eq!(remaining(&limiter), 1, "it has not taken it");
    assert_eq!(other.call(2).await.unwrap(), 2);
    assert_eq!(remaining(&limiter), 0);
}

/// The place in the line that has failed is given up: the next one is new.
#[tidegate_testkit::test]
async fn readiness_that_has_failed_can_be_asked_for_again() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut service = RateLimitLayer::readiness(limiter.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    limiter.set_rate(Rate::ZERO).unwrap();
    ready(&mut service).await.unwrap();
    assert!(service.call(1).await.is_err());
    limiter.set_rate(Rate::per_second(1)).unwrap();
    let start = Instant::now();
    ready(&mut service).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}
