//! Three instances and a server of our own. The clock of all is the real one.

use crate::{
    fail, states,
    store::{Faulty, Trouble},
};
use redis::{Client, FromRedisValue};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_breaker::{
    Breaker, HalfOpen, State, Trip,
    fleet::{Fleet, RedisStore},
};
use tidegate_core::{Backoff, Jitter};
use tidegate_testkit::RedisServer;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use State::{Closed, HalfOpen as Half, Open};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Where the store is well, it is not to be found down because the machine is busy.
const PATIENT: Duration = Duration::from_secs(60);

type Instance = crate::Instance<Arc<Faulty<RedisStore>>>;

fn started() -> RedisServer {
    RedisServer::start().unwrap()
}

/// It opens by half of ten calls for so long. Its connection is its own.
fn instance(server: &RedisServer, wait: Duration, timeout: Duration) -> Instance {
    let store = Arc::new(Faulty::new(RedisStore::new(server.address()).unwrap()));
    instance_at(store, wait, timeout)
}

fn instance_at(store: Arc<Faulty<RedisStore>>, wait: Duration, timeout: Duration) -> Instance {
    let breaker = Breaker::builder("db")
        .trip(Trip::failure_rate(0.5))
        .min_calls(10)
        .open_wait(Backoff::constant(wait).jitter(Jitter::None))
        .half_open(HalfOpen::probes(2).lease(PATIENT))
        .build()
        .unwrap();
    let builder = Fleet::builder(store).interval(MS(20)).timeout(timeout).hold(PATIENT);
    let (view, sync) = builder.share(&breaker).unwrap();
    Instance { breaker, view, sync }
}

fn fleet(server: &RedisServer, wait: Duration) -> [Instance; 3] {
    [(); 3].map(|()| instance(server, wait, PATIENT))
}

async fn round(fleet: &mut [Instance]) {
    for one in fleet {
        one.sync.once().await.unwrap();
    }
}

/// Each hears of what the others have told.
async fn rounds(fleet: &mut [Instance]) {
    for _ in 0..3 {
        round(fleet).await;
    }
}

fn ask<T: FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    let mut connection = Client::open(server.address()).unwrap().get_connection().unwrap();
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query(&mut connection).unwrap()
}

/// Waits until it is so, as long as that takes.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(MS(2)).await;
        }
    };
    timeout(PATIENT, wait).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

/// All as in a service: each has its task.
#[tidegate_testkit::test(real_io)]
async fn three_open_together_and_one_probes() {
    let server = started();
    let fleet = fleet(&server, MS(300));
    fail(&fleet, 4);
    assert_eq!(states(&fleet), [Closed; 3], "none would open by its own four");
    let breakers = fleet.each_ref().map(|one| one.breaker.clone());
    let mut tasks = JoinSet::new();
    for mut one in fleet {
        tasks.spawn(async move { one.sync.run().await });
    }
    let all = |state| breakers.iter().all(|one| one.state() == state);
    until("all are open", || all(Open)).await;
    let mut probes = Vec::new();
    let wait = async {
        while probes.len() < 2 {
            probes.extend(breakers.iter().filter_map(|one| one.try_enter().ok()));
            sleep(MS(2)).await;
        }
    };
    timeout(PATIENT, wait).await.unwrap();
    assert_eq!(breakers.iter().filter(|one| one.state() == Half).count(), 1);
    assert!(breakers.iter().all(|one| one.try_enter().is_err()), "no more than of one breaker");
    for probe in probes {
        probe.success();
    }
    until("all are closed", || all(Closed)).await;
    drop(breakers);
    tasks.join_all().await;
}

#[tidegate_testkit::test(real_io)]
async fn a_script_that_is_forgotten_is_sent_again() {
    let server = started();
    let mut fleet = fleet(&server, PATIENT);
    round(&mut fleet).await;
    let _: () = ask(&server, &["SCRIPT", "FLUSH"]);
    fail(&fleet, 4);
    rounds(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
}

#[tidegate_testkit::test(real_io)]
async fn a_server_that_forgets_all_is_told_anew() {
    let mut server = started();
    let mut fleet = fleet(&server, PATIENT);
    fail(&fleet[..1], 10);
    rounds(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
    server.kill().unwrap();
    for one in &mut fleet {
        one.sync.once().await.unwrap_err();
        assert!(!one.view.stats().is_shared);
    }
    assert_eq!(states(&fleet), [Open; 3], "they go on");
    server.restart().unwrap();
    for one in &mut fleet {
        // The connection that is gone may be found only now.
        let _ = one.sync.once().await;
    }
    rounds(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
    fleet[2].breaker.handle().reset();
    rounds(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3], "the new record is followed");
}

/// The last one is cut off, and the others are not.
#[tidegate_testkit::test(real_io)]
async fn who_was_cut_off_follows_when_it_is_back() {
    let server = started();
    let mut fleet = fleet(&server, PATIENT);
    let cut = Arc::new(Faulty::new(RedisStore::new(server.address()).unwrap()));
    fleet[2] = instance_at(Arc::clone(&cut), PATIENT, PATIENT);
    rounds(&mut fleet).await;
    cut.set(Trouble::Fails);
    fail(&fleet[..1], 10);
    rounds(&mut fleet[..2]).await;
    fleet[2].sync.once().await.unwrap_err();
    fail(&fleet[2..], 3);
    assert_eq!(states(&fleet), [Open, Open, Closed]);
    cut.set(Trouble::Nothing);
    rounds(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
}

/// What it is asked while it is paused it does late, after it was asked again: nothing counts twice.
#[tidegate_testkit::test(real_io)]
async fn a_server_that_hangs_is_not_waited_for() {
    let server = started();
    let mut fleet = [(); 2].map(|()| instance(&server, PATIENT, MS(50)));
    until_shared(&mut fleet).await;
    server.pause().unwrap();
    fail(&fleet[..1], 3);
    for _ in 0..3 {
        fleet[0].sync.once().await.unwrap_err();
    }
    // No call awaits anything: it goes on between two polls of who waits for the server.
    {
        let Instance { breaker, sync, .. } = &mut fleet[0];
        let hangs = sync.once();
        tokio::pin!(hangs);
        assert!(poll_once(hangs.as_mut()).is_pending());
        for _ in 0..10 {
            breaker.try_enter().unwrap().success();
        }
        assert!(poll_once(hangs.as_mut()).is_pending());
        hangs.await.unwrap_err();
    }
    server.resume().unwrap();
    until_shared(&mut fleet).await;
    until_shared(&mut fleet).await;
    let others = fleet[1].view.stats().others;
    assert_eq!((others.calls, others.failures), (13, 3));
}

/// Each has been answered: the time that the machine takes for that is not looked at.
async fn until_shared(fleet: &mut [Instance]) {
    for _ in 0..2 {
        for one in &mut *fleet {
            while one.sync.once().await.is_err() {}
        }
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tidegate_testkit::test(real_io)]
async fn what_is_kept_is_one_hash_that_expires() {
    let server = started();
    let mut fleet = fleet(&server, PATIENT);
    fail(&fleet, 1);
    rounds(&mut fleet).await;
    let keys: Vec<String> = ask(&server, &["KEYS", "*"]);
    assert_eq!(keys, ["tidegate:breaker:{db}"]);
    let fields: u64 = ask(&server, &["HLEN", &keys[0]]);
    assert_eq!(fields, 4, "the record, and three instances");
    let left: i64 = ask(&server, &["PTTL", &keys[0]]);
    assert!(left > 60_000 && left < 300_000, "{left}");
}
