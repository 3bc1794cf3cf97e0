//! Bulkheads by key.

use crate::{SECOND, poll};
use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{Arc, Mutex},
};
use tidegate_bulkhead::{
    AcquireError, Ask, ConfigError, Event, KeyedBulkhead, Rejected, TryAcquireError, Vegas,
};
use tidegate_testkit::{cancel_everywhere, settle};
use tokio::time::sleep;

fn keyed(capacity: u32) -> KeyedBulkhead<String> {
    KeyedBulkhead::builder(capacity).max_keys(2).build().unwrap()
}

#[test]
fn a_key_that_nobody_uses_is_not_there() {
    let bulkhead = keyed(1);
    let keys = ["ann", "bob", "cid"].map(str::to_owned);
    let [ann, bob, cid] = &keys;
    let first = bulkhead.try_acquire(ann).unwrap();
    assert_eq!((first.key(), first.weight(), bulkhead.len()), (ann, 1, 1));
    // A refusal leaves nothing behind.
    assert!(matches!(bulkhead.try_acquire(ann).unwrap_err(), Rejected::Now(_)));
    assert!(matches!(bulkhead.try_acquire_many(bob, 2).unwrap_err(), Rejected::Now(_)));
    assert_eq!(bulkhead.len(), 1);
    let mut waits = Box::pin(bulkhead.acquire(ann));
    assert!(poll(waits.as_mut()).is_pending());
    let second = bulkhead.try_acquire(bob).unwrap();
    let full = Rejected::TooManyKeys { max_keys: 2 };
    assert_eq!(bulkhead.try_acquire(cid).unwrap_err(), full);
    assert!(matches!(poll(Box::pin(bulkhead.acquire(cid)).as_mut()),
        std::task::Poll::Ready(Err(error)) if error == full));
    drop(first);
    assert_eq!(bulkhead.len(), 2, "it waits still, as far as it knows");
    drop((waits, second));
    assert!(bulkhead.is_empty());
    assert!(bulkhead.try_acquire(cid).is_ok());
    assert_eq!(bulkhead.stats().keys, 0);
}

#[test]
fn a_key_may_have_a_capacity_of_its_own() {
    let bulkhead = KeyedBulkhead::<u32>::builder(1)
        .capacity_for(|key| *key)
        .each(|each| each.name("keys"))
        .build()
        .unwrap();
    assert_eq!(bulkhead.try_acquire_many(&3, 3).unwrap().weight(), 3);
    let too_large = TryAcquireError::TooLarge { weight: 1, capacity: 0 };
    assert_eq!(bulkhead.try_acquire(&0).unwrap_err(), too_large.into());
    let most = bulkhead.try_acquire_many(&u32::MAX, (1 << 31) - 1).unwrap();
    assert_eq!((bulkhead.len(), bulkhead.stats().in_use), (1, (1 << 31) - 1));
    drop(most);
    assert!(bulkhead.is_empty());
    assert!(format!("{bulkhead:?}").contains("keys"));
}

#[test]
fn a_keyed_bulkhead_is_checked_when_it_is_built() {
    let builder = KeyedBulkhead::<u32>::builder;
    assert_eq!(builder(0).build().unwrap_err(), ConfigError::ZeroCapacity);
    assert_eq!(builder(1).max_keys(0).build().unwrap_err(), ConfigError::ZeroKeys);
}

#[tidegate_testkit::test]
async fn closing_sends_away_all_who_wait_for_any_key() {
    let bulkhead = KeyedBulkhead::<u32>::builder(1).build().unwrap();
    let permits = [1, 2].map(|key| bulkhead.try_acquire(&key).unwrap());
    let waits = [1, 2].map(|key| {
        let bulkhead = bulkhead.clone();
        tokio::spawn(async move { bulkhead.acquire(&key).await.map(drop) })
    });
    settle().await;
    assert_eq!((bulkhead.stats().in_use, bulkhead.stats().waiting), (2, 2));
    bulkhead.close();
    for wait in waits {
        assert_eq!(wait.await.unwrap().unwrap_err(), AcquireError::Closed.into());
    }
    assert_eq!(bulkhead.try_acquire(&3).unwrap_err(), TryAcquireError::Closed.into());
    drop(permits);
    assert!(bulkhead.is_empty());
}

