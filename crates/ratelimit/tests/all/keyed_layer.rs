//! A layer that waits for keys keeps the contract of one that waits for a single limit. Inside is a service
//! that panics if it is called without having been ready.

use crate::SECOND;
use std::{cell::RefCell, convert::Infallible, future::Ready, pin::pin, rc::Rc, time::Duration};
use tidegate_core::{Cx, scope};
use tidegate_ratelimit::{
    AcquireError, Denied, KeyedLimiter, KeyedReservation, OnFull, Queued, Quota, Rate,
    RateLimitError, RateLimitLayer, WaitFuture, layer::Fail,
};
use tidegate_testkit::{FlakyPlan, FlakyService, Seed, advance, cancel_everywhere, settle};
use tokio::{task::JoinSet, time::Instant};
use tower::{Layer, Service, ServiceExt, service_fn};

/// A key, and what is returned.
type Request = (u8, u64);

fn limiter(burst: u64) -> KeyedLimiter<u8> {
    KeyedLimiter::builder(Quota::new(Rate::per_second(1), burst)).build().unwrap()
}

fn key((key, _): &Request) -> u8 {
    *key
}

fn answer((_, n): Request) -> Ready<Result<u64, Infallible>> {
    std::future::ready(Ok(n))
}

type Inner = FlakyService<tower::util::ServiceFn<fn(Request) -> Ready<Result<u64, Infallible>>>>;

fn inner() -> Inner {
    flaky(FlakyPlan::seeded(Seed::new(1)).build().unwrap())
}

fn flaky(plan: FlakyPlan) -> Inner {
    FlakyService::new(service_fn(answer as fn(Request) -> _), plan)
}

/// Its future can be named, and held in a struct of one's own, without a box.
struct Named<S: Service<Request>> {
    call: WaitFuture<S, Request, Queued<KeyedReservation<u8>>, Fail, RateLimitError<S::Error>>,
}

#[tidegate_testkit::test]
async fn the_future_of_a_call_that_waits_for_a_key_has_a_name() {
    let mut service = RateLimitLayer::wait(limiter(1)).key(key).layer(inner());
    for n in 0..2 {
        let named = Named::<Inner> { call: service.ready().await.unwrap().call((1, n)) };
        assert_eq!(named.call.await.unwrap(), n);
    }
}

#[tidegate_testkit::test]
async fn calls_are_served_in_the_order_of_each_key() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = Instant::now();
    let inner = service_fn(|request: Request| {
        order.borrow_mut().push((request, start.elapsed()));
        answer(request)
    });
    let mut service = RateLimitLayer::wait(limiter(1)).key(key).layer(inner);
    let mut calls = Vec::new();
    for request in [(1, 0), (1, 1), (1, 2), (2, 3), (1, 4), (2, 5)] {
        calls.push(service.ready().await.unwrap().call(request));
    }
    // They are polled in any order, and served in that of the calls.
    calls.reverse();
    futures::future::join_all(calls).await;
    let mut order = order.take();
    order.sort();
    let at = |n| n * SECOND;
    let expected = [(0, 0), (1, 1), (2, 2), (4, 3)].map(|(n, s)| ((1, n), at(s)));
    assert_eq!(order[..4], expected);
    assert_eq!(order[4..], [((2, 3), at(0)), ((2, 5), at(1))]);
}

#[tidegate_testkit::test]
async fn the_service_that_was_readied_is_the_one_that_is_called_for_a_key() {
    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(0.5, SECOND).build().unwrap();
    let inner = flaky(plan);
    let mut service = RateLimitLayer::wait(limiter(2)).key(key).layer(inner.clone());
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let request = (u8::try_from(n % 3).unwrap(), n);
        calls.spawn(service.ready().await.unwrap().call(request));
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.readied, counts.unused), (20, 20, 0));
}

#[tidegate_testkit::test]
async fn dropping_a_call_that_waits_for_a_key_leaves_the_line() {
    let limiter = limiter(1);
    let inner = inner();
    let mut service = RateLimitLayer::wait(limiter.clone()).key(key).layer(inner.clone());
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let first = service.ready().await.unwrap().call((1, 2));
    let mut second = pin!(service.ready().await.unwrap().call((1, 3)));
    assert!(futures::poll!(second.as_mut()).is_pending());
    assert_eq!(limiter.stats().waiting, 2);
    drop(first);
    assert_eq!(limiter.stats().waiting, 1);
    advance(SECOND).await;
    assert_eq!(second.as_mut().await.unwrap(), 3, "it need not wait for the other one");
    assert_eq!(limiter.stats().waiting, 0);
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.unused), (2, 1));
}

