//! First come, first served.

use crate::SECOND;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_ratelimit::{Rate, RateLimiter};
use tidegate_testkit::{Seed, settle};
use tokio::{task::JoinSet, time::Instant};

/// governor had 575 of 1770 pairs of waiters in the wrong order, tower-resilience 1018.
#[tidegate_testkit::test(budget = "2d")]
async fn ten_thousand_waiters_are_served_in_the_order_they_came_in() {
    const WAITERS: usize = 10_000;
    let limiter = RateLimiter::builder(Rate::per_second(100)).burst(7).build().unwrap();
    limiter.try_acquire(7).unwrap();
    let mut rng = Seed::from_env().unwrap_or(Seed::new(5)).rng();
    let order = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let mut quitters = Vec::new();
    let mut total = 0;
    for n in 0..WAITERS {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        let cost = 1 + rng.below(7);
        let task = tasks.spawn(async move {
            limiter.acquire(cost).await.unwrap();
            order.lock().unwrap().push((n, start.elapsed()));
        });
        if rng.one_in(10) {
            quitters.push((n, task));
        } else {
            total += cost;
        }
    }
    settle().await;
    assert_eq!(limiter.stats().waiting, WAITERS);
    // From anywhere in the line, some of them while others are served.
    let (now, later) = quitters.split_at(quitters.len() / 2);
    for (_, task) in now {
        task.abort();
    }
    settle().await;
    tokio::time::sleep(SECOND).await;
    let before = order.lock().unwrap().clone();
    let gone = |n: usize| before.iter().any(|(other, _)| *other == n);
    for (n, task) in later {
        if !gone(*n) {
            task.abort();
        }
    }
    while tasks.join_next().await.is_some() {}
    let order = order.lock().unwrap();
    let inversions = order.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert_eq!(inversions, 0);
    assert!(order.len() >= WAITERS - quitters.len());
    let last = order.last().unwrap().1;
    let due = Duration::from_millis(10 * total);
    assert!(last >= due && last <= due + 2 * SECOND, "{last:?} for {due:?} of tokens");
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.queued), (0, 0));
    assert_eq!(stats.served + stats.cancelled, WAITERS as u64);
}

/// Whoever comes without waiting does not overtake who waits, and is told when its turn would be.
#[tidegate_testkit::test]
async fn who_does_not_wait_does_not_overtake() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(3).build().unwrap();
    limiter.try_acquire(2).unwrap();
    let waits = {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(3).await.unwrap().cost() })
    };
    settle().await;
    let error = limiter.try_acquire(1).unwrap_err();
    assert_eq!((error.retry_after(), error.remaining()), (Some(3 * SECOND), 0));
    assert_eq!(limiter.peek().remaining, 0);
    assert_eq!(waits.await.unwrap(), 3);
    assert_eq!(limiter.peek().waiting, 0);
}
