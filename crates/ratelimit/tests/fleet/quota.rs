//! Quotas of keys, and quotas that change.

use super::store::{Faulty, Trouble};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{
        FleetAcquireError, FleetConfigError, FleetLimiter, FleetTryAcquireError, MemoryStore, Store,
    },
};
use tidegate_testkit::settle;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

async fn passes<S: Store>(limiter: &FleetLimiter<S>, key: &str) -> u64 {
    let mut count = 0;
    while limiter.try_acquire(key, 1).await.is_ok() {
        count += 1;
        assert!(count < 10_000);
    }
    count
}

#[tidegate_testkit::test]
async fn keys_have_quotas_of_their_own_that_may_change() {
    let burst = Arc::new(AtomicU64::new(20));
    let told = Arc::clone(&burst);
    let limiter = FleetLimiter::builder(MemoryStore::new(10), Quota::new(Rate::per_day(1), 1))
        .quota_for(move |key| match key {
            "free" => Quota::new(Rate::per_day(1), 3),
            "open" => Quota::new(Rate::UNLIMITED, 1),
            "never" => Quota::new(Rate::ZERO, 1),
            _ => Quota::new(Rate::per_day(1), told.load(SeqCst)),
        })
        .build()
        .unwrap();
    assert_eq!((passes(&limiter, "free").await, passes(&limiter, "paid").await), (3, 20));
    for _ in 0..1000 {
        limiter.try_acquire("open", 1).await.unwrap();
    }
    let never = limiter.try_acquire("never", 1).await.unwrap_err();
    assert!(matches!(never, FleetTryAcquireError::Quota(FleetConfigError::NeverRefills)));
    assert!(matches!(limiter.acquire("never", 1).await, Err(FleetAcquireError::Quota(_))));
    // What is owed stays owed: twenty days.
    burst.store(25, SeqCst);
    assert_eq!((passes(&limiter, "paid").await, passes(&limiter, "free").await), (5, 0));
}

#[tidegate_testkit::test]
async fn a_quota_is_changed_for_those_who_wait() {
    let limiter = FleetLimiter::builder(MemoryStore::new(10), Quota::new(Rate::per_hour(1), 10))
        .lease(1)
        .build()
        .unwrap();
    limiter.try_acquire("a", 10).await.unwrap();
    let (small, large) = (limiter.clone(), limiter.clone());
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    tasks.spawn(async move { small.acquire("a", 1).await.map(|permit| permit.cost()) });
    settle().await;
    tasks.spawn(async move { large.acquire("a", 10).await.map(|permit| permit.cost()) });
    settle().await;
    limiter.set_quota(Quota::new(Rate::per_second(10), 5)).unwrap();
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(10), 5));
    let mut done = tasks.join_all().await;
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    let never = done.pop().unwrap().unwrap_err();
    assert!(matches!(never, FleetAcquireError::Never { cost: 10, possible: 5 }), "{never:?}");
    assert_eq!(done.pop().unwrap().unwrap(), 1);
    let refused = limiter.set_quota(Quota::new(Rate::ZERO, 5)).unwrap_err();
    assert_eq!(refused, FleetConfigError::NeverRefills);
    assert_eq!(limiter.quota(), Quota::new(Rate::per_second(10), 5));
}

#[tidegate_testkit::test]
async fn a_lease_that_is_out_is_no_more_than_one_of_the_new_quota() {
    let store = Arc::new(MemoryStore::new(10));
    let quota = Quota::new(Rate::per_second(100), 100);
    let build = || FleetLimiter::builder(Arc::clone(&store), quota).lease(50).build().unwrap();
    let (one, other) = (build(), build());
    one.try_acquire("a", 1).await.unwrap();
    for limiter in [&one, &other] {
        limiter.set_quota(Quota::new(Rate::per_second(10), 5)).unwrap();
    }
    assert_eq!((one.peek("a").await.in_hand, one.stats().forfeited), (5, 44));
    // Half a second is owed, which is all of the new burst.
    assert_eq!((passes(&other, "a").await, passes(&one, "a").await), (0, 5));
    sleep(MS(500)).await;
    assert_eq!(passes(&one, "a").await + passes(&other, "a").await, 5);
}

#[tidegate_testkit::test]
async fn changes_under_load_add_no_more_than_a_burst_for_each_lower_rate() {
    let store = Arc::new(MemoryStore::new(10));
    let quotas = [Quota::new(Rate::per_second(1000), 100), Quota::new(Rate::per_second(500), 100)];
    let build = || FleetLimiter::builder(Arc::clone(&store), quotas[0]).lease(10).build().unwrap();
    let all: Vec<_> = (0..3).map(|_| build()).collect();
    let start = Instant::now();
    let mut admitted = 0;
    for step in 0..10_000_usize {
        if step % 500 == 0 {
            for limiter in &all {
                limiter.set_quota(quotas[step / 500 % 2]).unwrap();
            }
        }
        for limiter in &all {
            admitted += passes(limiter, "a").await;
        }
        sleep(MS(1)).await;
    }
    let time = u64::try_from(start.elapsed().as_millis()).unwrap();
    // One half of the time at each rate. A full debt of a tenth of a second is half of one at the lower rate,
    // which is set ten times; at the higher one no more than a burst is owed.
    let most = 100 + time * 3 / 4 + 3 * 10 + 10 * 50;
    assert!(admitted <= most && admitted * 10 >= most * 9, "{admitted} of {most}");
}

