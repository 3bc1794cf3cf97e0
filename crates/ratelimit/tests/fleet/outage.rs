//! A store that is down, and is back.

use super::store::{Faulty, Trouble};
use std::{sync::Arc, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetAcquireError, FleetLimiter, FleetTryAcquireError, StoreError},
};
use tidegate_testkit::settle;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn limiter(store: &Arc<Faulty>, fallback: Fallback) -> FleetLimiter<Arc<Faulty>> {
    FleetLimiter::builder(Arc::clone(store), Quota::new(Rate::per_second(100), 40))
        .lease(4)
        .fallback(fallback)
        .build()
        .unwrap()
}

async fn passes(limiter: &FleetLimiter<Arc<Faulty>>, key: &str) -> u64 {
    let mut count = 0;
    while limiter.try_acquire(key, 1).await.is_ok() {
        count += 1;
        assert!(count < 1000);
    }
    count
}

const SHARE: Fallback = Fallback::LocalShare { instances: 4 };

#[tidegate_testkit::test]
async fn one_request_waits_for_a_store_that_hangs_and_the_others_do_not() {
    let store = Faulty::memory(Trouble::Hangs);
    let limiter = limiter(&store, SHARE);
    let start = Instant::now();
    assert_eq!(passes(&limiter, "a").await, 10, "the share of one of four");
    assert_eq!(start.elapsed(), MS(100), "one timeout");
    let (mut waited, mut decided) = (0, 0);
    while start.elapsed() < Duration::from_secs(60) {
        let before = Instant::now();
        let _ = limiter.try_acquire("b", 1).await;
        waited += u32::from(before.elapsed() > Duration::ZERO);
        decided += 1;
        sleep(MS(10)).await;
    }
    assert!(waited <= 120 && decided > 5000, "{waited} of {decided}");
    assert!(limiter.stats().is_degraded);
}

#[tidegate_testkit::test]
async fn a_store_that_is_back_decides_again() {
    let store = Faulty::memory(Trouble::Fails);
    let limiter = limiter(&store, SHARE);
    assert_eq!(passes(&limiter, "a").await, 10);
    store.set(Trouble::Nothing);
    let start = Instant::now();
    while limiter.stats().is_degraded {
        let _ = limiter.try_acquire("a", 1).await;
        sleep(MS(1)).await;
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let local = limiter.stats().local;
    sleep(MS(500)).await;
    assert_eq!(passes(&limiter, "a").await, 10, "others may not have found it yet");
    sleep(MS(2_000)).await;
    // And what is left of a lease.
    assert!((40..=44).contains(&passes(&limiter, "a").await));
    assert_eq!(limiter.stats().local, local);
}

#[tidegate_testkit::test]
async fn a_key_at_its_limit_gets_no_burst_by_an_outage() {
    let store = Faulty::memory(Trouble::Nothing);
    let all: Vec<_> = (0..4).map(|_| limiter(&store, SHARE)).collect();
    let start = Instant::now();
    let mut admitted = 0;
    for step in 0..3000 {
        // Down for a second, twice; and it forgets all it knew, the second time.
        let is_down = (500..1500).contains(&step) || (2000..2500).contains(&step);
        store.set(if is_down { Trouble::Fails } else { Trouble::Nothing });
        for limiter in &all {
            admitted += passes(limiter, "a").await;
        }
        sleep(MS(1)).await;
    }
    let time = u64::try_from(start.elapsed().as_millis()).unwrap();
    let most = 40 + time / 10 + 4 * 4;
    assert!(admitted <= most, "{admitted} of {most}");
    // A share begins empty, twice.
    assert!(admitted * 10 >= most * 8, "{admitted} of {most}");
    assert!(all.iter().all(|limiter| limiter.stats().local > 0));
}

#[tidegate_testkit::test]
async fn closed_is_closed_but_for_what_is_in_hand() {
    let store = Faulty::memory(Trouble::Nothing);
    let limiter = limiter(&store, Fallback::Closed);
    limiter.try_acquire("a", 1).await.unwrap();
    store.set(Trouble::Fails);
    assert_eq!(passes(&limiter, "a").await, 3);
    let error = limiter.try_acquire("a", 1).await.unwrap_err();
    assert!(error.retry_after().unwrap() > Duration::ZERO);
    let FleetTryAcquireError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, StoreError::Unreachable(_)));
    let error = limiter.acquire("b", 1).await.unwrap_err();
    assert!(matches!(error, FleetAcquireError::Unavailable { .. }));
}

