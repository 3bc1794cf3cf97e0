//! The mode that waits in the call.

use super::{Full, echo, flaky, full, slow};
use crate::{SECOND, assert_idle, bulkhead};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};
use tidegate_bulkhead::{AcquireError, Bulkhead, BulkheadError, BulkheadLayer, Priority};
use tidegate_testkit::{FlakyPlan, Seed, cancel_everywhere};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn};

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
