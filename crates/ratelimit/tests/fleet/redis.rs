//! Against a server of our own.

use super::{
    skew::Skewed,
    store::{Faulty, Trouble},
};
use redis::{Client, Connection, FromRedisValue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{
        Ask, Fallback, FleetLimiter, FleetTryAcquireError, RedisStore, Store, StoreError,
        StoreQuota, Tat,
    },
};
use tidegate_testkit::{RedisServer, Seed};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Where the store is well, it is not to be found down because the machine is busy.
const PATIENT: Duration = Duration::from_secs(60);

pub(crate) fn store(server: &RedisServer) -> RedisStore {
    RedisStore::new(server.address()).unwrap()
}

fn connection(server: &RedisServer) -> Connection {
    Client::open(server.address()).unwrap().get_connection().unwrap()
}

pub(crate) fn ask<T: FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    tell(&mut connection(server), command)
}

fn tell<T: FromRedisValue>(connection: &mut Connection, command: &[&str]) -> T {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query(connection).unwrap()
}

/// How often the server was asked to run the script.
fn runs(server: &RedisServer) -> u64 {
    calls(server, "evalsha") + calls(server, "eval")
}

fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats: String = ask(server, &["INFO", "commandstats"]);
    let name = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// What a fleet is to be tested with.
struct Fleet {
    rate: u64,
    burst: u64,
    lease: u64,
    instances: u64,
    time: Duration,
    timeout: Duration,
}

impl Fleet {
    const fn new(time: Duration) -> Self {
        Self { rate: 1000, burst: 400, lease: 50, instances: 3, time, timeout: PATIENT }
    }

    fn instance<S: Store>(&self, store: S, skew: &Skewed) -> FleetLimiter<S, Skewed> {
        FleetLimiter::builder(store, Quota::new(Rate::per_second(self.rate), self.burst))
            .lease(self.lease)
            .timeout(self.timeout)
            .fallback(Fallback::LocalShare { instances: self.instances })
            .clock(skew.clone())
            .build()
            .unwrap()
    }

    /// Lets all instances take as much as they get, for the time and until it is half of what there is, and returns what they got, and in which time.
    async fn run<S: Store>(
        &self,
        instances: Vec<FleetLimiter<S, Skewed>>,
        meanwhile: impl AsyncFnOnce(),
    ) -> (u64, Duration) {
        let (stop, admitted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, limiter) in instances.into_iter().enumerate() {
            for _ in 0..2 {
                let (limiter, stop) = (limiter.clone(), Arc::clone(&stop));
                let (admitted, cost) = (Arc::clone(&admitted), 1 + number as u64);
                tasks.spawn(async move {
                    while !stop.load(SeqCst) {
                        if limiter.acquire_within("a", cost, MS(500)).await.is_ok() {
                            admitted.fetch_add(cost, SeqCst);
                        } else {
                            sleep(MS(1)).await;
                        }
                    }
                });
            }
        }
        meanwhile().await;
        sleep(self.time.saturating_sub(start.elapsed())).await;
        // However long the machine stands still: as much as that is admitted in the end.
        let time = u64::try_from(self.time.as_millis()).unwrap();
        while admitted.load(SeqCst) * 2 < self.burst + self.rate * time / 1000 {
            sleep(MS(5)).await;
        }
        stop.store(true, SeqCst);
        tasks.join_all().await;
        (admitted.load(SeqCst), start.elapsed())
    }

    /// The most that the fleet may admit.
    fn most(&self, time: Duration) -> u64 {
        let came_back = self.rate * u64::try_from(time.as_micros()).unwrap() / 1_000_000;
        self.burst + came_back + self.instances * self.lease
    }
}

pub(crate) fn started() -> Arc<RedisServer> {
    Arc::new(RedisServer::start().unwrap())
}

