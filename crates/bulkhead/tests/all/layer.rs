//! The layer keeps the contract of tower, whatever its callers do. Inside is a service that panics if it
//! is called without having been ready.

use crate::{SECOND, assert_idle, bulkhead};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tidegate_bulkhead::{
    AcquireError, Ask, Bulkhead, BulkheadError, BulkheadLayer, Compartments, KeyedBulkhead, Permit,
    Permitted, Priority, Rejected, TryAcquireError,
};
use tidegate_core::{Cx, scope};
use tidegate_testkit::{
    CancelPoint, FlakyError, FlakyPlan, FlakyService, Seed, Seeds, cancel_everywhere, explore,
    settle,
};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn};

type Echo<F> = FlakyService<tower::util::ServiceFn<F>>;

/// Returns what it is called with.
fn echo() -> Echo<impl AsyncEcho> {
    flaky(FlakyPlan::seeded(Seed::new(1)).build().unwrap())
}

/// The same after a second.
fn slow() -> Echo<impl AsyncEcho> {
    flaky(FlakyPlan::seeded(Seed::new(1)).delays(1.0, SECOND).build().unwrap())
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
    let bulkhead = bulkhead(3);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(slow());
    for _ in 0..10 {
        ready(&mut service).await.unwrap();
        assert_eq!(bulkhead.in_use(), 1);
    }
    let call = service.call(7);
    assert_eq!(bulkhead.in_use(), 1, "the call has what was taken, and no more");
    ready(&mut service).await.unwrap();
    assert_eq!(bulkhead.in_use(), 2);
    assert_eq!(call.await.unwrap(), 7);
    drop(service);
    assert_idle(&bulkhead);
}

/// One that is polled again and again while it waits keeps its place in the line.
#[tidegate_testkit::test]
async fn poll_ready_waits_in_one_place() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    let layer = BulkheadLayer::readiness(bulkhead.clone());
    let (mut first, mut second) = (layer.layer(echo()), layer.layer(echo()));
    for _ in 0..10 {
        assert!(poll_ready(&mut first).is_pending());
        assert!(poll_ready(&mut second).is_pending());
    }
    assert_eq!(bulkhead.stats().waiting, 2);
    drop(permit);
    assert!(poll_ready(&mut second).is_pending());
    assert!(poll_ready(&mut first).is_ready());
    assert_eq!(first.call(1).await.unwrap(), 1);
    ready(&mut second).await.unwrap();
    drop((first, second));
    assert_idle(&bulkhead);
}

/// hyper-util#297: readiness of one was lost on its clone, and its permit with it.
#[tidegate_testkit::test]
async fn a_clone_starts_unreserved() {
    let bulkhead = bulkhead(3);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    let mut clone = service.clone();
    assert_eq!(bulkhead.in_use(), 1);
    let called = catch_unwind(AssertUnwindSafe(|| drop(clone.call(1))));
    let message = called.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("takes the permit"), "it is the layer that says so: {message}");
    ready(&mut clone).await.unwrap();
    assert_eq!(bulkhead.in_use(), 2);
    assert_eq!((service.call(1).await.unwrap(), clone.call(2).await.unwrap()), (1, 2));
    assert_idle(&bulkhead);
}

