//! Instances that share a store which is well.

use super::store::{Faulty, Trouble};
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{
        Fallback, FleetAcquireError, FleetConfigError, FleetLimiter, FleetTryAcquireError,
        MemoryStore, Store,
    },
};
use tidegate_testkit::settle;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// No token comes back within a test.
const STILL: Rate = Rate::per_day(1);

fn limiter<S: Store>(store: S, rate: Rate, burst: u64, lease: u64) -> FleetLimiter<S> {
    FleetLimiter::builder(store, Quota::new(rate, burst)).lease(lease).build().unwrap()
}

#[tidegate_testkit::test]
async fn ten_round_trips_serve_a_thousand_decisions() {
    let limiter = limiter(MemoryStore::new(10), STILL, 1000, 100);
    for _ in 0..1000 {
        limiter.try_acquire("a", 1).await.unwrap();
    }
    let stats = limiter.stats();
    assert_eq!((stats.admitted, stats.round_trips), (1000, 10));
}

#[tidegate_testkit::test]
async fn what_is_denied_is_denied_again_without_asking() {
    let store = Faulty::memory(Trouble::Nothing);
    let limiter = limiter(Arc::clone(&store), Rate::per_second(1), 5, 1);
    limiter.try_acquire("a", 5).await.unwrap();
    assert_eq!(store.asked(), 1);
    for _ in 0..1000 {
        let denied = limiter.try_acquire("a", 2).await.unwrap_err();
        assert_eq!(denied.retry_after(), Some(Duration::from_secs(2)));
    }
    assert_eq!((store.asked(), limiter.stats().denied_from_cache), (1, 1000));
    // Until then, and not for longer.
    sleep(MS(1999)).await;
    let denied = limiter.try_acquire("a", 2).await.unwrap_err();
    assert_eq!((denied.retry_after(), store.asked()), (Some(MS(1)), 1));
    sleep(MS(1)).await;
    limiter.try_acquire("a", 2).await.unwrap();
    assert_eq!(store.asked(), 2);
}

#[tidegate_testkit::test]
async fn who_asks_together_shares_a_round_trip_and_is_served_in_order() {
    let store = Faulty::memory(Trouble::Slow(MS(10)));
    let limiter = limiter(Arc::clone(&store), STILL, 60, 1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            let passes = limiter.try_acquire("a", 1).await.is_ok();
            order.lock().unwrap().push((passes, number));
        });
        settle().await;
    }
    tasks.join_all().await;
    // The first one alone, and all who came meanwhile.
    assert_eq!(store.asked(), 2);
    let order = order.lock().unwrap();
    let served: Vec<_> = order.iter().filter(|(passes, _)| *passes).map(|(_, n)| *n).collect();
    assert_eq!(served, (0..60).collect::<Vec<_>>());
}

#[tidegate_testkit::test]
async fn who_waits_is_served_in_order_at_the_rate() {
    let quota = Quota::new(Rate::per_second(100), 10);
    let builder = FleetLimiter::builder(MemoryStore::new(10), quota).lease(10);
    let limiter = builder.pace(MS(10)).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..210_u64 {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            limiter.acquire("a", 1).await.unwrap();
            order.lock().unwrap().push(number);
        });
        settle().await;
    }
    tasks.join_all().await;
    assert_eq!(*order.lock().unwrap(), (0..210).collect::<Vec<_>>());
    let took = start.elapsed();
    assert!(took >= MS(2_000) && took <= MS(2_020), "{took:?}");
}

