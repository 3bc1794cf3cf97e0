//! Bulkheads by name and by key.

use crate::{SECOND, poll};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};
use tidegate_bulkhead::{
    AcquireError, Ask, Bulkhead, Compartments, ConfigError, KeyedBulkhead, Rejected,
    TryAcquireError,
};
use tidegate_testkit::{cancel_everywhere, settle};
use tokio::time::sleep;

#[test]
fn compartments_do_not_concern_each_other() {
    let compartments = Compartments::builder()
        .add("db", 2)
        .add_with("search", Bulkhead::builder(1).name("its name is the one above"))
        .build()
        .unwrap();
    let permits = [(); 2].map(|()| compartments.try_acquire("db").unwrap());
    let full = compartments.try_acquire("db").unwrap_err();
    assert!(matches!(full, Rejected::Now(TryAcquireError::Full { in_use: 2, .. })), "{full}");
    let other = compartments.try_acquire("search").unwrap();
    let names: Vec<_> = compartments.iter().map(|bulkhead| bulkhead.name().to_string()).collect();
    assert_eq!(names, ["db", "search"]);
    compartments.clone().close();
    let closed = compartments.try_acquire("search").unwrap_err();
    assert_eq!(closed, TryAcquireError::Closed.into());
    drop((permits, other));
    assert!(compartments.iter().all(|bulkhead| bulkhead.in_use() == 0));
    let text = format!("{compartments:?}");
    assert!(text.contains("db") && text.contains("search"), "{text}");
}

#[test]
fn an_unknown_name_is_an_error_that_tells_the_known_ones() {
    let compartments = Compartments::builder().add("db", 2).add("search", 1).build().unwrap();
    let error = compartments.get("dbb").unwrap_err();
    assert_eq!(error.name(), "dbb");
    assert_eq!(error.known().len(), 2);
    assert_eq!(error.to_string(), "no compartment `dbb`; there are `db`, `search`");
    assert!(compartments.acquire("").is_err());
    let one = Compartments::builder().add("db", 2).build().unwrap();
    assert_eq!(one.get("x").unwrap_err().to_string(), "no compartment `x`; there is `db`");
    let none = Compartments::builder().build().unwrap();
    assert_eq!(none.get("x").unwrap_err().to_string(), "no compartment `x`; there are none");
}

#[test]
fn compartments_that_cannot_be_are_named() {
    let error = Compartments::builder().add("db", 2).add("db", 3).build().unwrap_err();
    assert_eq!(error, ConfigError::DuplicateCompartment { name: "db".into() });
    let error = Compartments::builder().add("db", 0).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "compartment `db`: the capacity is zero: nothing would ever enter"
    );
}

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
            (bulkhead, std::cell::RefCell::new(Some(permit)))
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