/// hyper-util#297: clones that are made ready and thrown away use up nothing.
#[tidegate_testkit::test]
async fn ready_clones_that_are_never_called_lock_nobody_out() {
    let bulkhead = bulkhead(1);
    let service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    for n in 0..10 {
        let mut clone = service.clone();
        ready(&mut clone).await.unwrap();
        assert!(poll_ready(&mut service.clone()).is_pending());
        drop(clone);
        assert_eq!(service.clone().oneshot(n).await.unwrap(), n);
    }
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn dropping_a_ready_service_gives_its_permit_back() {
    let bulkhead = bulkhead(3);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    drop(service.clone());
    assert_eq!(bulkhead.in_use(), 1, "the permit is not the clone's");
    drop(service);
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn taking_the_layer_off_a_ready_service_gives_its_permit_back() {
    let bulkhead = bulkhead(3);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    let mut inner = service.into_inner();
    assert_idle(&bulkhead);
    assert_eq!(inner.call(7).await.unwrap(), 7, "and it is ready still");
}

#[tidegate_testkit::test]
async fn dropping_a_service_that_waits_leaves_the_line() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    let layer = BulkheadLayer::readiness(bulkhead.clone());
    let mut services = [(); 3].map(|()| layer.layer(echo()));
    assert!(services.iter_mut().all(|service| poll_ready(service).is_pending()));
    let [first, second, mut third] = services;
    drop(first);
    drop(permit);
    // It has entered, and does not know.
    drop(second);
    assert!(poll_ready(&mut third).is_ready());
    drop(third);
    assert_idle(&bulkhead);
}

#[test]
fn waiting_for_readiness_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        full,
        async |full: &Full| {
            let calls = async {
                let mut service = BulkheadLayer::readiness(full.0.clone()).layer(slow());
                for n in 0..3 {
                    service.ready().await.unwrap().call(n).await.unwrap();
                }
            };
            tokio::join!(full.empty(), calls);
        },
        async |full: &Full, point| full.nothing_is_lost(point),
    );
    report.assert_covered(4);
}

/// One that is emptied after a second.
struct Full(Bulkhead, RefCell<Option<Permit>>);

fn full() -> Full {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    Full(bulkhead, Some(permit).into())
}

impl Full {
    async fn empty(&self) {
        sleep(SECOND).await;
        drop(self.1.take());
    }

    fn nothing_is_lost(&self, point: CancelPoint) {
        drop(self.1.take());
        let stats = self.0.stats();
        assert_eq!((stats.in_use, stats.waiting), (0, 0), "{point}");
        assert_idle(&self.0);
    }
}

/// A permit that is held for what cannot be called is one that others lack.
#[tidegate_testkit::test]
async fn an_inner_service_that_is_not_ready_costs_no_permit() {
    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(1.0, SECOND).build().unwrap();
    let bulkhead = bulkhead(3);
    let layer = BulkheadLayer::readiness(bulkhead.clone());
    let mut services: Vec<_> = (0..9).map(|_| layer.layer(flaky(plan.clone()))).collect();
    assert!(services.iter_mut().all(|service| poll_ready(service).is_pending()));
    assert_eq!((bulkhead.in_use(), bulkhead.stats().waiting), (0, 0));
    ready(&mut services[0]).await.unwrap();
    assert_eq!(bulkhead.in_use(), 1);
}

#[tidegate_testkit::test]
async fn an_error_of_inner_readiness_gives_the_permit_back() {
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

    let bulkhead = bulkhead(3);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(Breaks::default());
    ready(&mut service).await.unwrap();
    assert_eq!(bulkhead.in_use(), 1);
    assert_eq!(ready(&mut service).await, Err(BulkheadError::Inner("broken")));
    assert_idle(&bulkhead);
    let called = catch_unwind(AssertUnwindSafe(|| drop(service.call(1))));
    assert!(called.is_err(), "it is not ready any more");
    // Also one that has a place in the line.
    let permit = bulkhead.try_acquire_many(3).unwrap();
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(Breaks::default());
    assert!(poll_ready(&mut service).is_pending());
    assert_eq!(ready(&mut service).await, Err(BulkheadError::Inner("broken")));
    assert_eq!(bulkhead.stats().waiting, 0);
    drop(permit);
}