/// However many wait behind it.
#[tidegate_testkit::test]
async fn a_waiter_that_is_not_polled_holds_up_nobody() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(10), 1, 1);
    limiter.try_acquire("a", 1).await.unwrap();
    let mut first = pin!(limiter.acquire("a", 1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    for _ in 0..3 {
        limiter.acquire("a", 1).await.unwrap();
    }
    assert!(first.as_mut().poll(&mut cx).is_ready(), "it was served first");
}

#[tidegate_testkit::test]
async fn a_waiter_that_was_woken_and_leaves_wakes_another_one() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(10), 1, 1);
    limiter.try_acquire("a", 1).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    // More than are woken at once.
    let mut ahead: Vec<_> = (0..100).map(|_| Box::pin(limiter.acquire("a", 1))).collect();
    for waiter in &mut ahead {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    let last = limiter.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(last.acquire("a", 1).await.unwrap()) });
    settle().await;
    sleep(MS(150)).await;
    drop(ahead);
    tasks.join_all().await;
}

#[tidegate_testkit::test]
async fn a_large_request_is_not_starved_by_small_ones() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(100), 50, 1);
    limiter.try_acquire("a", 50).await.unwrap();
    let large = limiter.clone();
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    tasks.spawn(async move {
        large.acquire("a", 50).await.unwrap();
        Instant::now()
    });
    settle().await;
    // They come again and again, and do not overtake.
    while !tasks.is_empty() {
        let _denied = limiter.try_acquire("a", 1).await;
        sleep(MS(1)).await;
        if let Some(served) = tasks.try_join_next() {
            assert!(served.unwrap() - start <= MS(511));
        }
    }
}

#[tidegate_testkit::test]
async fn instances_admit_no_more_than_the_bound_and_no_less_than_the_rate() {
    const INSTANCES: u64 = 4;
    let (rate, burst, lease) = (1000, 100, 20);
    let store = Arc::new(MemoryStore::new(10));
    let admitted = Arc::new(Mutex::new(Vec::new()));
    let (mut tasks, mut all) = (JoinSet::new(), Vec::new());
    let start = Instant::now();
    for _ in 0..INSTANCES {
        let limiter = limiter(Arc::clone(&store), Rate::per_second(rate), burst, lease);
        all.push(limiter.clone());
        for _ in 0..3 {
            let (limiter, admitted) = (limiter.clone(), Arc::clone(&admitted));
            tasks.spawn(async move {
                while start.elapsed() < Duration::from_secs(20) {
                    limiter.acquire("a", 1).await.unwrap();
                    admitted.lock().unwrap().push(start.elapsed());
                }
            });
        }
    }
    tasks.join_all().await;
    let admitted = admitted.lock().unwrap().clone();
    let most = |time: Duration| burst + rate * u64::try_from(time.as_micros()).unwrap() / 1_000_000;
    for first in (0..admitted.len()).step_by(97) {
        for last in (first..admitted.len()).step_by(89) {
            let count = (last - first + 1) as u64;
            let most = most(admitted[last].saturating_sub(admitted[first])) + INSTANCES * lease;
            assert!(count <= most, "{count} of {most}");
        }
    }
    let (count, sum) = (admitted.len() as u64, most(start.elapsed()));
    // What came back in the last pace is still there.
    let mut left = all[0].peek("a").await.remaining;
    for limiter in &all {
        left += limiter.peek("a").await.in_hand;
    }
    assert!(count + left + 1 >= sum && count <= sum, "{count} and {left} of {sum}");
}

#[tidegate_testkit::test]
async fn at_the_limit_an_instance_asks_once_in_a_pace() {
    let store = Arc::new(MemoryStore::new(10));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let quota = Quota::new(Rate::per_second(1000), 1000);
        let builder = FleetLimiter::builder(Arc::clone(&store), quota).lease(300);
        let limiter = builder.pace(MS(900)).build().unwrap();
        tasks.spawn(async move {
            while start.elapsed() < Duration::from_secs(20) {
                limiter.acquire("a", 1).await.unwrap();
            }
            (limiter.stats().admitted, limiter.stats().round_trips)
        });
    }
    let all = tasks.join_all().await;
    let (admitted, trips) = all.iter().fold((0, 0), |(a, t), one| (a + one.0, t + one.1));
    assert!(admitted >= 20_000 && trips * 100 <= admitted, "{trips} for {admitted}");
}