/// What has come back at the rate before is not given back at the lower one after.
#[tidegate_testkit::test]
async fn refunds_from_before_a_change_make_no_tokens() {
    let limiter =
        FleetLimiter::builder(MemoryStore::new(10), Quota::new(Rate::per_second(1000), 100))
            .lease(10)
            .build()
            .unwrap();
    let mut permits = Vec::new();
    for _ in 0..100 {
        permits.push(limiter.try_acquire("a", 1).await.unwrap());
    }
    // All of them have come back.
    sleep(Duration::from_secs(1)).await;
    limiter.set_quota(Quota::new(Rate::per_minute(1), 100)).unwrap();
    let mut admitted = passes(&limiter, "a").await;
    for permit in permits {
        permit.refund();
    }
    admitted += passes(&limiter, "a").await;
    assert_eq!((admitted, limiter.stats().forfeited), (100, 100));
}

/// Nor is what was served before it, and not looked at.
#[tidegate_testkit::test]
async fn what_was_served_before_a_change_and_is_cancelled_makes_no_tokens() {
    let limiter = FleetLimiter::builder(MemoryStore::new(10), Quota::new(Rate::per_second(10), 10))
        .lease(10)
        .build()
        .unwrap();
    let permit = limiter.try_acquire("a", 10).await.unwrap();
    let mut waits = Box::pin(limiter.acquire("a", 10));
    let mut other = Box::pin(limiter.acquire("a", 1));
    assert!(futures::poll!(&mut waits).is_pending() && futures::poll!(&mut other).is_pending());
    permit.refund();
    // Whoever is behind does the work: the first one is served, and does not know yet.
    assert!(futures::poll!(&mut other).is_pending());
    sleep(Duration::from_secs(1)).await;
    limiter.set_quota(Quota::new(Rate::per_minute(1), 10)).unwrap();
    drop((waits, other));
    assert_eq!(limiter.stats().forfeited, 10);
    assert_eq!(passes(&limiter, "a").await, 10);
}

/// What is granted at the quota before is no more than a lease of the one after.
#[tidegate_testkit::test]
async fn a_lease_that_is_under_way_is_no_more_than_one_of_the_new_quota() {
    let store = Faulty::memory(Trouble::Slow(MS(20)));
    let quota = Quota::new(Rate::per_second(1000), 1000);
    let limiter = FleetLimiter::builder(store, quota).lease(100).build().unwrap();
    let asks = limiter.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { asks.try_acquire("a", 1).await.map(|permit| permit.cost()) });
    settle().await;
    limiter.set_quota(Quota::new(Rate::per_minute(1), 8)).unwrap();
    assert_eq!(tasks.join_all().await.pop().unwrap().unwrap(), 1);
    assert_eq!((limiter.peek("a").await.in_hand, limiter.stats().forfeited), (7, 92));
}

/// New instances with another quota, beside old ones, under another prefix.
#[tidegate_testkit::test]
async fn a_rollout_with_another_prefix_keeps_to_the_sum_of_both_quotas() {
    let store = Arc::new(MemoryStore::new(10));
    let build = |quota, prefix| {
        let builder = FleetLimiter::builder(Arc::clone(&store), quota).lease(1);
        builder.key_prefix(prefix).build().unwrap()
    };
    let old = build(Quota::new(Rate::per_hour(100), 100), "old");
    let new = build(Quota::new(Rate::per_second(1), 1), "new");
    let mut admitted = 0;
    for _ in 0..100 {
        admitted += passes(&old, "a").await + passes(&new, "a").await;
        sleep(MS(200)).await;
    }
    assert!((119..=123).contains(&admitted), "{admitted}");
}

/// A key that is made while the quota changes goes by the new one.
#[test]
fn new_keys_go_by_the_quota_that_is_set_meanwhile() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let large = Quota::new(Rate::per_hour(1), 100);
    tidegate_testkit::Stress::new("new keys while a quota changes").run(
        |_rng| FleetLimiter::builder(MemoryStore::new(100), large).lease(1).build().unwrap(),
        |limiter, ctx| {
            ctx.point();
            if ctx.index() == 0 {
                limiter.set_quota(Quota::new(Rate::per_hour(1), 5)).unwrap();
            } else {
                for key in 0..10 {
                    ctx.point();
                    runtime.block_on(limiter.peek(&key.to_string()));
                }
            }
        },
        |limiter, _threads| {
            for key in 0..10 {
                let peek = runtime.block_on(limiter.peek(&key.to_string()));
                if peek.remaining > 5 {
                    return Err(format!("{peek:?}"));
                }
            }
            Ok(())
        },
    );
}