/// It is against the contract of tower to take readiness back, and an inner service may do it nevertheless: then
/// what is held for it would be kept from others, who may hold what it waits for.
#[tidegate_testkit::test]
async fn an_inner_service_that_is_ready_no_longer_gives_up_permit_and_place() {
    /// Ready while that is so.
    struct While<'a>(&'a Cell<bool>);
    impl Service<u64> for While<'_> {
        type Response = u64;
        type Error = Infallible;
        type Future = std::future::Ready<Result<u64, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.0.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
        fn call(&mut self, n: u64) -> Self::Future {
            std::future::ready(Ok(n))
        }
    }

    let bulkhead = bulkhead(1);
    let layer = BulkheadLayer::readiness(bulkhead.clone());
    let is_ready = [true, true].map(Cell::new);
    let mut services = is_ready.each_ref().map(|is_ready| layer.layer(While(is_ready)));
    let [one, other] = &mut services;
    ready(one).await.unwrap();
    assert!(poll_ready(other).is_pending());
    is_ready[0].set(false);
    assert!(poll_ready(one).is_pending());
    assert!(poll_ready(other).is_ready(), "the permit has gone to who can use it");
    is_ready[0].set(true);
    assert!(poll_ready(one).is_pending());
    assert_eq!(bulkhead.stats().waiting, 1);
    is_ready[0].set(false);
    assert!(poll_ready(one).is_pending());
    assert_eq!(bulkhead.stats().waiting, 0, "nothing is handed to who does not look");
    assert_eq!(other.call(1).await.unwrap(), 1);
    is_ready[0].set(true);
    ready(one).await.unwrap();
    assert_eq!(one.call(2).await.unwrap(), 2);
    drop(services);
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn readiness_that_never_comes_is_an_error_and_can_be_asked_for_again() {
    let bulkhead = Bulkhead::builder(1).max_waiting(0).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    let error = ready(&mut service).await.unwrap_err();
    let full = AcquireError::QueueFull { waiting: 0, retry_after: None };
    assert_eq!(error, BulkheadError::Rejected(full.into()));
    drop(permit);
    ready(&mut service).await.unwrap();
    let mut other = service.clone();
    drop(service);
    bulkhead.close();
    let error = ready(&mut other).await.unwrap_err();
    assert_eq!(error, BulkheadError::Rejected(AcquireError::Closed.into()));
}

#[tidegate_testkit::test]
async fn a_call_before_the_permit_is_there_panics_and_gives_up_its_place() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).is_err());
    assert_eq!(bulkhead.stats().waiting, 0);
    assert_eq!(service.get_ref().counts().calls, 0);
    drop(permit);
    assert_idle(&bulkhead);
}

/// What has failed is not asked again: the next place in the line is a new one.
#[tidegate_testkit::test]
async fn readiness_that_has_failed_while_it_waited_can_be_asked_for_again() {
    let bulkhead = Bulkhead::builder(1).max_waiting(1).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    let urgent = Ask::new(1).priority(Priority::High);
    let mut urgent = Box::pin(bulkhead.acquire_with(urgent));
    assert!(crate::poll(urgent.as_mut()).is_pending());
    let error = ready(&mut service).await.unwrap_err();
    assert!(matches!(
        error,
        BulkheadError::Rejected(Rejected::Waiting(AcquireError::Displaced { .. }))
    ));
    drop(urgent);
    assert!(poll_ready(&mut service).is_pending());
    drop(permit);
    ready(&mut service).await.unwrap();
    drop(service);
    assert_idle(&bulkhead);
}

/// Readiness has no timer: it waits for as long as it is polled.
#[tidegate_testkit::test]
async fn readiness_waits_for_longer_than_others_may() {
    let bulkhead = Bulkhead::builder(1).max_wait(SECOND).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    assert!(poll_ready(&mut service).is_pending());
    sleep(5 * SECOND).await;
    drop(permit);
    ready(&mut service).await.unwrap();
    assert_eq!(service.call(1).await.unwrap(), 1);
}

/// linkerd2-proxy#751: the permit comes back when the inner future has ended, and not when it is dropped.
#[tidegate_testkit::test]
async fn a_call_that_has_ended_gives_its_permit_back_before_it_is_dropped() {
    let bulkhead = bulkhead(1);
    let mut readiness = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    ready(&mut readiness).await.unwrap();
    let mut call = Box::pin(readiness.call(7));
    assert_eq!(bulkhead.in_use(), 1);
    assert_eq!(call.as_mut().await.unwrap(), 7);
    assert_eq!(bulkhead.in_use(), 0, "it is there still");
    drop(call);

    let plan = FlakyPlan::seeded(Seed::new(1)).fail_calls(0..9).build().unwrap();
    let mut wait = BulkheadLayer::wait(bulkhead.clone()).layer(flaky(plan));
    let mut call = Box::pin(wait.ready().await.unwrap().call(7));
    assert_eq!(bulkhead.in_use(), 1);
    assert!(call.as_mut().await.is_err());
    assert_eq!(bulkhead.in_use(), 0, "an error is an end as well");
    drop(call);
    assert_idle(&bulkhead);
}

