//! A key that the store refuses, and no other.

use super::store::{Faulty, Trouble};
use std::{sync::Arc, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetLimiter, FleetTryAcquireError, MemoryStore, Store, StoreError},
};
use tokio::time::{Instant, sleep};

const MS: fn(u64) -> Duration = Duration::from_millis;

const SHARE: Fallback = Fallback::LocalShare { instances: 4 };

fn limiter<S: Store>(store: S, fallback: Fallback) -> FleetLimiter<S> {
    FleetLimiter::builder(store, Quota::new(Rate::per_second(100), 40))
        .lease(4)
        .fallback(fallback)
        .build()
        .unwrap()
}

async fn passes<S: Store>(limiter: &FleetLimiter<S>, key: &str) -> u64 {
    let mut count = 0;
    while limiter.try_acquire(key, 1).await.is_ok() {
        count += 1;
        assert!(count < 1000);
    }
    count
}

#[tidegate_testkit::test]
async fn a_store_that_is_full_is_not_down() {
    let limiter = limiter(MemoryStore::new(1), SHARE);
    limiter.try_acquire("a", 1).await.unwrap();
    assert_eq!(passes(&limiter, "b").await, 10, "the share of one of four");
    let stats = limiter.stats();
    assert_eq!((stats.errors, stats.key_errors, stats.is_degraded), (0, 1, false));
    assert_eq!(passes(&limiter, "a").await, 39, "the other key is with the store");
    assert_eq!(limiter.stats().local, 10);
    // The first one is full, and makes room for the second one.
    sleep(Duration::from_secs(2)).await;
    limiter.try_acquire("b", 1).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!((40..=44).contains(&passes(&limiter, "b").await), "all of the key again");
    assert_eq!((limiter.stats().local, limiter.stats().key_errors), (10, 1));
}

#[tidegate_testkit::test]
async fn a_key_that_is_refused_is_asked_for_again_later_each_time() {
    let store = Faulty::memory(Trouble::Refuses);
    let limiter = limiter(Arc::clone(&store), SHARE);
    let start = Instant::now();
    let (mut good, mut bad) = (0, 0);
    while start.elapsed() < Duration::from_secs(60) {
        good += passes(&limiter, "good").await;
        bad += passes(&limiter, "bad").await;
        sleep(MS(5)).await;
    }
    let stats = limiter.stats();
    assert!((40..=130).contains(&stats.key_errors), "{stats:?}");
    assert_eq!((stats.errors, stats.is_degraded), (0, false));
    assert!((6000..=6044).contains(&good), "{good}");
    assert!((1490..=1510).contains(&bad), "{bad}: a quarter of the rate");
}

#[tidegate_testkit::test]
async fn what_is_wrong_with_a_key_is_told_by_its_type() {
    let store = Faulty::memory(Trouble::Refuses);
    let limiter = limiter(Arc::clone(&store), Fallback::Closed);
    let error = limiter.try_acquire("bad", 1).await.unwrap_err();
    assert!(error.retry_after().unwrap() > Duration::ZERO);
    let FleetTryAcquireError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(source.is_of_key() && matches!(source, StoreError::KeyRefused(_)), "{source:?}");
    let asked = store.asked();
    for _ in 0..100 {
        limiter.try_acquire("bad", 1).await.unwrap_err();
    }
    assert_eq!(store.asked(), asked, "not before it may be well again");
    limiter.try_acquire("good", 1).await.unwrap();
    store.set(Trouble::Nothing);
    sleep(Duration::from_secs(1)).await;
    limiter.try_acquire("bad", 1).await.unwrap();
}

#[tidegate_testkit::test]
async fn a_refused_key_is_open_if_the_limit_is_a_courtesy() {
    let limiter = limiter(Faulty::memory(Trouble::Refuses), Fallback::Open);
    for _ in 0..1000 {
        limiter.try_acquire("bad", 1).await.unwrap();
    }
    assert_eq!(passes(&limiter, "good").await, 40);
}

/// A key at its limit that is refused now and then, of which the store may know nothing after.
#[tidegate_testkit::test]
async fn a_key_that_is_refused_now_and_then_keeps_to_the_bound() {
    let store = Faulty::memory(Trouble::Nothing);
    let all: Vec<_> = (0..4).map(|_| limiter(Arc::clone(&store), SHARE)).collect();
    let start = Instant::now();
    let mut admitted = 0;
    for step in 0..10_000 {
        let is_bad = (500..1500).contains(&step) || (4000..4500).contains(&step);
        store.set(if is_bad { Trouble::Refuses } else { Trouble::Nothing });
        for limiter in &all {
            admitted += passes(limiter, "bad").await;
        }
        sleep(MS(1)).await;
    }
    let time = u64::try_from(start.elapsed().as_millis()).unwrap();
    let most = 40 + time / 10 + 4 * 4;
    assert!(admitted <= most && admitted * 10 >= most * 9, "{admitted} of {most}");
    assert!(all.iter().all(|limiter| limiter.stats().local > 0 && limiter.stats().errors == 0));
}

/// A probe finds the store well, whatever it says of the key.
#[tidegate_testkit::test]
async fn a_store_that_refuses_a_key_is_back() {
    let store = Faulty::memory(Trouble::Fails);
    let limiter = limiter(Arc::clone(&store), SHARE);
    limiter.try_acquire("bad", 1).await.unwrap();
    assert!(limiter.stats().is_degraded);
    store.set(Trouble::Refuses);
    sleep(Duration::from_secs(1)).await;
    limiter.try_acquire("bad", 1).await.unwrap();
    let stats = limiter.stats();
    assert_eq!((stats.errors, stats.key_errors, stats.is_degraded), (1, 1, false));
}