#[tidegate_testkit::test]
async fn refunds_serve_who_waits_and_go_back_beyond_a_lease() {
    let store = Arc::new(MemoryStore::new(10));
    let one = limiter(Arc::clone(&store), STILL, 10, 2);
    let other = limiter(store, STILL, 10, 2);
    let permit = one.try_acquire("a", 10).await.unwrap();
    let waiting = one.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(waiting.acquire("a", 3).await.unwrap()) });
    settle().await;
    permit.refund();
    tasks.join_all().await;
    assert_eq!(one.peek("a").await.in_hand, 2, "as many as a lease");
    one.try_acquire("a", 2).await.unwrap();
    // Five are on their way back with the next exchange.
    one.give_back(Duration::ZERO).await;
    assert_eq!(one.peek("a").await.remaining, 5);
    other.try_acquire("a", 5).await.unwrap();
    other.try_acquire("a", 1).await.unwrap_err();
}

/// What the store has got back by itself cannot be given back to it once more.
#[tidegate_testkit::test]
async fn late_refunds_admit_no_more_than_the_bound() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(10), 10, 1);
    let mut permits = Vec::new();
    for _ in 0..10 {
        permits.push(limiter.try_acquire("a", 1).await.unwrap());
    }
    // All of them have come back.
    sleep(Duration::from_secs(1)).await;
    let mut admitted = 0;
    for permit in permits {
        permit.refund();
        admitted += u64::from(limiter.try_acquire("a", 1).await.is_ok());
    }
    while limiter.try_acquire("a", 1).await.is_ok() {
        admitted += 1;
    }
    assert_eq!((admitted, limiter.stats().forfeited), (10, 10));
}

/// What is given back first makes room for the rest to come back by itself.
#[tidegate_testkit::test]
async fn refunds_out_of_order_make_no_tokens() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(10), 20, 1);
    let earlier = limiter.try_acquire("a", 10).await.unwrap();
    let later = limiter.try_acquire("a", 10).await.unwrap();
    earlier.refund();
    limiter.give_back(Duration::ZERO).await;
    sleep(Duration::from_secs(1)).await;
    let mut admitted = 0;
    while limiter.try_acquire("a", 1).await.is_ok() {
        admitted += 1;
    }
    later.refund();
    limiter.give_back(Duration::ZERO).await;
    while limiter.try_acquire("a", 1).await.is_ok() {
        admitted += 1;
    }
    assert_eq!((admitted, limiter.stats().forfeited), (20, 10));
}

/// The same of a share.
#[tidegate_testkit::test]
async fn refunds_to_a_share_out_of_order_make_no_tokens() {
    let store = Faulty::memory(Trouble::Fails);
    let limiter = FleetLimiter::builder(store, Quota::new(Rate::per_second(10), 20))
        .lease(1)
        .fallback(Fallback::LocalShare { instances: 1 })
        .build()
        .unwrap();
    let earlier = limiter.try_acquire("a", 10).await.unwrap();
    let later = limiter.try_acquire("a", 10).await.unwrap();
    earlier.refund();
    assert_eq!(limiter.stats().forfeited, 0);
    sleep(Duration::from_secs(1)).await;
    let mut admitted = 0;
    while limiter.try_acquire("a", 1).await.is_ok() {
        admitted += 1;
    }
    later.refund();
    while limiter.try_acquire("a", 1).await.is_ok() {
        admitted += 1;
    }
    assert_eq!((admitted, limiter.stats().forfeited), (20, 10));
}