/// What is inside is dropped before its permit: nobody enters while it is there.
#[tidegate_testkit::test]
async fn dropping_a_call_drops_what_is_inside_first() {
    struct Inside(Bulkhead, Rc<Cell<Option<u32>>>);
    impl Drop for Inside {
        fn drop(&mut self) {
            self.1.set(Some(self.0.in_use()));
        }
    }
    impl Future for Inside {
        type Output = Result<(), Infallible>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }
    let bulkhead = bulkhead(1);
    let seen = Rc::new(Cell::new(None));
    let inner = service_fn(|(): ()| Inside(bulkhead.clone(), Rc::clone(&seen)));
    let mut service = BulkheadLayer::wait(bulkhead.clone()).layer(inner);
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    assert!(futures::poll!(call.as_mut()).is_pending());
    drop(call);
    assert_eq!(seen.get(), Some(1));
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn a_panic_inside_gives_the_permit_back() {
    let bulkhead = bulkhead(1);
    let inner = service_fn(async |n: u64| {
        assert!(n > 1, "a panic inside");
        Ok::<_, Infallible>(n)
    });
    for layer in [BulkheadLayer::wait(bulkhead.clone())] {
        let mut service = layer.layer(inner);
        let call = service.ready().await.unwrap().call(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            drop(crate::poll(Box::pin(call).as_mut()));
        }));
        assert!(panicked.is_err());
        assert_idle(&bulkhead);
    }
    // In `call`, before there is a future.
    let inner = service_fn(|_: u64| -> std::future::Ready<Result<u64, Infallible>> {
        std::panic::resume_unwind(Box::new("a panic in `call`"))
    });
    let mut service = BulkheadLayer::reject(bulkhead.clone()).layer(inner);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).is_err());
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(inner);
    ready(&mut service).await.unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).is_err());
    assert_idle(&bulkhead);
}

/// A limit per connection is no limit.
#[tidegate_testkit::test]
async fn clones_share_one_bulkhead() {
    let bulkhead = bulkhead(5);
    let layer = BulkheadLayer::reject(bulkhead.clone());
    let (one, other) = (layer.layer(slow()), layer.clone().layer(slow()));
    let calls = (0..150).map(|n| if n % 2 == 0 { one.clone() } else { other.clone() }.oneshot(n));
    let ends = futures::future::join_all(calls).await;
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 5);
    assert_idle(&bulkhead);
}

/// iota#12137: what is shed is an error that says so, or a response, and not a wait.
#[tidegate_testkit::test]
async fn a_call_that_is_shed_does_not_reach_the_inner_service() {
    let bulkhead = Bulkhead::builder(1).typical_hold(SECOND).build().unwrap();
    let mut service = BulkheadLayer::reject(bulkhead.clone()).layer(echo());
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
    let permit = bulkhead.try_acquire().unwrap();
    let error = service.ready().await.unwrap().call(2).await.unwrap_err();
    let retry_after = Some(SECOND);
    let full = TryAcquireError::Full { in_use: 1, capacity: 1, waiting: 0, retry_after };
    assert_eq!(error, BulkheadError::Rejected(full.into()));
    assert_eq!((error.retry_after(), error.to_string()), (retry_after, full.to_string()));
    let counts = service.get_ref().counts();
    assert_eq!((counts.calls, counts.readied, counts.unused), (1, 2, 0));
    // It has been ready ever since, and is called now.
    drop(permit);
    assert_eq!(service.ready().await.unwrap().call(3).await.unwrap(), 3);
    assert_eq!(service.get_ref().counts().readied, 2);
}

