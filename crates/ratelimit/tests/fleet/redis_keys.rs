//! What a server of our own is left with, and what it has to allow.

use super::redis::{ask, started, store};
use std::time::{Duration, SystemTime};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Ask, FleetLimiter, RedisStore, Store, StoreQuota},
};
use tidegate_testkit::RedisServer;
use tokio::time::Instant;

/// How long the server keeps the key, in milliseconds.
fn left(server: &RedisServer, key: &str) -> u64 {
    u64::try_from(ask::<i64>(server, &["PTTL", key])).unwrap()
}

/// Microseconds since 1970: the clock of the server is that of the machine.
fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

#[tidegate_testkit::test(real_io)]
async fn a_key_is_kept_until_it_is_full_and_no_longer() {
    let (server, start) = (started(), Instant::now());
    let quota = StoreQuota::new(Quota::new(Rate::per_minute(1), 5)).unwrap();
    let store = store(&server);
    let (mut owed, second) = (0, 1000);
    for (ask, tokens) in [(Ask::take(3), 3), (Ask::take(2), 5), (Ask::refund(4), 1)] {
        owed = tokens * 60 * second;
        store.exchange("{a}", &quota, ask).await.unwrap();
        let (left, took) = (left(&server, "{a}"), start.elapsed().as_millis());
        let least = owed - u64::try_from(took).unwrap() - 1;
        assert!((least..=owed + 1).contains(&left), "{left} of {owed}");
    }
    // What only looks changes nothing.
    store.exchange("{a}", &quota, Ask::peek()).await.unwrap();
    assert!(left(&server, "{a}") <= owed + 1);
    store.exchange("{a}", &quota, Ask::refund(1)).await.unwrap();
    assert_eq!(ask::<u64>(&server, &["DBSIZE"]), 0, "full");
}

#[tidegate_testkit::test(real_io)]
async fn a_key_is_kept_by_the_clock_of_the_server() {
    let server = started();
    let quota = StoreQuota::new(Quota::new(Rate::per_minute(1), 5)).unwrap();
    let before = micros();
    store(&server).exchange("{a}", &quota, Ask::take(2)).await.unwrap();
    let held: String = ask(&server, &["GET", "{a}"]);
    let (tat, units) = held.split_once(':').unwrap();
    let tat = tat.parse::<u64>().unwrap() - 120_000_000;
    assert!((before..=micros()).contains(&tat) && units == "0", "{held} at {before}");
}

/// As after a failover from a server whose clock was an hour ahead.
#[tidegate_testkit::test(real_io)]
async fn a_key_by_another_clock_is_empty_at_worst() {
    let server = started();
    let quota = StoreQuota::new(Quota::new(Rate::per_second(10), 5)).unwrap();
    let ahead = format!("{}:0", micros() + 3_600_000_000);
    let () = ask(&server, &["SET", "{a}", &ahead]);
    let store = store(&server);
    let answer = store.exchange("{a}", &quota, Ask::lease(0, 1)).await.unwrap();
    assert_eq!((answer.granted, answer.full_after), (0, Duration::from_millis(500)));
    // For all who come after, and for the server.
    assert!(left(&server, "{a}") <= 501);
    let cut = Instant::now();
    while store.exchange("{a}", &quota, Ask::take(1)).await.unwrap().granted == 0 {
        assert!(cut.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tidegate_testkit::test(real_io)]
async fn keys_have_hash_tags_whatever_they_are() {
    let server = started();
    let limiter = FleetLimiter::builder(store(&server), Quota::new(Rate::per_day(1), 5))
        .key_prefix("x:")
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for key in ["a", "", "a b", "a}b", "{a"] {
        limiter.try_acquire(key, 5).await.unwrap();
    }
    let mut keys: Vec<String> = ask(&server, &["KEYS", "*"]);
    keys.sort();
    assert_eq!(keys, ["x:{a b}", "x:{a}", "x:{a}b}", "x:{{a}", "x:{}"]);
}

#[tidegate_testkit::test(real_io)]
async fn it_needs_no_permission_but_for_what_it_names() {
    let server = started();
    let allowed = ["+eval", "+evalsha", "+get", "+set", "+del", "+time"];
    let user = ["ACL", "SETUSER", "limiter", "on", ">secret", "~tidegate:*", "resetchannels"];
    let () = ask(&server, &[&user[..], &["-@all"], &allowed].concat());
    let address = format!("{}?user=limiter&pass=secret", server.address());
    let limiter = FleetLimiter::builder(RedisStore::new(address).unwrap(), Rate::per_day(5))
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for _ in 0..2 {
        limiter.try_acquire("a", 1).await.unwrap().refund();
        limiter.give_back(Duration::ZERO).await;
        let () = ask(&server, &["SCRIPT", "FLUSH"]);
    }
    let stats = limiter.stats();
    assert_eq!((stats.errors, stats.local, ask::<u64>(&server, &["DBSIZE"])), (0, 0, 0));
}