#[tidegate_testkit::test(real_io)]
async fn the_script_is_the_model() {
    let server = started();
    let (store, mut plain) = (store(&server), connection(&server));
    let mut rng = Seed::new(7).rng();
    // The last of them has numbers as large as there are.
    let quotas = [
        Quota::new(Rate::per_second(1000), 50),
        Quota::new(Rate::new(7, Duration::from_secs(3)), 9),
        Quota::new(Rate::new(999_983, Duration::from_nanos(1_234_567)), 1000),
        Quota::new(Rate::per_hour(1), 1_200_000),
    ];
    for (number, quota) in quotas.into_iter().enumerate() {
        let quota = StoreQuota::new(quota).unwrap();
        let key = format!("model {number}");
        let (mut tat, mut now): (Option<Tat>, u64) = (None, 1_800_000_000_000_000);
        let full = quota.burst() / quota.tick();
        let most = quota.burst() / quota.token();
        for step in 0..700 {
            now = match rng.next_u64() % 20 {
                0 => now.saturating_sub(rng.next_u64() % 2_000_000),
                1 => now + rng.next_u64() % (2 * full + 1),
                _ => now + rng.next_u64() % (full / 20 + 2),
            };
            // Not after 2112.
            now = if now < 1 << 52 { now } else { 1_800_000_000_000_000 };
            let min = rng.next_u64() % (most / 5 + 2);
            let max = min + rng.next_u64() % (most / 5 + 2);
            let mut ask = Ask::lease(min, max);
            match rng.next_u64() % 8 {
                0 => ask = Ask::peek(),
                1 => ask.refund = rng.next_u64() % (most + 3),
                2 => ask.at_least = rng.next_u64() % (full * 2 + 1),
                _ => {}
            }
            // Without an end, which is by the server's own time.
            if let Some(tat) = tat {
                let () = tell(&mut plain, &["SET", &key, &text(tat)]);
            }
            let (next, expected) = quota.apply(tat, now, &ask);
            let answer = store.exchange_at(&key, &quota, ask, Some(now)).await.unwrap();
            assert_eq!(answer, expected, "{number} {step}: {ask:?} at {now}, {tat:?}");
            let held: Option<String> = tell(&mut plain, &["GET", &key]);
            let is_unchanged = ask == Ask::peek() || (answer.granted == 0 && ask.min > 0);
            match held {
                Some(held) if !is_unchanged => assert_eq!(held, text(next), "{number} {step}"),
                Some(_) => {}
                None => assert!(answer.full_after < MS(2000), "{number} {step}"),
            }
            tat = Some(next).filter(|_| !answer.full_after.is_zero());
            let () = tell(&mut plain, &["DEL", &key]);
        }
    }
}

fn text(tat: Tat) -> String {
    format!("{}:{}", tat.micros, tat.units)
}

#[tidegate_testkit::test(real_io)]
async fn a_key_is_gone_when_it_is_full() {
    let server = started();
    let limiter = FleetLimiter::builder(store(&server), Quota::new(Rate::per_minute(1), 5))
        .key_prefix("x:")
        .lease(1)
        .timeout(PATIENT)
        .build()
        .unwrap();
    limiter.try_acquire("a", 5).await.unwrap();
    let keys: Vec<String> = ask(&server, &["KEYS", "*"]);
    assert_eq!(keys, ["x:{a}"]);
    let store = store(&server);
    let quota = StoreQuota::new(Quota::new(Rate::per_second(20), 5)).unwrap();
    store.exchange("b", &quota, Ask::take(1)).await.unwrap();
    while ask::<i64>(&server, &["EXISTS", "b"]) == 1 {
        sleep(MS(5)).await;
    }
    let answer = store.exchange("b", &quota, Ask::peek()).await.unwrap();
    assert_eq!(answer.full_after, Duration::ZERO, "not before");
}

#[tidegate_testkit::test(real_io)]
async fn ten_runs_of_the_script_serve_a_thousand_decisions() {
    let server = started();
    let quota = Quota::new(Rate::per_day(1), 1000);
    let limiter =
        FleetLimiter::builder(store(&server), quota).lease(100).timeout(PATIENT).build().unwrap();
    for _ in 0..1000 {
        limiter.try_acquire("a", 1).await.unwrap();
    }
    // One of them found that the server does not know the script yet, and sent it.
    let sent = (calls(&server, "evalsha"), calls(&server, "eval"));
    assert_eq!((limiter.stats().round_trips, sent), (10, (10, 1)));
    for _ in 0..1000 {
        limiter.try_acquire("a", 1).await.unwrap_err();
    }
    assert_eq!(runs(&server), 11, "and none a thousand denials");
}

#[tidegate_testkit::test(real_io)]
async fn a_server_that_has_forgotten_the_script_is_told_again() {
    let server = started();
    let quota = Quota::new(Rate::per_day(1), 1000);
    let limiter =
        FleetLimiter::builder(store(&server), quota).lease(1).timeout(PATIENT).build().unwrap();
    for _ in 0..20 {
        limiter.try_acquire("a", 1).await.unwrap();
        let () = ask(&server, &["SCRIPT", "FLUSH"]);
    }
    let stats = limiter.stats();
    assert_eq!((stats.admitted, stats.round_trips, stats.errors), (20, 20, 0));
    assert_eq!(limiter.peek("a").await.remaining, 980);
}