/// iota#12137: a service without errors stays one.
#[tidegate_testkit::test]
async fn a_rejection_can_be_a_response() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    let answer = |n: u64, _: Rejected| 1000 + n;
    let inner = service_fn(|n: u64| std::future::ready(Ok::<_, Infallible>(n)));
    let mut service = BulkheadLayer::reject(bulkhead.clone()).on_rejected(answer).layer(inner);
    let Ok(n) = service.ready().await.unwrap().call(1).await;
    assert_eq!(n, 1001);
    // Also one that comes to be rejected while it waits.
    let mut service = BulkheadLayer::wait(bulkhead.clone()).on_rejected(answer).layer(inner);
    let mut waits = pin!(service.ready().await.unwrap().call(2));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    bulkhead.close();
    let Ok(n) = waits.await;
    assert_eq!(n, 1002);
    drop(permit);
}

#[tidegate_testkit::test]
async fn errors_of_the_inner_service_are_its_own() {
    let plan = FlakyPlan::seeded(Seed::new(1)).fail_calls(0..1).build().unwrap();
    let mut service = BulkheadLayer::reject(bulkhead(1)).layer(flaky(plan));
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert_eq!(error, BulkheadError::Inner(FlakyError::Planned { call: 0 }));
    assert_eq!((error.to_string(), error.retry_after()), ("call 0 fails as planned".into(), None));

    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_failures(1.0).build().unwrap();
    let bulkhead = bulkhead(1);
    let mut service = BulkheadLayer::wait(bulkhead.clone()).layer(flaky(plan));
    let error = ready(&mut service).await.unwrap_err();
    assert_eq!(error, BulkheadError::Inner(FlakyError::NotReady { number: 0 }));
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn requests_weigh_what_they_weigh() {
    let bulkhead = bulkhead(10);
    let layer = BulkheadLayer::wait(bulkhead.clone()).weight(|n: &u64| u32::try_from(*n).unwrap());
    let mut service = layer.layer(slow());
    let mut calls = Vec::new();
    for (weight, in_use) in [(4, 4), (0, 4), (6, 10)] {
        calls.push(service.ready().await.unwrap().call(weight));
        assert_eq!(bulkhead.in_use(), in_use);
    }
    let error = service.ready().await.unwrap().call(11).await.unwrap_err();
    let too_large = AcquireError::TooLarge { weight: 11, capacity: 10 };
    assert_eq!(error, BulkheadError::Rejected(too_large.into()));
    drop(calls);
    assert_idle(&bulkhead);
}

/// The futures are polled in any order, and enter in the order of the calls; the urgent before others.
#[tidegate_testkit::test]
async fn calls_enter_in_their_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let inner = service_fn(|n: u64| {
        order.borrow_mut().push(n);
        async move {
            sleep(SECOND).await;
            Ok::<_, Infallible>(n)
        }
    });
    let urgent = |n: &u64| if *n == 19 { Priority::High } else { Priority::Normal };
    let mut service = BulkheadLayer::wait(bulkhead(1)).priority(urgent).layer(inner);
    let mut calls = Vec::new();
    for n in 0..20 {
        calls.push(service.ready().await.unwrap().call(n));
    }
    calls.reverse();
    let start = Instant::now();
    futures::future::join_all(calls).await;
    assert_eq!(start.elapsed(), 20 * SECOND);
    let expected: Vec<_> = [0, 19].into_iter().chain(1..19).collect();
    assert_eq!(*order.borrow(), expected);
}

/// It is the readied one that moves into the future; what stays behind is its clone.
#[tidegate_testkit::test]
async fn the_service_that_was_readied_is_the_one_that_is_called() {
    let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(0.5, SECOND).build().unwrap();
    let inner = flaky(plan);
    let mut service = BulkheadLayer::wait(bulkhead(2)).layer(inner.clone());
    let mut calls = JoinSet::new();
    for n in 0..20 {
        calls.spawn(service.ready().await.unwrap().call(n));
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.readied, counts.unused), (20, 20, 0));
}