#[test]
fn a_keyed_acquire_gives_up_everything_at_every_await() {
    cancel_everywhere(
        || {
            let bulkhead = keyed(1);
            let permit = bulkhead.try_acquire(&"ann".to_owned()).unwrap();
            (bulkhead, RefCell::new(Some(permit)))
        },
        async |(bulkhead, permit)| {
            let (ann, bob) = ("ann".to_owned(), "bob".to_owned());
            let release = async {
                sleep(SECOND).await;
                drop(permit.take());
            };
            let ((), first) = tokio::join!(release, bulkhead.acquire(&ann));
            bulkhead.acquire_within(&ann, 1, SECOND).await.unwrap_err();
            drop(bulkhead.acquire_with(&bob, Ask::new(1).within(SECOND)).await.unwrap());
            drop(first);
        },
        async |(bulkhead, permit), point| {
            drop(permit.take());
            assert_eq!((bulkhead.len(), bulkhead.stats().waiting), (0, 0), "{point}");
        },
    )
    .assert_covered(4);
}

/// A key whose clone or drop asks the same bulkhead: neither happens with a lock held.
#[test]
fn keys_may_do_what_they_like_when_they_are_cloned_and_dropped() {
    #[derive(Debug)]
    struct Curious(u64, Arc<Mutex<Option<KeyedBulkhead<Curious>>>>);
    impl Curious {
        fn ask(&self) {
            let bulkhead = self.1.lock().unwrap().clone();
            if let Some(bulkhead) = bulkhead {
                assert!(bulkhead.len() <= 2 && bulkhead.stats().waiting == 0);
            }
        }
    }
    impl Clone for Curious {
        fn clone(&self) -> Self {
            self.ask();
            Self(self.0, Arc::clone(&self.1))
        }
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            self.ask();
        }
    }
    impl PartialEq for Curious {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Curious {}
    impl std::hash::Hash for Curious {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    let bulkhead = KeyedBulkhead::<Curious>::builder(1).max_keys(2).build().unwrap();
    let cell = Arc::new(Mutex::new(Some(bulkhead.clone())));
    let keys: Vec<_> = (0..3).map(|n| Curious(n, Arc::clone(&cell))).collect();
    let permits: Vec<_> = keys.iter().filter_map(|key| bulkhead.try_acquire(key).ok()).collect();
    assert_eq!(permits.iter().map(|permit| permit.key().0).collect::<HashSet<_>>().len(), 2);
    assert!(bulkhead.try_acquire(&keys[0]).is_err());
    drop(permits);
    assert!(bulkhead.is_empty());
    *cell.lock().unwrap() = None;
}

/// Two that come with the same new key at once are one key more, here one within the other.
#[test]
fn the_same_new_key_is_counted_once() {
    let me = Arc::new(Mutex::new(None::<KeyedBulkhead<u32>>));
    let inner = Arc::new(Mutex::new(None));
    let (by, permits) = (Arc::clone(&me), Arc::clone(&inner));
    let bulkhead = KeyedBulkhead::<u32>::builder(2)
        .max_keys(1)
        .capacity_for(move |key| {
            let other = by.lock().unwrap().take();
            if let Some(bulkhead) = other {
                *permits.lock().unwrap() = Some(bulkhead.try_acquire(key).unwrap());
            }
            2
        })
        .build()
        .unwrap();
    *me.lock().unwrap() = Some(bulkhead.clone());
    let permit = bulkhead.try_acquire(&7).unwrap();
    let inner = inner.lock().unwrap().take().unwrap();
    assert!(bulkhead.try_acquire(&7).is_err(), "both are out");
    let error = bulkhead.try_acquire(&8).map(drop).unwrap_err();
    assert!(matches!(error, Rejected::TooManyKeys { max_keys: 1 }), "{error}");
    drop(permit);
    assert_eq!(bulkhead.len(), 1);
    drop(inner);
    assert!(bulkhead.is_empty());
}

/// Another new key takes the last room while this one is about to: here one within the other.
#[test]
fn two_new_keys_at_a_time_are_not_more_than_there_may_be() {
    let me = Arc::new(Mutex::new(None::<KeyedBulkhead<u32>>));
    let inner = Arc::new(Mutex::new(None));
    let (by, permits) = (Arc::clone(&me), Arc::clone(&inner));
    let builder = KeyedBulkhead::<u32>::builder(2).max_keys(1).capacity_for(move |_| {
        let other = by.lock().unwrap().take();
        if let Some(bulkhead) = other {
            *permits.lock().unwrap() = Some(bulkhead.try_acquire(&8).unwrap());
        }
        2
    });
    let bulkhead = builder.build().unwrap();
    *me.lock().unwrap() = Some(bulkhead.clone());
    let error = bulkhead.try_acquire(&7).map(drop).unwrap_err();
    assert_eq!(error, Rejected::TooManyKeys { max_keys: 1 });
    assert_eq!(bulkhead.len(), 1);
    drop(inner.lock().unwrap().take());
    assert!(bulkhead.is_empty());
    assert!(bulkhead.try_acquire(&7).is_ok());
}

/// Whatever the closure does: it is asked before there is a key.
#[test]
fn a_capacity_that_panics_leaves_no_key() {
    let me = Arc::new(Mutex::new(None::<KeyedBulkhead<u32>>));
    let by = Arc::clone(&me);
    let builder = KeyedBulkhead::<u32>::builder(2).max_keys(1).capacity_for(move |_| {
        let other = by.lock().unwrap().take();
        // It is asked again, since the key was refreshed.
        let bulkhead = other.expect("the quota of this key is gone");
        assert!(!bulkhead.refresh(&7).unwrap());
        2
    });
    let bulkhead = builder.build().unwrap();
    *me.lock().unwrap() = Some(bulkhead.clone());
    let ask = std::panic::AssertUnwindSafe(|| drop(bulkhead.try_acquire(&7)));
    assert!(std::panic::catch_unwind(ask).is_err());
    assert!(bulkhead.is_empty());
    assert!(poll(Box::pin(bulkhead.drained()).as_mut()).is_ready());
}

/// It is closed while a key is about to be: here by the closure that is asked for its capacity.
#[test]
fn nobody_is_let_in_once_all_are_closed() {
    let me = Arc::new(Mutex::new(None::<KeyedBulkhead<u32>>));
    let entered = Arc::new(Mutex::new(Vec::new()));
    let (by, passed) = (Arc::clone(&me), Arc::clone(&entered));
    let builder = KeyedBulkhead::<u32>::builder(2).capacity_for(move |_| {
        let bulkhead = by.lock().unwrap().clone().unwrap();
        if !bulkhead.is_closed() {
            bulkhead.close();
            assert!(!bulkhead.refresh(&9).unwrap() && !bulkhead.refresh(&7).unwrap());
        }
        passed.lock().unwrap().extend(bulkhead.try_acquire(&7).ok());
        2
    });
    let bulkhead = builder.build().unwrap();
    *me.lock().unwrap() = Some(bulkhead.clone());
    let closed = Rejected::from(TryAcquireError::Closed);
    assert_eq!(bulkhead.try_acquire(&7).map(drop).unwrap_err(), closed);
    assert!(entered.lock().unwrap().is_empty() && bulkhead.is_empty());
    *me.lock().unwrap() = None;
}

/// For keys in use, for who waits, and for keys to come.
#[test]
fn a_resize_is_for_all_keys() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let by = Arc::clone(&heard);
    let hear = move |event: &Event| by.lock().unwrap().push(*event);
    let builder = KeyedBulkhead::<u32>::builder(1).each(|each| each.observer(hear));
    let bulkhead = builder.build().unwrap();
    let first = [1, 2].map(|key| bulkhead.try_acquire(&key).unwrap());
    let mut waits = Box::pin(bulkhead.acquire(&1));
    assert!(poll(waits.as_mut()).is_pending());
    bulkhead.clone().resize(2).unwrap();
    assert!(poll(waits.as_mut()).is_ready(), "there is room for it now, and it is back already");
    let second = [1, 2, 3].map(|key| bulkhead.try_acquire(&key).unwrap());
    assert!(bulkhead.try_acquire(&1).is_err());
    let third = bulkhead.try_acquire(&3).unwrap();
    let resized = Event::Resized { from: 1, to: 2 };
    assert_eq!(heard.lock().unwrap().iter().filter(|event| **event == resized).count(), 2);

    // Fewer than are in use: they stay, and who waits for more than there are is told.
    let mut large = Box::pin(bulkhead.acquire_with(&1, Ask::new(2)));
    assert!(poll(large.as_mut()).is_pending());
    bulkhead.resize(1).unwrap();
    let std::task::Poll::Ready(Err(error)) = poll(large.as_mut()) else { panic!("it waits") };
    assert_eq!(error, AcquireError::TooLarge { weight: 2, capacity: 1 }.into());
    assert_eq!((bulkhead.stats().in_use, bulkhead.stats().waiting), (6, 0));
    drop((first, large, waits));
    assert!(bulkhead.try_acquire(&1).is_err());
    drop((second, third));
    assert!(bulkhead.is_empty());
    drop(bulkhead.try_acquire(&4).unwrap());
    assert!(bulkhead.try_acquire_many(&4, 2).is_err());
}