#[tidegate_testkit::test]
async fn a_timeout_is_told_by_its_type() {
    let store = Faulty::memory(Trouble::Hangs);
    let limiter = limiter(&store, Fallback::Closed);
    let error = limiter.try_acquire("a", 1).await.unwrap_err();
    let FleetTryAcquireError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, StoreError::Timeout(after) if after == MS(100)), "{source:?}");
}

#[tidegate_testkit::test]
async fn open_is_open() {
    let store = Faulty::memory(Trouble::Fails);
    let limiter = limiter(&store, Fallback::Open);
    for _ in 0..1000 {
        limiter.try_acquire("a", 1).await.unwrap();
    }
    assert_eq!(limiter.stats().local, 1000);
}

#[tidegate_testkit::test]
async fn a_store_that_panics_is_down() {
    let store = Faulty::memory(Trouble::Panics);
    let limiter = limiter(&store, SHARE);
    assert_eq!(passes(&limiter, "a").await, 10);
    store.set(Trouble::Nothing);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(passes(&limiter, "a").await, 10);
    sleep(Duration::from_secs(2)).await;
    // And what is left of a lease.
    assert!((40..=44).contains(&passes(&limiter, "a").await));
}

/// A hundred instances would be a hundred probes; a hundred requests of one are one.
#[tidegate_testkit::test]
async fn no_herd_when_it_is_back() {
    let store = Faulty::memory(Trouble::Fails);
    let limiter = limiter(&store, SHARE);
    limiter.try_acquire("a", 1).await.unwrap();
    store.set(Trouble::Slow(MS(20)));
    sleep(MS(200)).await;
    let asked = store.asked();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let limiter = limiter.clone();
        let key = format!("key {}", number % 50);
        tasks.spawn(async move { limiter.try_acquire(&key, 1).await.is_ok() });
    }
    settle().await;
    assert_eq!(store.asked() - asked, 1);
    assert_eq!(tasks.join_all().await.into_iter().filter(|passes| *passes).count(), 100);
    assert!(!limiter.stats().is_degraded);
}

/// A hundred instances that fail together do not come back together.
#[tidegate_testkit::test]
async fn no_herd_of_instances_while_it_is_down_and_when_it_is_back() {
    let store = Faulty::memory(Trouble::Fails);
    let all: Vec<_> = (0..100).map(|_| limiter(&store, SHARE)).collect();
    let (mut most, mut asked) = (0, 0);
    for step in 0..8000 {
        if step == 5000 {
            store.set(Trouble::Nothing);
        }
        // Keys of which the shares are at their limit, and fill together.
        for limiter in &all {
            let _ = limiter.try_acquire(&(step % 7).to_string(), 1).await;
        }
        let more = store.asked() - asked;
        asked += more;
        match step {
            0 => assert_eq!(more, 100, "all find it down together"),
            1..5000 => most = most.max(more),
            _ => {}
        }
        sleep(MS(1)).await;
    }
    assert!((2..=20).contains(&most), "{most} in a millisecond");
    assert!(all.iter().all(|limiter| !limiter.stats().is_degraded));
    // The first, and one after each delay: of 50 to 100 ms, 100 to 200, 200 to 400, 400 to 800, then 500 to 1000.
    let errors: u64 = all.iter().map(|limiter| limiter.stats().errors).sum();
    assert!((700..=1200).contains(&errors), "{errors}");
}