#[tidegate_testkit::test]
async fn dropping_a_call_before_it_has_entered_leaves_the_line() {
    let bulkhead = bulkhead(1);
    let inner = echo();
    let permit = bulkhead.try_acquire().unwrap();
    let mut service = BulkheadLayer::wait(bulkhead.clone()).layer(inner.clone());
    let first = service.ready().await.unwrap().call(2);
    let mut second = pin!(service.ready().await.unwrap().call(3));
    assert!(futures::poll!(second.as_mut()).is_pending());
    assert_eq!(bulkhead.stats().waiting, 2);
    drop(first);
    assert_eq!(bulkhead.stats().waiting, 1);
    drop(permit);
    assert_eq!(second.as_mut().await.unwrap(), 3, "it need not wait for the other one");
    let counts = inner.counts();
    assert_eq!((counts.calls, counts.unused), (1, 1));
    assert_idle(&bulkhead);
}

#[test]
fn a_call_that_waits_gives_up_everything_at_every_await() {
    let report = cancel_everywhere(
        full,
        async |full: &Full| {
            let calls = async {
                let layer = BulkheadLayer::wait(full.0.clone()).within(2 * SECOND);
                let mut service = layer.layer(slow());
                for n in 0..3 {
                    service.ready().await.unwrap().call(n).await.unwrap();
                }
            };
            tokio::join!(full.empty(), calls);
        },
        async |full: &Full, point| full.nothing_is_lost(point),
    );
    report.assert_covered(4);
}

#[tidegate_testkit::test]
async fn a_call_does_not_wait_for_too_long() {
    let bulkhead = bulkhead(1);
    let _permit = bulkhead.try_acquire().unwrap();
    let layer = BulkheadLayer::wait(bulkhead.clone()).within(SECOND);
    let mut service = layer.layer(echo());
    let start = Instant::now();
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert_eq!(start.elapsed(), SECOND);
    let timed_out = AcquireError::TimedOut { waited: SECOND, retry_after: None };
    assert_eq!(error, BulkheadError::Rejected(timed_out.into()));
    assert_eq!(service.get_ref().counts().calls, 0);
}

/// The head of a response is there long before its body has been sent.
#[tidegate_testkit::test]
async fn a_permit_can_travel_in_the_response() {
    let bulkhead = bulkhead(1);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).in_response().layer(echo());
    let response = service.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((*response, bulkhead.in_use()), (7, 1));
    assert!(poll_ready(&mut service).is_pending());
    drop(response.map(|n| n + 1));
    assert!(poll_ready(&mut service).is_ready());
    let (n, permit) = service.call(8).await.unwrap().into_parts();
    assert_eq!((n, bulkhead.in_use()), (8, 1));
    drop((service, permit));
    assert_idle(&bulkhead);

    // Where a closure puts it, and with an answer that needs none.
    let answer = |n: u64, _: Rejected| Permitted::<u64>::without(1000 + n);
    let layer = BulkheadLayer::reject(bulkhead.clone()).in_response().on_rejected(answer);
    let mut service = layer.layer(service_fn(|n: u64| std::future::ready(Ok::<_, Infallible>(n))));
    let Ok(first) = service.ready().await.unwrap().call(1).await;
    let Ok(second) = service.ready().await.unwrap().call(2).await;
    assert_eq!((*first, *second, bulkhead.in_use()), (1, 1002, 1));
    drop(first);
    let body = |n: u64, permit: Permit| (vec![n], permit);
    let mut service = BulkheadLayer::wait(bulkhead.clone()).carry(body).layer(echo());
    let (parts, permit) = service.ready().await.unwrap().call(5).await.unwrap();
    assert_eq!((parts, bulkhead.in_use()), (vec![5], 1));
    drop(permit);
    // There is no response of an error.
    let plan = FlakyPlan::seeded(Seed::new(1)).fail_calls(0..1).build().unwrap();
    let mut service = BulkheadLayer::wait(bulkhead.clone()).in_response().layer(flaky(plan));
    assert!(service.ready().await.unwrap().call(5).await.is_err());
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn requests_are_counted_for_their_compartment_or_key() {
    let compartments = Compartments::builder().add("even", 1).add("odd", 2).build().unwrap();
    let name = |n: &u64| ["even", "odd", "?"][usize::try_from(n % 3).unwrap()];
    let mut service = BulkheadLayer::reject(compartments.clone()).key(name).layer(slow());
    let first = service.ready().await.unwrap().call(0);
    assert_eq!(compartments.get("even").unwrap().in_use(), 1);
    let full = service.ready().await.unwrap().call(3).await.unwrap_err();
    assert!(matches!(full, BulkheadError::Rejected(Rejected::Now(_))), "{full}");
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
    let unknown = service.ready().await.unwrap().call(2).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no compartment `?`; there are `even`, `odd`");
    drop(first);
    let waits = BulkheadLayer::wait(compartments.clone()).key(name).layer(slow());
    let start = Instant::now();
    let calls = [0, 3, 1].map(|n| waits.clone().oneshot(n));
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);

    let keyed = KeyedBulkhead::<u64>::builder(1).max_keys(2).build().unwrap();
    let waits = BulkheadLayer::wait(keyed.clone()).key(|n: &u64| n % 2).layer(slow());
    let start = Instant::now();
    futures::future::try_join_all((0..6).map(|n| waits.clone().oneshot(n))).await.unwrap();
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert!(keyed.is_empty());
    let mut reject = BulkheadLayer::reject(keyed.clone()).key(|n: &u64| *n).layer(slow());
    let mut calls = Vec::new();
    for n in 0..2 {
        calls.push(reject.ready().await.unwrap().call(n));
    }
    let error = reject.ready().await.unwrap().call(2).await.unwrap_err();
    assert_eq!(error, BulkheadError::Rejected(Rejected::TooManyKeys { max_keys: 2 }));
    drop(calls);
    assert!(keyed.is_empty());
}

