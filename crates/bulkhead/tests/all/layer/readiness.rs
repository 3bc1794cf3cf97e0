//! The mode that waits in `poll_ready`.

use super::{Full, echo, flaky, full, poll_ready, ready, slow};
use crate::{SECOND, assert_idle, bulkhead};
use std::{
    cell::Cell,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};
use tidegate_bulkhead::{
    AcquireError, Ask, Bulkhead, BulkheadError, BulkheadLayer, Priority, Rejected,
};
use tidegate_testkit::{FlakyPlan, Seed, cancel_everywhere};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

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

/// What is asked again whether it is ready does not take a permit anew: it would be the turn of others.
#[tidegate_testkit::test]
async fn a_service_that_is_ready_stays_so_while_others_wait() {
    let bulkhead = bulkhead(1);
    let mut service = BulkheadLayer::readiness(bulkhead.clone()).layer(echo());
    ready(&mut service).await.unwrap();
    let mut waits = crate::waiter(&bulkhead, 1);
    for _ in 0..3 {
        assert!(poll_ready(&mut service).is_ready());
        assert_eq!(bulkhead.stats().waiting, 1);
    }
    assert_eq!(service.call(7).await.unwrap(), 7);
    drop(crate::end(&mut waits).unwrap());
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
