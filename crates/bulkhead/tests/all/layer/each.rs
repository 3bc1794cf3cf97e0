//! What holds in each mode.

use super::{echo, flaky, poll_ready, ready, slow};
use crate::{SECOND, assert_idle, bulkhead};
use std::{
    cell::Cell,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};
use tidegate_bulkhead::{
    Bulkhead, BulkheadError, BulkheadLayer, Compartments, KeyedBulkhead, Permit, Permitted,
    Rejected,
};
use tidegate_core::{Cx, scope};
use tidegate_testkit::{FlakyError, FlakyPlan, FlakyService, Seed, Seeds, explore, settle};
use tokio::time::{Duration, Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

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
