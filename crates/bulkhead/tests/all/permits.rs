//! What comes back, and when.

use crate::{assert_idle, bulkhead, end, waiter};
use tidegate_bulkhead::{AcquireError, TryAcquireError};
use tidegate_testkit::settle;

#[test]
fn permits_come_back_once() {
    let bulkhead = bulkhead(3);
    let (one, two) = (bulkhead.try_acquire().unwrap(), bulkhead.try_acquire_ref(2).unwrap());
    assert_eq!((one.weight(), two.weight(), bulkhead.in_use()), (1, 2, 3));
    let full = bulkhead.try_acquire_many(2).unwrap_err();
    assert_eq!(
        full,
        TryAcquireError::Full { in_use: 3, capacity: 3, waiting: 0, retry_after: None }
    );
    drop(two);
    assert_eq!(bulkhead.in_use(), 1);
    drop(one);
    assert_idle(&bulkhead);
    // Permits of none weigh nothing, and give nothing back.
    drop(bulkhead.try_acquire_many(0).unwrap());
    assert_idle(&bulkhead);
}

#[test]
fn permits_can_be_split_and_merged() {
    let bulkhead = bulkhead(5);
    let mut all = bulkhead.try_acquire_many(5).unwrap();
    assert!(all.split(6).is_none());
    let part = all.split(2).unwrap();
    let nothing = all.split(0).unwrap();
    assert_eq!((all.weight(), part.weight(), nothing.weight()), (3, 2, 0));
    drop(nothing);
    assert_eq!(bulkhead.in_use(), 5);
    drop(all);
    assert_eq!(bulkhead.in_use(), 2);
    let mut all = bulkhead.try_acquire_many(3).unwrap();
    all.merge(part).unwrap();
    assert_eq!((all.weight(), bulkhead.in_use()), (5, 5));
    let other = crate::bulkhead(1).try_acquire().unwrap();
    assert_eq!(all.merge(other).unwrap_err().weight(), 1, "it is handed back");
    drop(all);
    assert_idle(&bulkhead);
}

#[test]
fn closing_sends_away_who_waits_and_lets_stay_who_is_in() {
    let bulkhead = bulkhead(2);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let mut let_in = waiter(&bulkhead, 1);
    let mut waits = waiter(&bulkhead, 2);
    let part = { permit }.split(1).unwrap();
    // One was let in before, and does not know of it.
    bulkhead.close();
    bulkhead.close();
    let let_in = end(&mut let_in).unwrap();
    assert_eq!(end(&mut waits).unwrap_err(), AcquireError::Closed);
    assert_eq!(bulkhead.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(bulkhead.try_acquire_many(0).unwrap_err(), TryAcquireError::Closed);
    assert!(bulkhead.is_closed());
    assert_eq!(bulkhead.in_use(), 2);
    drop((part, let_in));
    assert_eq!(bulkhead.in_use(), 0);
    assert_eq!(bulkhead.try_acquire().unwrap_err(), TryAcquireError::Closed);
}

#[tidegate_testkit::test]
async fn a_drain_ends_with_the_last_permit() {
    let bulkhead = bulkhead(2);
    bulkhead.drained().await;
    let permits = [(); 2].map(|()| bulkhead.try_acquire().unwrap());
    let drains = [(); 2].map(|()| {
        let bulkhead = bulkhead.clone();
        tokio::spawn(async move { bulkhead.drained().await })
    });
    settle().await;
    let [first, last] = permits;
    drop(first);
    // It goes on letting in meanwhile, unless it is closed.
    let other = bulkhead.try_acquire().unwrap();
    drop(last);
    settle().await;
    assert!(!drains.iter().any(tokio::task::JoinHandle::is_finished));
    drop(other);
    for drain in drains {
        drain.await.unwrap();
    }
    assert_idle(&bulkhead);
    bulkhead.close();
    bulkhead.drained().await;
}

#[test]
fn a_larger_capacity_lets_in_who_waits() {
    let bulkhead = bulkhead(2);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let mut waiters = [1, 2, 1].map(|n| waiter(&bulkhead, n));
    bulkhead.resize(5).unwrap();
    let [first, second, third] = &mut waiters;
    let entered = (end(first).unwrap(), end(second).unwrap());
    assert!(crate::poll(third.as_mut()).is_pending());
    drop((permit, entered));
    assert!(end(third).is_ok());
    drop(waiters);
    assert_idle(&bulkhead);
}

/// What crosses threads, and outlives whoever made it.
#[test]
fn permits_and_futures_can_go_anywhere() {
    fn anywhere<T: Send + 'static>() {}
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<tidegate_bulkhead::Bulkhead>();
    shared::<tidegate_bulkhead::Compartments>();
    shared::<tidegate_bulkhead::KeyedBulkhead<String>>();
    anywhere::<tidegate_bulkhead::Permit>();
    anywhere::<tidegate_bulkhead::Acquire>();
    anywhere::<tidegate_bulkhead::Drained>();
    anywhere::<tidegate_bulkhead::KeyedPermit<String>>();
    anywhere::<tidegate_bulkhead::KeyedAcquire<String>>();
    // A pair of words, also if it may not be there: it is moved by way of registers.
    assert_eq!(size_of::<Option<tidegate_bulkhead::Permit>>(), 16);
}
