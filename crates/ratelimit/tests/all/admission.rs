//! A layer with a limit for each key.

use crate::SECOND;
use std::{cell::RefCell, convert::Infallible, future::ready, rc::Rc, time::Duration};
use tidegate_ratelimit::{
    Denied, KeyedLimiter, Quota, Rate, RateLimitError, RateLimitLayer,
    fleet::{FleetAcquireError, FleetLimiter, FleetTryAcquireError, MemoryStore},
    from_fn,
};
use tidegate_testkit::advance;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

type Request = (&'static str, u64);

fn limiter() -> KeyedLimiter<&'static str> {
    KeyedLimiter::builder(Quota::new(Rate::per_second(1), 2)).max_keys(3).build().unwrap()
}

#[tidegate_testkit::test]
async fn each_key_has_its_own_limit() {
    let limiter = limiter();
    let layer = RateLimitLayer::reject(limiter.clone()).key(|(key, _): &Request| *key);
    let inner = service_fn(|(_, n): Request| ready(Ok::<_, Infallible>(n)));
    let mut service = layer.layer(inner);
    for n in 0..2 {
        for key in ["a", "b"] {
            assert_eq!(service.clone().oneshot((key, n)).await.unwrap(), n);
        }
    }
    let error = service.ready().await.unwrap().call(("a", 1)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(SECOND));
    assert_eq!(service.ready().await.unwrap().call(("c", 7)).await.unwrap(), 7);
    // There is no room for more.
    let error = service.ready().await.unwrap().call(("d", 1)).await.unwrap_err();
    let RateLimitError::Denied(denied) = error else { panic!("{error}") };
    assert!(matches!(denied, Denied::TooManyKeys { max_keys: 3, .. }), "{denied:?}");
    assert_eq!((denied.retry_after(), denied.remaining()), (Some(SECOND), 0));
    advance(SECOND).await;
    assert_eq!(service.ready().await.unwrap().call(("a", 1)).await.unwrap(), 1);
}

/// So that those who are exempt take no room.
#[tidegate_testkit::test]
async fn a_request_that_costs_nothing_is_not_asked_for_its_key() {
    let limiter = limiter();
    let asked = Rc::new(RefCell::new(Vec::new()));
    let layer = RateLimitLayer::reject(limiter.clone())
        .cost(|(_, cost): &Request| *cost)
        .key(|(key, _): &Request| {
            asked.borrow_mut().push(*key);
            *key
        })
        .on_denied(|_: Request, _| 0);
    let inner = service_fn(|(_, n): Request| ready(Ok::<_, Infallible>(n + 1)));
    let mut service = layer.layer(inner);
    for (request, answer) in [(("a", 0), 1), (("b", 2), 3), (("c", 0), 1), (("b", 1), 0)] {
        let Ok(said) = service.ready().await.unwrap().call(request).await;
        assert_eq!(said, answer);
    }
    assert_eq!((&*asked.borrow(), limiter.len()), (&vec!["b", "b"], 1));
}

#[tidegate_testkit::test]
async fn a_key_waits_for_itself_alone() {
    let limiter = limiter();
    let wait = from_fn(move |key: &'static str, cost, _: Option<Duration>| {
        let limiter = limiter.clone();
        async move { Ok(limiter.acquire(&key, cost).await.map(drop)?) }
    });
    let layer = RateLimitLayer::wait(wait).key(|(key, _): &Request| *key);
    let start = Instant::now();
    let inner =
        service_fn(|(key, n): Request| ready(Ok::<_, Infallible>((key, n, start.elapsed()))));
    let service = layer.layer(inner);
    let calls = [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 5)];
    let calls = calls.map(|request| service.clone().oneshot(request));
    let served: Vec<_> =
        futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let none = Duration::ZERO;
    let expected =
        [("a", 1, none), ("a", 2, none), ("a", 3, SECOND), ("a", 4, 2 * SECOND), ("b", 5, none)];
    assert_eq!(served, expected);
}

/// A store has to be asked: a fleet waits for it in its call.
#[tidegate_testkit::test]
async fn a_fleet_limits_a_service() {
    let quota = Quota::new(Rate::per_second(1), 3);
    // Shorter than what it takes for a token to come.
    let builder = FleetLimiter::builder(MemoryStore::new(10), quota).lease(1);
    let fleet = builder.pace(Duration::from_millis(10)).build().unwrap();
    let asked = from_fn(move |key: &'static str, cost, _: Option<Duration>| {
        let fleet = fleet.clone();
        async move { Ok(fleet.try_acquire(key, cost).await.map(drop)?) }
    });
    let layer = RateLimitLayer::wait(asked).key(|(key, _): &Request| *key);
    let service = layer.layer(service_fn(|(_, n): Request| ready(Ok::<_, Infallible>(n))));
    for n in 0..3 {
        assert_eq!(service.clone().oneshot(("a", n)).await, Ok(n));
    }
    let error = service.clone().oneshot(("a", 3)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(SECOND));
    assert_eq!(service.oneshot(("b", 4)).await, Ok(4));
}

#[test]
fn what_a_fleet_says_is_said_of_any_limiter() {
    let waiting = Denied::Full { waiting: 7 };
    assert_eq!(Denied::from(FleetTryAcquireError::Full { waiting: 7 }), waiting);
    assert_eq!(Denied::from(FleetAcquireError::Full { waiting: 7 }), waiting);
    assert_eq!((waiting.retry_after(), waiting.remaining()), (None, 0));
    let late = Denied::from(FleetAcquireError::TooLate { retry_after: SECOND });
    assert_eq!((late.retry_after(), late.remaining()), (Some(SECOND), 0));
    let never = Denied::from(FleetAcquireError::Never { cost: 9, possible: 3 });
    assert_eq!((never.retry_after(), never.remaining()), (None, 0), "a burst is not what is left");
}