#[test]
fn a_key_is_refreshed_by_what_says_its_capacity() {
    let said = Arc::new(Mutex::new(1));
    let says = Arc::clone(&said);
    let builder = KeyedBulkhead::<u32>::builder(9).capacity_for(move |_| *says.lock().unwrap());
    let bulkhead = builder.build().unwrap();
    let first = [1, 2].map(|key| bulkhead.try_acquire(&key).unwrap());
    *said.lock().unwrap() = 2;
    assert!(bulkhead.try_acquire(&1).is_err(), "it was not asked again");
    assert_eq!(bulkhead.refresh(&1), Ok(true));
    let second = bulkhead.try_acquire(&1).unwrap();
    assert!(bulkhead.try_acquire(&2).is_err(), "this one was not");
    assert_eq!(bulkhead.refresh(&3), Ok(false), "it is asked when it comes");
    drop(bulkhead.try_acquire_many(&3, 2).unwrap());
    // Nothing enters for a key of none; and there are never more than there can be.
    *said.lock().unwrap() = 0;
    assert_eq!(bulkhead.refresh(&1), Ok(true));
    let error = bulkhead.try_acquire(&1).unwrap_err();
    assert_eq!(error, TryAcquireError::TooLarge { weight: 1, capacity: 0 }.into());
    *said.lock().unwrap() = u32::MAX;
    assert_eq!(bulkhead.refresh(&1), Ok(true));
    drop(bulkhead.try_acquire_many(&1, (1 << 31) - 3).unwrap());
    assert!(bulkhead.try_acquire_many(&1, (1 << 31) - 2).is_err());
    drop((first, second));
    assert!(bulkhead.is_empty());
}