#[tidegate_testkit::test(real_io)]
async fn scripts_that_are_flushed_under_load_do_not_matter() {
    let server = started();
    let fleet = Fleet { lease: 5, ..Fleet::new(MS(1500)) };
    let all: Vec<_> = (0..3).map(|_| fleet.instance(store(&server), &Skewed::by(0))).collect();
    let kept = all.clone();
    let (admitted, time) = fleet
        .run(all, async || {
            // Again and again between two commands of an exchange.
            let start = Instant::now();
            while calls(&server, "eval") < 50 {
                assert!(start.elapsed() < PATIENT);
                let () = ask(&server, &["SCRIPT", "FLUSH"]);
                tokio::task::yield_now().await;
            }
        })
        .await;
    assert!(admitted <= fleet.most(time), "{admitted} of {}", fleet.most(time));
    assert!(kept.iter().all(|limiter| limiter.stats().errors == 0));
}

#[tidegate_testkit::test(real_io)]
async fn instances_keep_to_the_bound_and_lose_nothing() {
    let server = started();
    let fleet = Fleet { burst: 2000, ..Fleet::new(MS(2000)) };
    let all: Vec<_> = (0..3).map(|_| fleet.instance(store(&server), &Skewed::by(0))).collect();
    let kept = all.clone();
    let (admitted, time) = fleet.run(all, async || {}).await;
    assert!(admitted <= fleet.most(time), "{admitted} of {}", fleet.most(time));
    let mut left = kept[0].peek("a").await.remaining;
    for limiter in &kept {
        left += limiter.peek("a").await.in_hand;
        assert_eq!(limiter.stats().errors, 0);
    }
    // Lost is what comes back to a key that is full, if the machine stands still for two seconds.
    let least = fleet.burst + fleet.rate * u64::try_from(time.as_millis()).unwrap() / 1000;
    assert!((admitted + left) * 100 >= least * 97, "{admitted} and {left} of {least}");
}

#[tidegate_testkit::test(real_io)]
async fn clocks_of_instances_that_are_wrong_do_not_matter() {
    let server = started();
    // Little that an instance may have beyond its part, so that what a clock adds is seen.
    let fleet = Fleet { burst: 100, lease: 10, ..Fleet::new(MS(1500)) };
    let skews = [Skewed::by(0), Skewed::by(1_000_000_000), Skewed::by(-1_000_000_000)];
    let all: Vec<_> = skews.iter().map(|skew| fleet.instance(store(&server), skew)).collect();
    let (admitted, time) = fleet
        .run(all, async || {
            // And they are set, ahead and back.
            for round in 0..5 {
                sleep(MS(200)).await;
                for (number, skew) in skews.iter().enumerate() {
                    let sign = if (round + number) % 2 == 0 { 1 } else { -1 };
                    skew.set(sign * 1_000_000_000);
                }
            }
        })
        .await;
    assert!(admitted <= fleet.most(time), "{admitted} of {}", fleet.most(time));
}

#[tidegate_testkit::test(real_io)]
async fn a_slow_server_is_waited_for() {
    let server = started();
    let fleet = Fleet::new(MS(2000));
    let slow = || Faulty::new(store(&server), Trouble::Slow(MS(15)));
    let all: Vec<_> = (0..3).map(|_| fleet.instance(slow(), &Skewed::by(0))).collect();
    let (admitted, time) = fleet.run(all, async || {}).await;
    assert!(admitted <= fleet.most(time), "{admitted} of {}", fleet.most(time));
}

/// Killed and started again, without what it knew.
#[tidegate_testkit::test(real_io)]
async fn a_server_that_crashes_adds_nothing_to_a_key_at_its_limit() {
    let mut server = RedisServer::start().unwrap();
    // A burst is more than what is not admitted because of the crash: one that is had twice is seen.
    let (rate, lease, timeout) = (100, 10, MS(500));
    let fleet = Fleet { rate, lease, timeout, ..Fleet::new(MS(6000)) };
    let all: Vec<_> = (0..3).map(|_| fleet.instance(store(&server), &Skewed::by(0))).collect();
    let kept = all.clone();
    let (admitted, time) = fleet
        .run(all, async || {
            sleep(MS(1500)).await;
            server.kill().unwrap();
            sleep(MS(1000)).await;
            while !kept.iter().all(|limiter| limiter.stats().is_degraded) {
                sleep(MS(5)).await;
            }
            server.restart().unwrap();
        })
        .await;
    assert!(admitted <= fleet.most(time), "{admitted} of {}", fleet.most(time));
    for limiter in &kept {
        let stats = limiter.stats();
        assert!(stats.local > 0 && stats.errors < 30, "{stats:?}");
        while limiter.stats().is_degraded {
            let _ = limiter.try_acquire("a", 1).await;
            sleep(MS(5)).await;
        }
    }
}

