//! What went wrong elsewhere.

use crate::{SECOND, assert_idle, bulkhead, end, waiter};
use tidegate_bulkhead::{AcquireError, Ask, Bulkhead, ConfigError, TryAcquireError};
use tidegate_testkit::settle;
use tokio::time::Instant;

/// cowprotocol/services#4804: no permits, and everybody waits for ever.
#[test]
fn a_bulkhead_of_no_permits_cannot_be_made() {
    assert_eq!(Bulkhead::builder(0).build().unwrap_err(), ConfigError::ZeroCapacity);
    assert_eq!(Bulkhead::builder(1 << 31).build().unwrap_err(), ConfigError::CapacityTooLarge);
    let bulkhead = bulkhead(2);
    assert_eq!(bulkhead.resize(0).unwrap_err(), ConfigError::ZeroCapacity);
    assert_eq!(bulkhead.resize(u32::MAX).unwrap_err(), ConfigError::CapacityTooLarge);
    assert_eq!(bulkhead.capacity(), 2);
    let largest = Bulkhead::builder((1 << 31) - 1).build().unwrap();
    drop(largest.try_acquire_many(largest.capacity()).unwrap());
}

/// pola-rs/polars#27924: a request for more than there is waits for ever.
#[tidegate_testkit::test]
async fn a_request_larger_than_the_capacity_is_an_error() {
    let bulkhead = bulkhead(3);
    let error = bulkhead.acquire_many(4).await.unwrap_err();
    assert_eq!(error, AcquireError::TooLarge { weight: 4, capacity: 3 });
    let error = bulkhead.try_acquire_many(u32::MAX).unwrap_err();
    assert_eq!(error, TryAcquireError::TooLarge { weight: u32::MAX, capacity: 3 });
    // The same with somebody waiting, and by becoming so.
    let permit = bulkhead.try_acquire().unwrap();
    let mut large = waiter(&bulkhead, 3);
    assert!(matches!(bulkhead.acquire_many(4).await, Err(AcquireError::TooLarge { .. })));
    assert!(matches!(bulkhead.try_acquire_many(4), Err(TryAcquireError::TooLarge { .. })));
    bulkhead.resize(2).unwrap();
    let error = end(&mut large).unwrap_err();
    assert_eq!(
        (error, error.retry_after()),
        (AcquireError::TooLarge { weight: 3, capacity: 2 }, None)
    );
    drop(permit);
    assert_idle(&bulkhead);
}

/// Netflix/concurrency-limits#70: whoever comes as the last permit comes back is not forgotten.
#[tidegate_testkit::test]
async fn no_wake_up_is_lost() {
    let bulkhead = bulkhead(1);
    for _ in 0..100 {
        let permit = bulkhead.try_acquire().unwrap();
        let other = bulkhead.clone();
        let waits = tokio::spawn(async move { other.acquire().await.map(drop) });
        settle().await;
        drop(permit);
        // In the same turn, before who waited has run.
        assert!(bulkhead.try_acquire().is_err());
        waits.await.unwrap().unwrap();
    }
    assert_idle(&bulkhead);
}

/// tower-resilience#365: a limit that was lowered let in more than it, and spun.
#[test]
fn nothing_enters_above_a_limit_that_was_lowered() {
    let bulkhead = bulkhead(5);
    let mut permits: Vec<_> = (0..5).map(|_| bulkhead.try_acquire().unwrap()).collect();
    bulkhead.resize(2).unwrap();
    let mut waits = waiter(&bulkhead, 1);
    for left in (2..5).rev() {
        drop(permits.pop());
        assert_eq!((bulkhead.in_use(), bulkhead.stats().waiting), (left, 1));
        assert!(bulkhead.try_acquire().is_err());
    }
    drop(permits.pop());
    permits.push(end(&mut waits).unwrap());
    assert_eq!(bulkhead.in_use(), 2);
    assert!(bulkhead.try_acquire().is_err());
    bulkhead.resize(3).unwrap();
    permits.push(bulkhead.try_acquire().unwrap());
    assert!(bulkhead.try_acquire().is_err());
    drop(permits);
    assert_idle(&bulkhead);
}

/// tower-resilience#367 spawned a task for each waiter.
#[tidegate_testkit::test]
async fn waiting_spawns_nothing() {
    let bulkhead = bulkhead(1);
    let _permit = bulkhead.try_acquire().unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let waiters: Vec<_> = (0..100).map(|_| waiter(&bulkhead, 1)).collect();
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
    assert_eq!(bulkhead.stats().waiting, 100);
    drop(waiters);
}

/// A time that is over before it began enters only if there is room.
#[tidegate_testkit::test]
async fn no_time_is_not_for_ever() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.acquire_within(1, std::time::Duration::ZERO).await.unwrap();
    let start = Instant::now();
    let error = bulkhead.acquire_until(1, start).await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut { .. }), "{error}");
    let forever = Ask::new(1).within(std::time::Duration::MAX);
    let other = bulkhead.clone();
    let waits = tokio::spawn(async move { other.acquire_with(forever).await.map(drop) });
    tokio::time::sleep(SECOND).await;
    drop(permit);
    waits.await.unwrap().unwrap();
    assert_idle(&bulkhead);
}
