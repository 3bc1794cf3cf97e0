//! The connection with a server of our own, and what becomes of it.

use super::redis::{ask, started, store};
use futures::future::join_all;
use std::time::Duration;
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Ask, RedisStore, Store, StoreQuota},
};
use tidegate_testkit::RedisServer;
use tokio::time::timeout;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn quota() -> StoreQuota {
    StoreQuota::new(Quota::new(Rate::per_day(1), 1000)).unwrap()
}

/// Exchanges for so many keys at once, which end when they are answered.
async fn exchanges(store: &RedisStore, count: usize) {
    let quota = quota();
    let keys: Vec<_> = (0..count).map(|key| key.to_string()).collect();
    let all = keys.iter().map(|key| store.exchange(key, &quota, Ask::take(1)));
    assert!(join_all(all).await.iter().all(Result::is_ok));
}

/// The numbers of the connections over which scripts are run.
fn connections(server: &RedisServer) -> Vec<u64> {
    let list: String = ask(server, &["CLIENT", "LIST"]);
    let runs = |line: &&str| line.contains(" cmd=eval");
    let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    list.lines().filter(runs).map(|line| id(line).unwrap()).collect()
}

#[tidegate_testkit::test(real_io)]
async fn all_keys_share_a_connection() {
    let server = started();
    let store = store(&server);
    exchanges(&store, 100).await;
    assert_eq!(connections(&server).len(), 1);
}

/// They were asked for together, while the server was busy with something else.
#[tidegate_testkit::test(real_io)]
async fn exchanges_that_are_dropped_together_do_not_part_a_connection_that_is_well() {
    let server = started();
    let store = store(&server);
    exchanges(&store, 1).await;
    let before = connections(&server);
    server.pause().unwrap();
    timeout(MS(50), exchanges(&store, 20)).await.unwrap_err();
    server.resume().unwrap();
    exchanges(&store, 20).await;
    assert_eq!(connections(&server), before);
}

/// One after the other: it may be dead without a word.
#[tidegate_testkit::test(real_io)]
async fn a_connection_without_an_answer_is_made_anew() {
    let server = started();
    let store = store(&server);
    exchanges(&store, 1).await;
    let before = connections(&server);
    server.pause().unwrap();
    for _ in 0..2 {
        timeout(MS(50), exchanges(&store, 1)).await.unwrap_err();
    }
    server.resume().unwrap();
    exchanges(&store, 1).await;
    let after = connections(&server);
    assert!(after.iter().any(|number| !before.contains(number)), "{before:?}, {after:?}");
}

/// As after a failover, where the address leads to another server and the connection to the old one.
#[tidegate_testkit::test(real_io)]
async fn a_server_that_is_a_replica_now_is_left() {
    let server = started();
    let store = store(&server);
    exchanges(&store, 1).await;
    let before = connections(&server);
    let () = ask(&server, &["REPLICAOF", "127.0.0.1", "1"]);
    store.exchange("0", &quota(), Ask::take(1)).await.unwrap_err();
    let () = ask(&server, &["REPLICAOF", "NO", "ONE"]);
    exchanges(&store, 1).await;
    let after = connections(&server);
    assert!(after.iter().any(|number| !before.contains(number)), "{before:?}, {after:?}");
}