#[tidegate_testkit::test(real_io)]
async fn a_server_that_hangs_costs_a_timeout_now_and_then() {
    let server = started();
    let fleet = Fleet { timeout: MS(100), ..Fleet::new(MS(3000)) };
    let limiter = fleet.instance(store(&server), &Skewed::by(0));
    limiter.try_acquire("a", 1).await.unwrap();
    server.pause().unwrap();
    let mut decided = 0;
    while decided < 1000 || limiter.stats().errors < 3 {
        let _ = limiter.try_acquire(&decided.to_string(), 1).await;
        decided += 1;
        tokio::task::yield_now().await;
    }
    let stats = limiter.stats();
    assert!(stats.is_degraded && stats.errors * 50 <= decided, "{decided}: {stats:?}");
    server.resume().unwrap();
    while limiter.stats().is_degraded {
        let _ = limiter.try_acquire("a", 1).await;
        sleep(MS(5)).await;
    }
}

#[tidegate_testkit::test(real_io)]
async fn a_server_that_is_not_there_is_told_by_its_type() {
    let store = RedisStore::new("unix:///nowhere/redis.sock").unwrap();
    let limiter = FleetLimiter::builder(store, Quota::new(Rate::per_second(1), 5))
        .fallback(Fallback::Closed)
        .build()
        .unwrap();
    let error = limiter.try_acquire("a", 1).await.unwrap_err();
    let FleetTryAcquireError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, StoreError::Unreachable(_)), "{source:?}");
    assert!(RedisStore::new("http://nowhere/").is_err());
}

#[tidegate_testkit::test(real_io)]
async fn a_key_that_holds_something_else_is_refused_alone() {
    let server = started();
    let () = ask(&server, &["LPUSH", "tidegate:{a}", "not a time"]);
    let limiter = FleetLimiter::builder(store(&server), Quota::new(Rate::per_day(1), 40))
        .lease(1)
        .timeout(PATIENT)
        .fallback(Fallback::Closed)
        .build()
        .unwrap();
    let error = limiter.try_acquire("a", 1).await.unwrap_err();
    let FleetTryAcquireError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, StoreError::KeyRefused(_)), "{source:?}");
    for _ in 0..40 {
        limiter.try_acquire("b", 1).await.unwrap();
    }
    let stats = limiter.stats();
    assert_eq!((stats.errors, stats.key_errors, stats.is_degraded), (0, 1, false));
    let quota = StoreQuota::new(Quota::new(Rate::per_second(1), 5)).unwrap();
    let () = ask(&server, &["SET", "b", "not a time"]);
    assert_eq!(store(&server).exchange("b", &quota, Ask::take(1)).await.unwrap().granted, 1);
}

/// What is wrong with a server is wrong with all keys: in scripts, too, of which errors look like those of a
/// key.
#[tidegate_testkit::test(real_io)]
async fn a_server_that_refuses_whatever_the_key_is_told_by_its_type() {
    let server = started();
    let quota = StoreQuota::new(Quota::new(Rate::per_second(1), 5)).unwrap();
    let troubles: [(&[&str], &[&str]); 5] = [
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
        (&["ACL", "SETUSER", "default", "-get"], &["ACL", "SETUSER", "default", "+get"]),
        (&["ACL", "SETUSER", "default", "-evalsha"], &["ACL", "SETUSER", "default", "+evalsha"]),
    ];
    let store = store(&server);
    for (begin, end) in troubles {
        let () = ask(&server, begin);
        let refused = store.exchange("a", &quota, Ask::take(1)).await.unwrap_err();
        assert!(!refused.is_of_key(), "{begin:?}: {refused:?}");
        let () = ask(&server, end);
        store.exchange("a", &quota, Ask::peek()).await.unwrap();
    }
    let () = ask(&server, &["DEL", "a"]);
    let () = ask(&server, &["LPUSH", "a", "not a time"]);
    let refused = store.exchange("a", &quota, Ask::take(1)).await.unwrap_err();
    assert!(refused.is_of_key(), "{refused:?}");
}