/// What passed without the store, and took nothing, is nothing to give back.
#[tidegate_testkit::test]
async fn refunds_of_what_passed_without_the_store_make_no_tokens() {
    for fallback in [Fallback::Open, Fallback::LocalShare { instances: 2 }] {
        let store = Faulty::memory(Trouble::Fails);
        let quota = Quota::new(STILL, 10);
        let builder = FleetLimiter::builder(Arc::clone(&store), quota).fallback(fallback);
        let limiter = builder.lease(5).build().unwrap();
        for _ in 0..20 {
            limiter.try_acquire("a", 5).await.unwrap().refund();
        }
        store.set(Trouble::Nothing);
        sleep(Duration::from_secs(3)).await;
        let mut admitted = 0;
        while limiter.try_acquire("a", 1).await.is_ok() {
            admitted += 1;
            sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(admitted, 10, "{fallback:?}");
    }
}

#[tidegate_testkit::test]
async fn what_is_unspent_is_given_back() {
    let store = Arc::new(MemoryStore::new(1000));
    let one = limiter(Arc::clone(&store), STILL, 10, 10);
    let other = limiter(store, STILL, 10, 1);
    for key in 0..100 {
        one.try_acquire(&key.to_string(), 1).await.unwrap();
        other.try_acquire(&key.to_string(), 1).await.unwrap_err();
    }
    sleep(MS(500)).await;
    one.try_acquire("0", 1).await.unwrap();
    one.give_back(MS(500)).await;
    sleep(Duration::from_secs(10)).await;
    for key in 1..100 {
        let peek = other.peek(&key.to_string()).await;
        assert_eq!((peek.remaining, peek.is_from_store), (9, true), "{key}");
    }
    assert_eq!(other.peek("0").await.remaining, 0, "this one is in use");
}

#[tidegate_testkit::test]
async fn a_limiter_that_is_dropped_gives_back_what_is_in_hand() {
    let store = Arc::new(MemoryStore::new(1000));
    let one = limiter(Arc::clone(&store), STILL, 10, 10);
    let other = limiter(store, STILL, 10, 1);
    for key in 0..100 {
        one.try_acquire(&key.to_string(), 1).await.unwrap();
    }
    drop(one);
    for key in 0..100 {
        assert_eq!(other.peek(&key.to_string()).await.remaining, 9, "{key}");
    }
}

#[tidegate_testkit::test]
async fn a_key_that_has_to_go_gives_back_what_is_in_hand() {
    for trouble in [Trouble::Nothing, Trouble::Slow(MS(5))] {
        let store = Faulty::memory(trouble);
        let quota = Quota::new(STILL, 10);
        let builder = FleetLimiter::builder(Arc::clone(&store), quota).lease(10);
        let limiter = builder.max_keys(1).build().unwrap();
        for key in 0..20 {
            limiter.try_acquire(&key.to_string(), 1).await.unwrap();
        }
        let other = self::limiter(store, STILL, 10, 1);
        for key in 0..10 {
            assert!(other.peek(&key.to_string()).await.remaining >= 9, "{key} {trouble:?}");
        }
        assert_eq!(limiter.stats().forfeited, 0);
    }
}

/// Nothing waits for a store that does not answer, and no more is kept than may be.
#[tidegate_testkit::test]
async fn what_is_given_back_to_a_store_that_hangs_is_bounded() {
    let store = Faulty::memory(Trouble::Nothing);
    let builder = FleetLimiter::builder(Arc::clone(&store), Quota::new(STILL, 10)).lease(10);
    let limiter = builder.max_keys(1600).build().unwrap();
    for key in 0..1000 {
        limiter.try_acquire(&key.to_string(), 1).await.unwrap();
    }
    store.set(Trouble::Hangs);
    let (start, asked) = (Instant::now(), store.asked());
    drop(limiter);
    assert!(store.asked() - asked <= 64 && start.elapsed() == Duration::ZERO);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[tidegate_testkit::test]
async fn a_deadline_that_is_too_short_fails_at_once() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(1), 5, 5);
    limiter.try_acquire("a", 5).await.unwrap();
    let start = Instant::now();
    let late = limiter.acquire_within("a", 2, MS(1900)).await.unwrap_err();
    assert!(matches!(late, FleetAcquireError::TooLate { .. }), "{late:?}");
    assert_eq!(
        (late.retry_after(), start.elapsed()),
        (Some(Duration::from_secs(2)), Duration::ZERO)
    );
    limiter.acquire_within("a", 2, MS(2100)).await.unwrap();
}

