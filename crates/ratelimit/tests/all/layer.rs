//! The layer keeps the contract of tower, whatever its callers do. Inside is a service that panics if it
//! is called without having been ready.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{Cx, scope};
use tidegate_ratelimit::{
    AcquireError, Denied, Queue, Rate, RateLimitError, RateLimitLayer, RateLimiter,
    TryAcquireError, from_fn,
};
use tidegate_testkit::{
    CancelPoint, FlakyError, FlakyPlan, FlakyService, Seed, Seeds, advance, cancel_everywhere,
    explore, settle,
};
use tokio::{task::JoinSet, time::Instant};
use tower::{Layer, Service, ServiceExt, buffer::Buffer, service_fn};

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

/// A token comes after a second at most, and the limiter is full after another one.
async fn nothing_is_lost(limiter: &RateLimiter, point: CancelPoint) {
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.queued), (0, 0), "{point}");
    tokio::time::timeout(SECOND, limiter.acquire(1)).await.expect("a token is missing").unwrap();
    advance(SECOND).await;
    assert_eq!(remaining(limiter), 1, "{point}");
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
