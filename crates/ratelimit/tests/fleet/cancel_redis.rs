//! Exchanges with a server that are dropped wherever they can be.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Ask, RedisStore, Store, StoreQuota},
};
use tidegate_testkit::RedisServer;
use tokio::sync::Notify;

/// Tells that a future is to be polled again.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// When a future is dropped after so many polls.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// At once.
    AfterPoll(usize),
    /// When there is something for it, before it has seen that.
    BeforePoll(usize),
}

impl Point {
    /// Polls as often as it says, and drops; false, if the future ended before.
    async fn drops(self, future: impl Future) -> bool {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut future = pin!(future);
        let (polls, waits) = match self {
            Self::AfterPoll(polls) => (polls, polls.saturating_sub(1)),
            Self::BeforePoll(polls) => (polls, polls),
        };
        for poll in 1..=polls {
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return false;
            }
            if poll <= waits {
                woken.0.notified().await;
            }
        }
        true
    }
}

/// Without a connection, with one to a server that does not know the script, and with one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Cold,
    Connected,
    Warm,
}

const LEASE: u64 = 10;

/// How much is missing of the key, as the store says after all that went before on its connection.
async fn taken(store: &RedisStore, key: &str, quota: &StoreQuota) -> u64 {
    let answer = store.exchange(key, quota, Ask::peek()).await.unwrap();
    100 - quota.remaining(answer.full_after)
}

#[tidegate_testkit::test(real_io)]
async fn cancel_exchange_at_takes_what_it_asked_for_at_most() {
    let server = RedisServer::start().unwrap();
    // Nothing comes back within the test.
    let quota = StoreQuota::new(Quota::new(Rate::per_day(1), 100)).unwrap();
    let mut all = Vec::new();
    for start in [Start::Cold, Start::Connected, Start::Warm] {
        let points: [fn(usize) -> Point; 2] = [Point::AfterPoll, Point::BeforePoll];
        for point in points {
            for polls in 0.. {
                let point = point(polls);
                let key = format!("{start:?}, {point:?}");
                let store = RedisStore::new(server.address()).unwrap();
                if start != Start::Cold {
                    taken(&store, &key, &quota).await;
                }
                if start != Start::Warm {
                    flush(&server).await;
                }
                let exchange = store.exchange_at(&key, &quota, Ask::take(LEASE), None);
                let was_dropped = point.drops(exchange).await;
                let took = taken(&store, &key, &quota).await;
                if !was_dropped {
                    assert_eq!(took, LEASE);
                    break;
                }
                assert!(took == 0 || took == LEASE, "{start:?}, {point:?}: {took}");
                all.push((start, point, took));
                // It is as good as before, and has not taken it twice.
                store.exchange(&key, &quota, Ask::take(1)).await.unwrap();
                assert_eq!(taken(&store, &key, &quota).await, took + 1, "{start:?}, {point:?}");
            }
        }
    }
    for start in [Start::Cold, Start::Connected, Start::Warm] {
        let of_start = || all.iter().filter(|(at, ..)| *at == start);
        assert!(of_start().count() >= 3, "{all:?}");
        assert!(of_start().any(|(_, _, took)| *took == 0), "not yet sent: {all:?}");
        assert!(of_start().any(|(_, _, took)| *took == LEASE), "answered, not seen: {all:?}");
    }
}

async fn flush(server: &RedisServer) {
    let client = redis::Client::open(server.address()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut connection).await.unwrap();
}