#[tidegate_testkit::test]
async fn a_call_that_waits_is_seen() {
    let bulkhead = Bulkhead::builder(1).name("backend").build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let job = scope("app", async |cx: Cx<Infallible>| {
        let wait = BulkheadLayer::wait(bulkhead.clone()).layer(echo());
        let readiness = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
        cx.spawn("in its call", async {
            wait.oneshot(1).await.unwrap();
            Ok(())
        });
        cx.spawn("for readiness", async {
            readiness.oneshot(1).await.unwrap();
            Ok(())
        });
        settle().await;
        let text = cx.tree().to_string();
        assert_eq!(text.matches("permits").count(), 2, "{text}");
        drop(permit);
        Ok(())
    });
    job.await.unwrap();
}

/// Never more are inside than may, in each mode, with services that are not always ready and calls that are
/// dropped.
#[test]
fn explore_never_too_many_are_inside() {
    explore(Seeds::n(16), never_too_many_are_inside).assert_passed();
}

async fn never_too_many_are_inside(seed: Seed) {
    let plan =
        FlakyPlan::seeded(seed).readiness_delays(0.3, Duration::from_millis(1700)).build().unwrap();
    let bulkhead = bulkhead(4);
    let inside = Rc::new(Cell::new((0_u32, 0_u32)));
    let inner = service_fn(|n: u64| {
        let inside = Rc::clone(&inside);
        async move {
            let (now, most) = inside.get();
            inside.set((now + 1, most.max(now + 1)));
            let _leave = Leave(&inside);
            sleep(Duration::from_millis(100 * (1 + n % 3))).await;
            Ok::<_, Infallible>(n)
        }
    });
    let flaky = FlakyService::new(inner, plan);
    let ready = BulkheadLayer::readiness(bulkhead.clone()).layer(flaky.clone());
    let wait = BulkheadLayer::wait(bulkhead.clone()).layer(flaky.clone());
    let calls = (0..60).map(|n| {
        let (mut ready, mut wait) = (ready.clone(), wait.clone());
        async move {
            let call = async {
                if n % 2 == 0 {
                    ready.ready().await.unwrap().call(n).await.unwrap();
                } else {
                    wait.ready().await.unwrap().call(n).await.unwrap();
                }
            };
            let patience = Duration::from_millis(if n % 5 == 0 { 350 } else { 1_000_000 });
            let _ = tokio::time::timeout(patience, call).await;
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(inside.get(), (0, 4));
    drop((ready, wait));
    assert_idle(&bulkhead);
}

struct Leave<'a>(&'a Cell<(u32, u32)>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let (now, most) = self.0.get();
        self.0.set((now - 1, most));
    }
}
