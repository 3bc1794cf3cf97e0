//! A limit that is shared by a fleet: how often the store is asked.

use crate::{Plan, contest::Ratio, row::counted};
use std::{sync::Arc, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{FleetLimiter, MemoryStore},
};
use tokio::runtime::Builder;

const INSTANCES: u64 = 2;

/// Instances that share a store in this process. What the store is does not change how often it is asked.
pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let each = plan.size(50_000, 5_000);
    [("below the limit", true, Some(10.0)), ("at the limit", false, Some(10.0))]
        .map(|(when, pauses, target)| {
            let trips = round_trips(each, pauses);
            let decisions = INSTANCES * each;
            let per_1000 = trips as f64 * 1_000.0 / decisions as f64;
            let op = format!("round trips per 1000 decisions {when}, {INSTANCES} instances");
            counted(op, "ours", per_1000, target, decisions)
        })
        .into()
}

/// How often the store was asked for so many decisions of each instance, on one key.
fn round_trips(each: u64, pauses: bool) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::new(10));
        let quota = Quota::new(Rate::per_second(10_000), 1_000);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..INSTANCES {
            let limiter = FleetLimiter::builder(Arc::clone(&store), quota).build().unwrap();
            tasks.spawn(async move {
                for n in 0..each {
                    limiter.acquire("hot", 1).await.unwrap();
                    // Four of the ten that come back in a millisecond, for both of them together.
                    if pauses && n % 2 == 1 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                let stats = limiter.stats();
                assert_eq!(stats.admitted, each);
                stats.round_trips
            });
        }
        tasks.join_all().await.into_iter().sum()
    })
}
