//! The mode that never waits.

use super::{echo, slow};
use crate::{SECOND, assert_idle, bulkhead};
use std::{convert::Infallible, pin::pin};
use tidegate_bulkhead::{Bulkhead, BulkheadError, BulkheadLayer, Rejected, TryAcquireError};
use tower::{Layer, Service, ServiceExt, service_fn};

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