/// A share that takes long to fill does not keep the limiter from finding the store.
#[tidegate_testkit::test]
async fn a_store_that_is_back_is_found_when_it_would_have_a_token() {
    let store = Faulty::memory(Trouble::Nothing);
    let builder = FleetLimiter::builder(Arc::clone(&store), Quota::new(Rate::per_minute(6), 4));
    let builder = builder.lease(1).fallback(Fallback::LocalShare { instances: 100 });
    let limiter = builder.build().unwrap();
    assert_eq!(passes(&limiter, "a").await, 4);
    store.set(Trouble::Fails);
    let start = Instant::now();
    // The first token comes back after ten seconds, the first one of the share after a thousand.
    while !limiter.stats().is_degraded {
        let _ = limiter.try_acquire("a", 1).await;
        sleep(MS(10)).await;
    }
    sleep(Duration::from_secs(20)).await;
    store.set(Trouble::Nothing);
    while limiter.stats().is_degraded {
        let _ = limiter.try_acquire("a", 1).await;
        sleep(MS(10)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(32), "{:?}", start.elapsed());
}

/// Nobody has said what is to pass.
#[tidegate_testkit::test]
async fn the_default_is_the_share_of_one_of_two() {
    let store = Faulty::memory(Trouble::Fails);
    let quota = Quota::new(Rate::per_second(100), 40);
    let limiter = FleetLimiter::builder(store, quota).lease(4).build().unwrap();
    assert_eq!(passes(&limiter, "a").await, 20);
    sleep(MS(100)).await;
    assert_eq!(passes(&limiter, "a").await, 5, "and half of the rate");
}

#[tidegate_testkit::test]
async fn who_waits_goes_on_without_the_store_and_with_it_again() {
    let store = Faulty::memory(Trouble::Nothing);
    let limiter = limiter(&store, SHARE);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while start.elapsed() < Duration::from_secs(9) {
                limiter.acquire("a", 1).await.unwrap();
                count += 1;
            }
            count
        });
    }
    sleep(Duration::from_secs(3)).await;
    store.set(Trouble::Hangs);
    sleep(Duration::from_secs(3)).await;
    store.set(Trouble::Nothing);
    let count: u64 = tasks.join_all().await.into_iter().sum();
    // At the whole rate for six seconds, and at a quarter of it for three; less what the timeouts of
    // probes cost, and the time until one finds it well.
    assert!((500..=40 + 600 + 75 + 20).contains(&count), "{count}");
    assert!(!limiter.stats().is_degraded);
}

/// Who comes with other keys while the store is down has his own forgotten by that.
#[tidegate_testkit::test]
async fn a_flood_of_keys_gives_no_share_anew() {
    let store = Faulty::memory(Trouble::Fails);
    let builder = FleetLimiter::builder(store, Quota::new(Rate::per_second(100), 40));
    let limiter = builder.lease(4).fallback(SHARE).max_keys(1).build().unwrap();
    let mut admitted = passes(&limiter, "a").await;
    assert_eq!(admitted, 10);
    for round in 0..10 {
        let _ = limiter.try_acquire(&round.to_string(), 1).await;
        admitted += passes(&limiter, "a").await;
    }
    assert_eq!(admitted, 10, "for one key, in no time");
}

/// There is no room for a key, as another one is in use.
#[tidegate_testkit::test]
async fn a_key_without_room_has_no_share_for_each_request() {
    let store = Faulty::memory(Trouble::Fails);
    let builder = FleetLimiter::builder(store, Quota::new(Rate::per_second(100), 40));
    let limiter = builder.lease(4).fallback(SHARE).max_keys(1).build().unwrap();
    let permit = limiter.try_acquire("a", 1).await.unwrap();
    let admitted = passes(&limiter, "b").await;
    assert!(admitted <= 10, "{admitted}");
    drop(permit);
    assert!(passes(&limiter, "a").await <= 10);
}

/// What passes locally while a probe is under way is told with the next exchange.
#[tidegate_testkit::test]
async fn what_passes_beside_a_probe_is_not_forgotten() {
    let store = Faulty::memory(Trouble::Nothing);
    let all: Vec<_> = (0..4).map(|_| limiter(&store, SHARE)).collect();
    let start = Instant::now();
    let end = Duration::from_secs(60);
    let mut tasks = JoinSet::new();
    for limiter in all.iter().flat_map(|limiter| [limiter.clone(), limiter.clone()]) {
        tasks.spawn(async move {
            let mut count = 0;
            while start.elapsed() < end {
                count += passes(&limiter, "a").await;
                sleep(MS(1)).await;
            }
            count
        });
    }
    while start.elapsed() < end {
        sleep(MS(2500)).await;
        store.set(Trouble::Fails);
        sleep(MS(500)).await;
        store.set(Trouble::Slow(MS(48)));
    }
    let admitted: u64 = tasks.join_all().await.into_iter().sum();
    let time = u64::try_from(start.elapsed().as_millis()).unwrap();
    let most = 40 + time / 10 + 4 * 4;
    assert!(admitted <= most, "{admitted} of {most}");
}
