//! Threads that share a limiter.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Answer, Ask, FleetLimiter, MemoryStore, Store, StoreError, StoreQuota},
};
use tidegate_testkit::Stress;
use tokio::{runtime::Runtime, task::yield_now, time::timeout};

/// A store that takes a while.
struct Slow(MemoryStore);

impl Store for Slow {
    async fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> Result<Answer, StoreError> {
        yield_now().await;
        let answer = self.0.exchange(key, quota, ask).await;
        yield_now().await;
        answer
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// No token comes back within a test.
const QUOTA: Quota = Quota::new(Rate::per_day(1), 500);

struct Shared {
    limiter: FleetLimiter<Arc<Slow>>,
    spent: AtomicU64,
}

/// What the store misses was spent, or is counted as given up: whoever takes over whatever from whom.
#[test]
fn no_token_is_lost_between_threads() {
    let runtime = Runtime::new().unwrap();
    Stress::new("threads share a fleet limiter").run(
        |_rng| {
            let builder = FleetLimiter::builder(Arc::new(Slow(MemoryStore::new(10))), QUOTA);
            // The machine may be busy. And there is no room for all keys.
            let builder = builder.lease(10).max_keys(2).timeout(Duration::from_secs(60));
            Shared { limiter: builder.build().unwrap(), spent: AtomicU64::new(0) }
        },
        |Shared { limiter, spent }, ctx| {
            for _ in 0..20 {
                let (key, cost) = (ctx.rng().next_u64() % 4, 1 + ctx.rng().next_u64() % 3);
                let key = KEYS[usize::try_from(key).unwrap()];
                let deed = ctx.rng().next_u64() % 6;
                ctx.point();
                let _guard = runtime.enter();
                match deed {
                    0 => {
                        // Polled, and dropped.
                        let mut cx = Context::from_waker(Waker::noop());
                        let mut asks = pin!(limiter.acquire(key, cost));
                        if let Poll::Ready(Ok(permit)) = asks.as_mut().poll(&mut cx) {
                            spent.fetch_add(permit.cost(), SeqCst);
                        }
                    }
                    1 => runtime.block_on(limiter.acquire(key, cost)).unwrap().refund(),
                    2 => {
                        // Whoever else comes by: it is woken when there is nothing left to wait for.
                        let gives_back = limiter.give_back(Duration::ZERO);
                        let waits = async { timeout(Duration::from_secs(30), gives_back).await };
                        assert!(runtime.block_on(waits).is_ok(), "a wake-up is lost");
                    }
                    3 => drop(limiter.stats()),
                    _ => {
                        let permit = runtime.block_on(limiter.acquire(key, cost)).unwrap();
                        spent.fetch_add(permit.cost(), SeqCst);
                    }
                }
            }
        },
        |Shared { limiter, spent }, _threads| {
            runtime.block_on(async {
                limiter.give_back(Duration::ZERO).await;
                let (mut missing, quota) = (0, StoreQuota::new(QUOTA).unwrap());
                for key in KEYS {
                    let key = format!("tidegate:{{{key}}}");
                    let answer = limiter.store().exchange(&key, &quota, Ask::peek()).await;
                    missing += 500 - quota.remaining(answer.unwrap().full_after);
                }
                let (stats, spent) = (limiter.stats(), spent.load(SeqCst));
                if missing == spent + stats.forfeited && stats.errors == 0 {
                    Ok(())
                } else {
                    Err(format!("{missing} are missing of which {spent} were spent: {stats:?}"))
                }
            })
        },
    );
}