#[tidegate_testkit::test]
async fn a_deadline_holds_while_the_store_is_asked() {
    let store = Faulty::memory(Trouble::Slow(MS(40)));
    let limiter = limiter(store, Rate::per_second(1), 5, 5);
    let start = Instant::now();
    assert!(limiter.acquire_within("a", 1, MS(50)).await.is_err());
    assert_eq!(start.elapsed(), MS(50));
    // What the store granted is in hand.
    sleep(MS(100)).await;
    limiter.try_acquire("a", 5).await.unwrap();
}

#[tidegate_testkit::test]
async fn what_never_passes_is_said_without_asking() {
    let limiter = limiter(MemoryStore::new(10), Rate::per_second(1), 5, 5);
    let never = limiter.try_acquire("a", 6).await.unwrap_err();
    assert!(matches!(never, FleetTryAcquireError::Never { cost: 6, possible: 5 }), "{never:?}");
    assert!(matches!(limiter.acquire("a", 6).await, Err(FleetAcquireError::Never { .. })));
    assert_eq!(
        (limiter.try_acquire("a", 0).await.unwrap().cost(), limiter.stats().round_trips),
        (0, 0)
    );
}

#[tidegate_testkit::test]
async fn an_unlimited_rate_asks_nobody() {
    let store = Faulty::memory(Trouble::Hangs);
    let limiter = limiter(Arc::clone(&store), Rate::UNLIMITED, 10, 1);
    for _ in 0..100 {
        limiter.try_acquire("a", u64::MAX).await.unwrap().refund();
    }
    assert_eq!(store.asked(), 0);
}

#[tidegate_testkit::test]
async fn a_flood_of_keys_stays_within_its_bounds() {
    let store = Arc::new(MemoryStore::new(300));
    let quota = Quota::new(Rate::per_second(1000), 2);
    let limiter = FleetLimiter::builder(Arc::clone(&store), quota).max_keys(160).build().unwrap();
    for key in 0..20_000 {
        let _ = limiter.try_acquire("hot", 1).await;
        limiter.try_acquire(&key.to_string(), 1).await.unwrap();
        assert!(limiter.stats().keys <= 160 && store.len() <= 300);
        if key % 100 == 0 {
            sleep(MS(1)).await;
        }
    }
    // None of them was refused for want of room in the store.
    assert_eq!(limiter.stats().errors, 0);
    assert!(limiter.stats().admitted > 20_000);
}

#[tidegate_testkit::test]
async fn a_limiter_that_is_dropped_lets_go_of_what_is_under_way() {
    let store = Faulty::memory(Trouble::Hangs);
    let limiter = limiter(Arc::clone(&store), Rate::per_second(1), 5, 5);
    {
        let mut asks = pin!(limiter.try_acquire("a", 1));
        assert!(asks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(limiter);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let builder = || FleetLimiter::builder(MemoryStore::new(1), Quota::new(Rate::per_second(1), 5));
    let lease = |lease| builder().lease(lease).build().unwrap_err();
    assert_eq!(lease(6), FleetConfigError::Lease { lease: 6, burst: 5 });
    assert_eq!(lease(0), FleetConfigError::Lease { lease: 0, burst: 5 });
    let fallback = builder().fallback(Fallback::LocalShare { instances: 0 });
    assert_eq!(fallback.build().unwrap_err(), FleetConfigError::NoInstances);
    let timeout = builder().timeout(Duration::ZERO);
    assert_eq!(timeout.build().unwrap_err(), FleetConfigError::ZeroTimeout);
    assert_eq!(builder().max_keys(0).build().unwrap_err(), FleetConfigError::ZeroKeys);
    let never = FleetLimiter::builder(MemoryStore::new(1), Quota::new(Rate::ZERO, 5));
    assert_eq!(never.build().unwrap_err(), FleetConfigError::NeverRefills);
}