#[test]
fn a_resize_that_cannot_be_is_an_error_and_changes_nothing() {
    let plain = KeyedBulkhead::<u32>::builder(2).build().unwrap();
    assert_eq!(plain.resize(0), Err(ConfigError::ZeroCapacity));
    assert_eq!(plain.resize(1 << 31), Err(ConfigError::CapacityTooLarge));
    let own = KeyedBulkhead::<u32>::builder(2).capacity_for(|_| 2).build().unwrap();
    assert_eq!(own.resize(3), Err(ConfigError::CapacityByKey));
    let builder = KeyedBulkhead::<u32>::builder(2);
    let adapts = builder.each(|each| each.limit(Vegas::new())).build().unwrap();
    let _permits = [&plain, &own, &adapts].map(|bulkhead| {
        let permit = bulkhead.try_acquire(&1).unwrap();
        (permit, bulkhead.try_acquire(&1).unwrap())
    });
    assert_eq!(
        (adapts.resize(3), adapts.refresh(&1)),
        (Err(ConfigError::Adapts), Err(ConfigError::Adapts))
    );
    for bulkhead in [plain, own, adapts] {
        assert!(bulkhead.try_acquire(&1).is_err());
    }
}

#[tidegate_testkit::test]
async fn a_keyed_bulkhead_is_drained_when_its_last_key_leaves() {
    let bulkhead = keyed(1);
    bulkhead.drained().await;
    let [ann, bob] = ["ann", "bob"].map(str::to_owned);
    let permits = [&ann, &bob].map(|key| bulkhead.try_acquire(key).unwrap());
    let waits = bulkhead.acquire(&ann);
    let waits = tokio::spawn(async move { waits.await.map(drop) });
    let drained = [(); 2].map(|()| tokio::spawn(bulkhead.drained()));
    settle().await;
    assert!(!bulkhead.is_closed());
    bulkhead.close();
    assert!(bulkhead.is_closed());
    assert_eq!(waits.await.unwrap().unwrap_err(), AcquireError::Closed.into());
    let [first, second] = permits;
    drop(first);
    settle().await;
    assert!(drained.iter().all(|drained| !drained.is_finished()), "one is out");
    drop(second);
    for drained in drained {
        drained.await.unwrap();
    }
    bulkhead.drained().await;
    assert!(bulkhead.is_empty());
}

#[test]
fn waiting_for_all_keys_to_drain_gives_up_everything_at_every_await() {
    cancel_everywhere(
        || {
            let bulkhead = keyed(1);
            let permits = ["ann", "bob"].map(|key| bulkhead.try_acquire(&key.to_owned()).ok());
            (bulkhead, RefCell::new(permits))
        },
        async |(bulkhead, permits)| {
            let release = async {
                for n in [1, 0] {
                    sleep(SECOND).await;
                    permits.borrow_mut()[n] = None;
                }
            };
            let drained = async {
                bulkhead.drained().await;
                assert!(bulkhead.is_empty());
            };
            tokio::join!(release, drained);
        },
        async |(bulkhead, permits), point| {
            drop(permits.take());
            assert!(bulkhead.is_empty(), "{point}");
            bulkhead.drained().await;
        },
    )
    .assert_covered(3);
}
