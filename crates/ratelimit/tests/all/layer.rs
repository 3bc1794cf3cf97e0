//! The layer keeps the contract of tower, whatever its callers do. Inside is a service that panics if it
//! is called without having been ready.

mod readiness;
mod reject;
mod wait;

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{Denied, Rate, RateLimitError, RateLimitLayer, RateLimiter};
use tidegate_testkit::{
    CancelPoint, FlakyError, FlakyPlan, FlakyService, Seed, Seeds, advance, explore,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

fn limiter(rate: u64, burst: u64) -> RateLimiter {
    RateLimiter::builder(Rate::per_second(rate)).burst(burst).build().unwrap()
}

fn remaining(limiter: &RateLimiter) -> u64 {
    limiter.peek().remaining
}

type Echo<F> = FlakyService<tower::util::ServiceFn<F>>;

/// Returns what it is called with.
fn echo() -> Echo<impl AsyncEcho> {
    flaky(FlakyPlan::seeded(Seed::new(1)).build().unwrap())
}

fn flaky(plan: FlakyPlan) -> Echo<impl AsyncEcho> {
    FlakyService::new(service_fn(|n: u64| std::future::ready(Ok::<_, Infallible>(n))), plan)
}

trait AsyncEcho: FnMut(u64) -> std::future::Ready<Result<u64, Infallible>> + Clone {}
impl<F: FnMut(u64) -> std::future::Ready<Result<u64, Infallible>> + Clone> AsyncEcho for F {}

async fn ready<S: Service<u64>>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

fn poll_ready<S: Service<u64>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// A token comes after a second at most, and the limiter is full after another one.
async fn nothing_is_lost(limiter: &RateLimiter, point: CancelPoint) {
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.queued), (0, 0), "{point}");
    tokio::time::timeout(SECOND, limiter.acquire(1)).await.expect("a token is missing").unwrap();
    advance(SECOND).await;
    assert_eq!(remaining(limiter), 1, "{point}");
}

#[tidegate_testkit::test]
async fn errors_of_the_inner_service_are_its_own() {
    let plan = FlakyPlan::seeded(Seed::new(1)).fail_calls(0..1).build().unwrap();
    let mut service = RateLimitLayer::reject(limiter(1, 1)).layer(flaky(plan));
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert_eq!(error, RateLimitError::Inner(FlakyError::Planned { call: 0 }));
    assert_eq!(error.to_string(), "call 0 fails as planned");

    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_failures(1.0).build().unwrap();
    let limiter = limiter(1, 1);
    let mut service = RateLimitLayer::wait(limiter.clone()).layer(flaky(plan));
    let error = ready(&mut service).await.unwrap_err();
    assert_eq!(error, RateLimitError::Inner(FlakyError::NotReady { number: 0 }));
    assert_eq!(remaining(&limiter), 1);
}

/// What axum takes: a service without errors.
#[tidegate_testkit::test]
async fn a_denial_can_be_a_response() {
    let said = Rc::new(Cell::new(None));
    let answer = |n: u64, denied: Denied| {
        said.set(denied.retry_after());
        1000 + n
    };
    let inner = service_fn(|n: u64| std::future::ready(Ok::<_, Infallible>(n)));
    let limiter = limiter(1, 1);
    let mut service = RateLimitLayer::reject(limiter.clone()).on_denied(answer).layer(inner);
    let call = service.ready().await.unwrap().call(1);
    let Ok(n) = call.await;
    assert_eq!((n, said.take()), (1, None));
    let Ok(n) = service.ready().await.unwrap().call(2).await;
    assert_eq!((n, said.take()), (1002, Some(SECOND)));

    // Also one that comes to be denied while it waits.
    let mut service = RateLimitLayer::wait(limiter.clone()).on_denied(answer).layer(inner);
    let mut waits = pin!(service.ready().await.unwrap().call(3));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    limiter.set_rate(Rate::ZERO).unwrap();
    let Ok(n) = waits.await;
    assert_eq!((n, said.take()), (1003, None));
}

/// In any window no more calls than the burst and the rate allow, in each mode, with services that are not
/// always ready.
#[test]
fn the_inner_service_is_never_called_too_often() {
    explore(Seeds::n(16), calls_are_as_far_apart_as_they_must).assert_passed();
}

async fn calls_are_as_far_apart_as_they_must(seed: Seed) {
    let plan = FlakyPlan::seeded(seed)
        .readiness_delays(0.3, Duration::from_millis(1700))
        .delays(0.3, Duration::from_millis(300))
        .build()
        .unwrap();
    let limiter = limiter(10, 4);
    let times = Rc::new(RefCell::new(Vec::new()));
    let inner = service_fn(|n: u64| {
        times.borrow_mut().push(Instant::now());
        std::future::ready(Ok::<_, Infallible>(n))
    });
    let flaky = FlakyService::new(inner, plan);
    let ready = RateLimitLayer::readiness(limiter.clone()).layer(flaky.clone());
    let wait = RateLimitLayer::wait(limiter.clone()).layer(flaky.clone());
    let calls = (0..60).map(|n| {
        let (mut ready, mut wait) = (ready.clone(), wait.clone());
        async move {
            if n % 2 == 0 {
                ready.ready().await.unwrap().call(n).await.unwrap();
            } else {
                wait.ready().await.unwrap().call(n).await.unwrap();
            }
        }
    });
    futures::future::join_all(calls).await;
    let times = times.borrow();
    assert_eq!(times.len(), 60);
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let allowed = 4 + (*to - *from).as_millis() / 100;
            let called = (last - first + 1) as u128;
            assert!(called <= allowed, "{called} calls, {allowed} allowed");
        }
    }
}
