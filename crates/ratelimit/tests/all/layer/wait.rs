//! Calls that wait.

use super::{SECOND, echo, flaky, limiter, nothing_is_lost, remaining};
use std::{cell::RefCell, convert::Infallible, pin::pin, rc::Rc, time::Duration};
use tidegate_core::{Cx, scope};
use tidegate_ratelimit::{
    AcquireError, Denied, Queue, Rate, RateLimitError, RateLimitLayer, RateLimiter, from_fn,
};
use tidegate_testkit::{FlakyPlan, Seed, advance, cancel_everywhere, settle};
use tokio::{task::JoinSet, time::Instant};
use tower::{Layer, Service, ServiceExt, service_fn};

#[tidegate_testkit::test]
async fn a_request_that_costs_nothing_does_not_wait_for_those_that_do() {
    let limiter = limiter(1, 1);
    let mut service = RateLimitLayer::wait(limiter).cost(|n: &u64| *n).layer(echo());
    service.ready().await.unwrap().call(1).await.unwrap();
    let waits = service.ready().await.unwrap().call(1);
    let start = Instant::now();
    service.ready().await.unwrap().call(0).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    waits.await.unwrap();
}

#[tidegate_testkit::test]
async fn a_request_that_costs_nothing_passes_any_limiter() {
    let closed = from_fn(|(): (), _, _| async { Err(Denied::Unavailable { retry_after: None }) });
    let mut service = RateLimitLayer::wait(closed).cost(|n: &u64| *n).layer(echo());
    service.ready().await.unwrap().call(0).await.unwrap();
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert_eq!(error, RateLimitError::Denied(Denied::Unavailable { retry_after: None }));
    service.ready().await.unwrap().call(0).await.unwrap();
}

/// The futures are polled in any order, and are served in the order of the calls.
#[tidegate_testkit::test]
async fn calls_are_served_in_their_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let inner = service_fn(|n: u64| {
        order.borrow_mut().push(n);
        std::future::ready(Ok::<_, Infallible>(n))
    });
    let mut service = RateLimitLayer::wait(limiter(10, 1)).layer(inner);
    let mut calls = Vec::new();
    for n in 0..20 {
        calls.push(service.ready().await.unwrap().call(n));
    }
    calls.reverse();
    let start = Instant::now();
    futures::future::join_all(calls).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1900));
    assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
}

/// It is the readied one that moves into the future; what stays behind is its clone.
#[tidegate_testkit::test]
async fn the_service_that_was_readied_is_the_one_that_is_called() {
    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(0.5, SECOND).build().unwrap();
    let inner = flaky(plan);
    let mut service = RateLimitLayer::wait(limiter(10, 2)).layer(inner.clone());
    let mut calls = JoinSet::new();
    for n in 0..20 {
        calls.spawn(service.ready().await.unwrap().call(n));
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.readied, counts.unused), (20, 20, 0));
}

#[tidegate_testkit::test]
async fn dropping_a_call_before_the_inner_service_was_called_gives_its_token_back() {
    let limiter = limiter(1, 1);
    let inner = echo();
    let mut service = RateLimitLayer::wait(limiter.clone()).layer(inner.clone());
    service.ready().await.unwrap().call(1).await.unwrap();
    let first = service.ready().await.unwrap().call(2);
    let mut second = pin!(service.ready().await.unwrap().call(3));
    assert!(futures::poll!(second.as_mut()).is_pending());
    assert_eq!(limiter.stats().waiting, 2);
    drop(first);
    assert_eq!(limiter.stats().waiting, 1);
    advance(SECOND).await;
    assert_eq!(second.as_mut().await.unwrap(), 3, "it need not wait for the other one");
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.unused), (2, 1));
}

#[test]
fn a_call_that_waits_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        || {
            let limiter = limiter(1, 1);
            limiter.try_acquire(1).unwrap();
            limiter
        },
        async |limiter: &RateLimiter| {
            let mut service = RateLimitLayer::wait(limiter.clone()).layer(echo());
            for n in 0..3 {
                service.ready().await.unwrap().call(n).await.unwrap();
            }
        },
        async |limiter: &RateLimiter, point| nothing_is_lost(limiter, point).await,
    );
    report.assert_covered(3);
}

