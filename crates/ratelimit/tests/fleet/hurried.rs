//! Callers who give up before the store is late.

use super::store::{Faulty, Trouble};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetLimiter},
};
use tokio::time::{Instant, sleep, timeout};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn limiter(store: &Arc<Faulty>, within: Duration) -> FleetLimiter<Arc<Faulty>> {
    FleetLimiter::builder(Arc::clone(store), Quota::new(Rate::per_second(100), 40))
        .lease(4)
        .fallback(Fallback::LocalShare { instances: 4 })
        .timeout(within)
        .build()
        .unwrap()
}

/// None of them waits for as long as the store may take, but together they do.
#[tidegate_testkit::test]
async fn a_store_that_hangs_is_down_though_each_caller_is_in_a_hurry() {
    for pause in [0, 30, 5_000] {
        let store = Faulty::memory(Trouble::Hangs);
        let limiter = limiter(&store, MS(100));
        for given_up in 0.. {
            assert!(given_up < 3, "after a pause of {pause} ms each");
            if let Ok(passes) = timeout(MS(50), limiter.try_acquire("a", 1)).await {
                passes.expect("of its share");
                break;
            }
            sleep(MS(pause)).await;
        }
        let stats = limiter.stats();
        assert_eq!((stats.errors, stats.local, stats.is_degraded), (1, 1, true), "{pause}");
    }
}

/// Who asks and does not wait at all.
#[tidegate_testkit::test]
async fn a_store_that_hangs_is_down_though_no_caller_waits() {
    let store = Faulty::memory(Trouble::Hangs);
    let limiter = limiter(&store, MS(100));
    let start = Instant::now();
    while !limiter.stats().is_degraded {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = pin!(limiter.try_acquire("a", 1)).poll(&mut cx);
        sleep(MS(1)).await;
        assert!(start.elapsed() < MS(200));
    }
    assert_eq!(limiter.stats().errors, 1);
}

/// As long as nobody waits, it is nobody's fault.
#[tidegate_testkit::test]
async fn a_store_is_not_down_since_nobody_has_let_it_go_on() {
    let store = Faulty::memory(Trouble::Slow(MS(40)));
    let limiter = limiter(&store, MS(100));
    for _ in 0..2 {
        assert!(timeout(MS(10), limiter.try_acquire("a", 1)).await.is_err());
        sleep(MS(5_000)).await;
    }
    limiter.try_acquire("a", 1).await.unwrap();
    let stats = limiter.stats();
    assert_eq!((stats.errors, stats.round_trips, stats.local), (0, 1, 0));
}

#[tidegate_testkit::test]
async fn a_timeout_without_end_is_none() {
    let store = Faulty::memory(Trouble::Slow(MS(40)));
    let limiter = limiter(&store, Duration::MAX);
    for _ in 0..2 {
        assert!(timeout(MS(10), limiter.try_acquire("a", 1)).await.is_err());
    }
    limiter.try_acquire("a", 1).await.unwrap();
    limiter.peek("a").await;
    limiter.give_back(Duration::ZERO).await;
    assert_eq!(limiter.stats().errors, 0);
}
