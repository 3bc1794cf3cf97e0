//! How often the store is asked, below the limit and at it.

use std::{sync::Arc, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetLimiter, MemoryStore, Store},
};
use tidegate_testkit::settle;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A fleet that takes as much as it gets, or asks now and then.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    rate: u64,
    burst: u64,
    instances: u64,
    /// How many they are told that there are.
    told: u64,
    /// In each of them.
    callers: u64,
    /// What each caller does between two requests.
    pause: Duration,
}

/// What came of it, for each instance.
#[derive(Debug)]
struct Came {
    admitted: Vec<u64>,
    trips: u64,
    longest: Duration,
}

/// How many are admitted in memory, at the limit.
const DECISIONS: u64 = 200_000;

impl Crowd {
    fn limiter<S: Store>(&self, store: S) -> FleetLimiter<S> {
        let quota = Quota::new(Rate::per_second(self.rate), self.burst);
        let fallback = Fallback::LocalShare { instances: self.told };
        let builder = FleetLimiter::builder(store, quota).fallback(fallback);
        // The machine may be busy.
        builder.timeout(Duration::from_secs(60)).build().unwrap()
    }

    async fn run<S: Store>(&self, stores: Vec<S>, time: Duration) -> Came {
        let start = Instant::now();
        let all: Vec<_> = stores.into_iter().map(|store| self.limiter(store)).collect();
        let mut tasks = JoinSet::new();
        for limiter in &all {
            for _ in 0..self.callers {
                let (limiter, pause) = (limiter.clone(), self.pause);
                tasks.spawn(async move {
                    let mut longest = Duration::ZERO;
                    while start.elapsed() < time {
                        let before = Instant::now();
                        limiter.acquire("a", 1).await.unwrap();
                        longest = longest.max(before.elapsed());
                        if !pause.is_zero() {
                            sleep(pause).await;
                        }
                    }
                    longest
                });
            }
        }
        let longest = tasks.join_all().await.into_iter().max().unwrap();
        let admitted = all.iter().map(|limiter| limiter.stats().admitted).collect();
        let trips = all.iter().map(|limiter| limiter.stats().round_trips).sum();
        Came { admitted, trips, longest }
    }

    async fn in_memory(&self) -> Came {
        let store = Arc::new(MemoryStore::new(10));
        let time = Duration::from_secs(DECISIONS / self.rate);
        self.run((0..self.instances).map(|_| Arc::clone(&store)).collect(), time).await
    }
}

impl Came {
    fn sum(&self) -> u64 {
        self.admitted.iter().sum()
    }

    #[track_caller]
    fn takes_ten_trips_for_a_thousand(&self, of: impl std::fmt::Debug) {
        assert!(self.trips * 100 <= self.sum(), "{of:?}: {self:?}");
    }
}

#[tidegate_testkit::test]
async fn at_the_limit_ten_round_trips_serve_a_thousand_decisions() {
    for (rate, instances) in
        [(1000, 1), (1000, 3), (10_000, 1), (10_000, 2), (10_000, 3), (10_000, 8)]
    {
        for callers in [1, 40] {
            // More than all leases together.
            let (burst, told, pause) = (1000.max(instances * 250), instances, Duration::ZERO);
            let crowd = Crowd { rate, burst, instances, told, callers, pause };
            let came = crowd.in_memory().await;
            came.takes_ten_trips_for_a_thousand(crowd);
            // The whole rate, and no more than the bound, in which nothing is in hand at the start.
            let (sum, expected) = (came.sum(), burst + DECISIONS);
            assert!(sum * 100 >= expected * 97, "{crowd:?}: {came:?}");
            assert!(sum <= expected + instances * 125 + rate / 10, "{crowd:?}: {came:?}");
            // Nobody is left out, as far as that goes without a line of all.
            assert!(
                came.admitted.iter().all(|of| of * 4 * instances >= sum),
                "{crowd:?}: {came:?}"
            );
            assert!(came.longest <= Duration::from_secs(6), "{crowd:?}: {came:?}");
        }
    }
}