#[tidegate_testkit::test]
async fn who_would_wait_for_too_long_is_told_so_at_once() {
    let limiter = limiter(1, 1);
    let layer = RateLimitLayer::wait(limiter.clone()).within(SECOND);
    let mut service = layer.layer(echo());
    service.ready().await.unwrap().call(1).await.unwrap();
    let waits = service.ready().await.unwrap().call(2);
    let start = Instant::now();
    let error = service.ready().await.unwrap().call(3).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(error.retry_after(), Some(2 * SECOND));
    assert_eq!(waits.await.unwrap(), 2);
    assert_eq!(start.elapsed(), SECOND);
}

#[tidegate_testkit::test]
async fn a_call_that_waits_is_told_when_it_has_become_impossible() {
    let limiter = limiter(1, 1);
    let mut service = RateLimitLayer::wait(limiter.clone()).layer(echo());
    service.ready().await.unwrap().call(1).await.unwrap();
    let waits = service.ready().await.unwrap().call(2);
    let mut waits = pin!(waits);
    assert!(futures::poll!(waits.as_mut()).is_pending());
    limiter.set_rate(Rate::ZERO).unwrap();
    let error = waits.await.unwrap_err();
    assert!(matches!(error, RateLimitError::Denied(Denied::Waiting(AcquireError::Never { .. }))));
    assert_eq!(service.get_ref().counts().calls, 1);
}

/// A place in the line is that of the call, not of its first poll, and is served on time.
#[tidegate_testkit::test]
async fn a_call_that_is_not_polled_holds_up_nobody() {
    let limiter = limiter(1, 1);
    let mut service = RateLimitLayer::wait(limiter.clone()).layer(echo());
    service.ready().await.unwrap().call(1).await.unwrap();
    let unpolled = service.ready().await.unwrap().call(2);
    let start = Instant::now();
    service.ready().await.unwrap().call(3).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
    settle().await;
    unpolled.await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tidegate_testkit::test]
async fn a_call_that_waits_is_seen() {
    let limiter =
        RateLimiter::builder(Rate::per_second(1)).burst(1).name("billing").build().unwrap();
    limiter.try_acquire(1).unwrap();
    let job = scope("app", async |cx: Cx<Infallible>| {
        let service = RateLimitLayer::wait(limiter).layer(echo());
        cx.spawn("charge", async {
            service.oneshot(1).await.unwrap();
            Ok(())
        });
        settle().await;
        let text = cx.tree().to_string();
        assert!(text.contains("tokens") && text.contains("billing"), "{text}");
        Ok(())
    });
    job.await.unwrap();
}

/// Ours first, theirs after it, and nothing is kept of the one if the other refuses.
fn both(ours: &RateLimiter, theirs: &RateLimiter) -> impl Queue<()> + Clone + use<> {
    let (ours, theirs) = (ours.clone(), theirs.clone());
    from_fn(move |(): (), cost, within: Option<Duration>| {
        let (ours, theirs) = (ours.clone(), theirs.clone());
        async move {
            let permit = ours.acquire_within(cost, within.unwrap_or(Duration::MAX)).await?;
            if let Err(denied) = theirs.try_acquire(cost) {
                permit.refund();
                return Err(Denied::from(denied));
            }
            Ok(())
        }
    })
}

#[tidegate_testkit::test]
async fn a_closure_is_waited_for_as_a_limiter_is() {
    let ours = limiter(1, 1);
    let theirs = RateLimiter::builder(Rate::per_hour(1)).burst(2).build().unwrap();
    let layer = RateLimitLayer::wait(both(&ours, &theirs)).within(SECOND).cost(|n: &u64| *n);
    let mut service = layer.layer(echo());
    let start = Instant::now();
    service.ready().await.unwrap().call(1).await.unwrap();
    service.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    let denied = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(denied.retry_after() > Some(SECOND));
    assert_eq!(remaining(&ours), 1, "that of the other was given back");
    let calls = service.get_ref().counts().calls;
    assert_eq!(calls, 2);
    ours.try_acquire(1).unwrap();
    let late = ours.reserve(1).unwrap();
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(matches!(error, RateLimitError::Denied(Denied::Waiting(AcquireError::TooLate { .. }))));
    drop(late);
}

#[test]
fn a_closure_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        || {
            let limiters = (limiter(1, 1), limiter(1, 100));
            limiters.0.try_acquire(1).unwrap();
            limiters
        },
        async |(ours, theirs): &(RateLimiter, RateLimiter)| {
            let mut service = RateLimitLayer::wait(both(ours, theirs)).layer(echo());
            for n in 0..3 {
                service.ready().await.unwrap().call(n).await.unwrap();
            }
        },
        async |(ours, _), point| nothing_is_lost(ours, point).await,
    );
    report.assert_covered(3);
}