/// What was taken for it already is for the next one.
#[tidegate_testkit::test]
async fn dropping_a_call_that_was_served_unseen_gives_its_token_back_to_the_key() {
    let limiter = limiter(1);
    let mut service = RateLimitLayer::wait(limiter.clone()).key(key).layer(inner());
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let unseen = service.ready().await.unwrap().call((1, 2));
    advance(SECOND).await;
    assert!(limiter.try_acquire(&1, 1).is_err());
    drop(unseen);
    assert!(limiter.try_acquire(&1, 1).is_ok());
}

#[test]
fn a_call_that_waits_for_a_key_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        || {
            let limiter = limiter(1);
            limiter.try_acquire(&1, 1).unwrap();
            limiter
        },
        async |limiter: &KeyedLimiter<u8>| {
            let mut service = RateLimitLayer::wait(limiter.clone()).key(key).layer(inner());
            for n in 0..3 {
                service.ready().await.unwrap().call((1, n)).await.unwrap();
            }
        },
        async |limiter: &KeyedLimiter<u8>, point| {
            assert_eq!(limiter.stats().waiting, 0, "{point}");
            advance(SECOND).await;
            assert_eq!(limiter.peek(&1).unwrap().remaining, 1, "{point}");
            limiter.evict();
            assert!(limiter.is_empty(), "{point}: nobody needs the key any more");
        },
    );
    report.assert_covered(3);
}

#[tidegate_testkit::test]
async fn who_would_wait_for_a_key_for_too_long_is_told_so_at_once() {
    let layer = RateLimitLayer::wait(limiter(1)).within(SECOND).key(key);
    let mut service = layer.layer(inner());
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let waits = service.ready().await.unwrap().call((1, 2));
    let start = Instant::now();
    let error = service.ready().await.unwrap().call((1, 3)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(error.retry_after(), Some(2 * SECOND));
    assert_eq!(service.ready().await.unwrap().call((2, 4)).await.unwrap(), 4, "another key");
    assert_eq!(waits.await.unwrap(), 2);
    assert_eq!(start.elapsed(), SECOND);
}

#[tidegate_testkit::test]
async fn a_call_that_waits_for_a_key_is_told_when_it_has_become_impossible() {
    let limiter = limiter(1);
    let mut service = RateLimitLayer::wait(limiter.clone()).key(key).layer(inner());
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let mut waits = pin!(service.ready().await.unwrap().call((1, 2)));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    limiter.set_quota(Rate::ZERO).unwrap();
    let error = waits.await.unwrap_err();
    assert!(matches!(error, RateLimitError::Denied(Denied::Waiting(AcquireError::Never { .. }))));
    assert_eq!(service.get_ref().counts().calls, 1);
}

/// There is no room for it in the table, and what that means is as everywhere.
#[tidegate_testkit::test]
async fn a_call_for_whose_key_there_is_no_room_is_denied_or_shares() {
    let quota = Quota::new(Rate::per_second(1), 1);
    let layer_of = |policy| {
        let limiter = KeyedLimiter::builder(quota).max_keys(1).on_full(policy).build().unwrap();
        RateLimitLayer::wait(limiter).key(key).layer(inner())
    };
    let mut service = layer_of(OnFull::Reject);
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let error = service.ready().await.unwrap().call((2, 2)).await.unwrap_err();
    assert!(matches!(error, RateLimitError::Denied(Denied::TooManyKeys { max_keys: 1, .. })));

    let mut service = layer_of(OnFull::Share(quota));
    let start = Instant::now();
    for request in [(1, 1), (2, 2), (3, 3)] {
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert_eq!(start.elapsed(), SECOND, "the third waits for the second");
}

/// A place in the line is that of the call, not of its first poll, and is served on time.
#[tidegate_testkit::test]
async fn a_call_for_a_key_that_is_not_polled_holds_up_nobody() {
    let mut service = RateLimitLayer::wait(limiter(1)).key(key).layer(inner());
    service.ready().await.unwrap().call((1, 1)).await.unwrap();
    let unpolled = service.ready().await.unwrap().call((1, 2));
    let start = Instant::now();
    service.ready().await.unwrap().call((1, 3)).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
    settle().await;
    unpolled.await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tidegate_testkit::test]
async fn a_call_that_waits_for_a_key_is_seen() {
    let quota = Quota::new(Rate::per_second(1), 1);
    let limiter = KeyedLimiter::builder(quota).name("hosts").build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let job = scope("app", async |cx: Cx<Infallible>| {
        let service = RateLimitLayer::wait(limiter).key(key).layer(inner());
        cx.spawn("fetch", async {
            service.oneshot((1, 1)).await.unwrap();
            Ok(())
        });
        settle().await;
        let text = cx.tree().to_string();
        assert!(text.contains("tokens") && text.contains("hosts"), "{text}");
        Ok(())
    });
    job.await.unwrap();
}