#[tidegate_testkit::test]
async fn below_the_limit_ten_round_trips_serve_a_thousand_decisions() {
    for instances in [1, 2, 8] {
        // Four fifths of the rate.
        let (callers, pause) = (8 / instances, MS(10));
        let crowd = Crowd { rate: 1000, burst: 1000, instances, told: instances, callers, pause };
        let came = crowd.in_memory().await;
        came.takes_ten_trips_for_a_thousand(crowd);
        assert!(came.sum() >= DECISIONS * 3 / 4, "{crowd:?}: {came:?}");
        assert!(came.longest <= MS(1), "{crowd:?}: {came:?}");
    }
}

/// One of those that there are takes all, if the others take nothing.
#[tidegate_testkit::test]
async fn who_is_alone_has_the_whole_rate_and_waits_no_longer_than_a_lease_takes() {
    for told in [1, 2, 8] {
        let (burst, pause) = (1000, Duration::ZERO);
        let crowd = Crowd { rate: 10_000, burst, instances: 1, told, callers: 3, pause };
        let came = crowd.in_memory().await;
        came.takes_ten_trips_for_a_thousand(crowd);
        assert!(came.sum() >= DECISIONS * 99 / 100, "{crowd:?}: {came:?}");
        assert!(came.longest <= MS(15 * told + 5), "{crowd:?}: {came:?}");
    }
}

/// More than they are told: they find out.
#[tidegate_testkit::test]
async fn a_fleet_that_is_larger_than_it_was_told_asks_less_often() {
    let pause = Duration::ZERO;
    let crowd = Crowd { rate: 10_000, burst: 1000, instances: 8, told: 2, callers: 3, pause };
    let came = crowd.in_memory().await;
    // Each would ask four times as often for a fourth of a lease.
    assert!(came.trips * 1000 <= came.sum() * 14, "{came:?}");
    assert!(came.admitted.iter().all(|of| of * 32 >= came.sum()), "{came:?}");
    assert!(came.longest <= Duration::from_secs(2), "{came:?}");
}

/// Who has no time to wait for a whole lease does not.
#[tidegate_testkit::test]
async fn a_deadline_is_not_missed_for_the_sake_of_a_round_trip() {
    let quota = Quota::new(Rate::per_second(100), 100);
    let fallback = Fallback::LocalShare { instances: 8 };
    let builder = FleetLimiter::builder(MemoryStore::new(10), quota).lease(50);
    let limiter = builder.fallback(fallback).build().unwrap();
    limiter.acquire("a", 100).await.unwrap();
    let start = Instant::now();
    let first = limiter.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(first.acquire("a", 1).await.unwrap()) });
    settle().await;
    limiter.acquire_within("a", 1, MS(100)).await.unwrap();
    assert!(start.elapsed() <= MS(100), "{:?}", start.elapsed());
    tasks.join_all().await;
    // Neither is one that is too short waited for.
    let late = limiter.acquire_within("a", 50, MS(200)).await.unwrap_err();
    assert!(late.retry_after().unwrap() > MS(200), "{late:?}");
}

#[cfg(all(feature = "redis", unix))]
#[tidegate_testkit::test(real_io)]
async fn a_few_runs_of_the_script_serve_a_thousand_decisions_at_the_limit_and_below_it() {
    let server = tidegate_testkit::RedisServer::start().unwrap();
    let stores = |count| {
        let store = |_| tidegate_ratelimit::fleet::RedisStore::new(server.address()).unwrap();
        (0..count).map(store).collect::<Vec<_>>()
    };
    for (instances, pause) in [(1, MS(0)), (2, MS(0)), (3, MS(0)), (2, MS(4))] {
        let (rate, burst, callers) = (10_000, 2000, 5);
        let crowd = Crowd { rate, burst, instances, told: instances, callers, pause };
        let came = crowd.run(stores(instances), MS(1500)).await;
        // By a clock that goes on while others have the processor, it is ten or a few more; that it is no more
        // than ten is shown on paused ones.
        assert!(came.trips * 1000 <= came.sum() * 20, "{crowd:?}: {came:?}");
        sleep(MS(250)).await;
    }
}
