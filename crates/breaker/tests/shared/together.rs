//! What a fleet does while its store is well.

use crate::{
    Instance, SECOND, breaker, builder, fail, fleet, instance, open, round, states, store::Faulty,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_breaker::{
    Breaker, BreakerBuilder, Cause, ConfigError, Event, HalfOpen, KeyedBreaker, State, Trip,
    Window,
    fleet::{Fleet, MAX_INSTANCES, MemoryStore},
};
use tidegate_core::{Backoff, Jitter};
use tidegate_testkit::advance;

type Events = Arc<Mutex<Vec<Event>>>;

use State::{Closed, ForcedOpen, HalfOpen as Half, Open};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(8))
}

#[tidegate_testkit::test]
async fn failures_of_three_open_all_within_two_intervals() {
    let fleet = fleet(&store());
    fail(&fleet, 4);
    assert_eq!(states(&fleet), [Closed; 3], "none would open by its own four");
    let breakers = fleet.each_ref().map(|one| one.breaker.clone());
    let tasks = fleet.map(|mut one| tokio::spawn(async move { one.sync.run().await }));
    advance(2 * SECOND).await;
    assert_eq!(breakers.map(|one| one.state()), [Open; 3]);
    for task in tasks {
        task.await.unwrap();
    }
}

/// By four good calls of others it has enough, and by four bad ones of others too many.
#[tidegate_testkit::test]
async fn calls_of_others_count_for_rates_and_for_how_many_are_needed() {
    let mut fleet = fleet(&store());
    fail(&fleet[..1], 5);
    for _ in 0..4 {
        fleet[1].breaker.try_enter().unwrap().success();
    }
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3], "five of nine are not enough calls");
    assert_eq!(fleet[2].view.stats().others.calls, 9);
    fail(&fleet[2..], 1);
    assert_eq!(states(&fleet), [Closed, Closed, Open], "six of ten are bad");
}

/// As without a fleet: what is bad opens it, and not that there are enough calls now.
#[tidegate_testkit::test]
async fn a_good_call_of_another_opens_nobody() {
    let mut fleet = fleet(&store());
    fail(&fleet[..1], 9);
    round(&mut fleet).await;
    round(&mut fleet).await;
    fleet[1].breaker.try_enter().unwrap().success();
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3]);
}

#[tidegate_testkit::test]
async fn one_probes_and_all_close() {
    let mut fleet = fleet(&store());
    open(&mut fleet).await;
    advance(10 * SECOND).await;
    for one in &fleet {
        let open = one.breaker.try_enter().unwrap_err();
        assert!(open.retry_after().unwrap() <= SECOND, "it waits for leave");
    }
    round(&mut fleet).await;
    let mut probes = Vec::new();
    for _ in 0..5 {
        probes.extend(fleet.iter().filter_map(|one| one.breaker.try_enter().ok()));
    }
    assert_eq!(probes.len(), 2, "no more than of one breaker");
    assert_eq!(states(&fleet), [Half, Open, Open]);
    for probe in probes {
        probe.success();
    }
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3]);
    let stats = fleet[2].breaker.stats();
    assert_eq!((stats.opened, stats.tally.calls), (0, 0), "it has not opened by itself");
    assert_eq!(fleet[2].view.stats().epoch, 3, "opened, probed, closed");
}

#[tidegate_testkit::test]
async fn a_probe_that_fails_keeps_all_open_for_longer() {
    let mut fleet = fleet(&store());
    open(&mut fleet).await;
    advance(10 * SECOND).await;
    fleet[1].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    fail(&fleet[1..2], 1);
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
    for one in &fleet {
        let wait = one.breaker.try_enter().unwrap_err().retry_after().unwrap();
        assert!(wait > 19 * SECOND, "{wait:?}");
    }
}

#[tidegate_testkit::test]
async fn leave_that_is_not_used_goes_to_another() {
    let mut fleet = fleet(&store());
    open(&mut fleet).await;
    advance(10 * SECOND).await;
    fleet[0].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    let first = fleet[0].breaker.clone();
    let lost = first.try_enter().unwrap();
    for _ in 0..5 {
        fleet[1].breaker.try_enter().unwrap_err();
        round(&mut fleet).await;
        advance(SECOND).await;
    }
    fleet[1].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    drop(fleet[1].breaker.try_enter().unwrap());
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open, Half, Open], "the lease of the first has ended");
    assert_eq!(lost.success(), tidegate_breaker::Recorded::Stale);
}

/// Nobody calls it: it does not take the leave from those who are called.
#[tidegate_testkit::test]
async fn who_is_not_called_does_not_ask_for_leave() {
    let mut fleet = fleet(&store());
    open(&mut fleet).await;
    advance(10 * SECOND).await;
    round(&mut fleet).await;
    fleet[2].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    let passes = fleet.each_ref().map(|one| one.breaker.try_enter().is_ok());
    assert_eq!(passes, [false, false, true]);
}

#[tidegate_testkit::test]
async fn force_is_of_one_alone_and_reset_closes_all() {
    let mut fleet = fleet(&store());
    fleet[0].breaker.handle().force_open();
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [ForcedOpen, Closed, Closed]);
    fail(&fleet[1..2], 10);
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [ForcedOpen, Open, Open], "it does not follow");
    fleet[0].breaker.handle().reset();
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3], "the end of force is of one alone too");
    fleet[2].breaker.handle().reset();
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3]);
    open(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3], "the reset was for once");
}

#[tidegate_testkit::test]
async fn a_window_of_time_expires_for_others_too() {
    let store = store();
    let build = || {
        let window = Window::time(10 * SECOND, 10);
        Breaker::builder("db").window(window).min_calls(10).build().unwrap()
    };
    let (one, other) = (build(), build());
    let (_, mut of_one) = Fleet::builder(Arc::clone(&store)).share(&one).unwrap();
    let (view, mut of_other) = Fleet::builder(store).share(&other).unwrap();
    for _ in 0..2 {
        one.try_enter().unwrap().failure();
        of_one.once().await.unwrap();
        of_other.once().await.unwrap();
        advance(4 * SECOND).await;
    }
    of_one.once().await.unwrap();
    of_other.once().await.unwrap();
    assert_eq!(view.stats().others.failures, 2);
    advance(3 * SECOND).await;
    of_other.once().await.unwrap();
    assert_eq!(view.stats().others.failures, 1, "the first is too old");
    advance(4 * SECOND).await;
    of_other.once().await.unwrap();
    assert_eq!(view.stats().others.failures, 0);
}

#[tidegate_testkit::test]
async fn a_change_is_told_at_once() {
    let store = store();
    let (one, other) = (instance(Arc::clone(&store)), instance(store));
    let (a, b) = (one.breaker.clone(), other.breaker.clone());
    let tasks = [one, other].map(|mut one| tokio::spawn(async move { one.sync.run().await }));
    advance(Duration::ZERO).await;
    for _ in 0..10 {
        a.try_enter().unwrap().failure();
    }
    advance(Duration::ZERO).await;
    assert_eq!(b.state(), Closed, "it has not asked yet");
    advance(SECOND).await;
    assert_eq!(b.state(), Open);
    drop((a, b));
    for task in tasks {
        task.await.unwrap();
    }
}

#[tidegate_testkit::test]
async fn observers_are_told_why() {
    let store = store();
    let told = Arc::new(Mutex::new(Vec::new()));
    let causes = Arc::clone(&told);
    let hears = Breaker::builder("db")
        .trip(Trip::failure_rate(0.5))
        .observer(move |event| {
            if let Event::Changed(change) = event {
                causes.lock().unwrap().push((change.cause, change.wait));
            }
        })
        .build()
        .unwrap();
    let (_, mut sync) = Fleet::builder(Arc::clone(&store)).share(&hears).unwrap();
    let mut others = [instance(store)];
    open(&mut others).await;
    sync.once().await.unwrap();
    others[0].breaker.handle().reset();
    round(&mut others).await;
    sync.once().await.unwrap();
    let expected = [(Cause::FleetOpened, Some(10 * SECOND)), (Cause::FleetClosed, None)];
    assert_eq!(*told.lock().unwrap(), expected);
}

/// Two that keep the same breaker and a fleet together would tell the same calls twice.
#[tidegate_testkit::test]
async fn a_breaker_is_shared_once() {
    let (store, breaker) = (store(), breaker());
    let share = |breaker: &Breaker| Fleet::builder(Arc::clone(&store)).share(breaker);
    let (_, sync) = share(&breaker).unwrap();
    assert_eq!(share(&breaker.clone()).unwrap_err(), ConfigError::SharedTwice);
    let zero = Fleet::builder(Arc::clone(&store)).hold(Duration::ZERO).share(&breaker);
    assert_eq!(zero.unwrap_err(), ConfigError::ZeroFleetTime);
    drop(sync);
    let (view, mut sync) = share(&breaker).unwrap();
    sync.once().await.unwrap();
    assert!(view.stats().is_shared);
    drop(breaker);
    drop(sync);
}

/// What happens at an instance of the fleet, and is no change of state.
fn watched(
    store: &Arc<MemoryStore>,
    builder: BreakerBuilder,
) -> (Instance<Arc<MemoryStore>>, Events) {
    let events = Events::default();
    let told = Arc::clone(&events);
    let observer = move |event: &Event| told.lock().unwrap().push(*event);
    let breaker = builder.observer(observer).build().unwrap();
    let (view, sync) = Fleet::builder(Arc::clone(store)).share(&breaker).unwrap();
    (Instance { breaker, view, sync }, events)
}

#[tidegate_testkit::test]
async fn who_is_one_too_many_for_the_fleet_is_told() {
    let store = store();
    let mut fleet: Vec<_> = (0..MAX_INSTANCES).map(|_| instance(Arc::clone(&store))).collect();
    let (last, events) = watched(&store, builder());
    fleet.push(last);
    fail(&fleet[MAX_INSTANCES - 1..], 3);
    for _ in 0..3 {
        round(&mut fleet).await;
    }
    let last = fleet[MAX_INSTANCES].view.stats();
    assert!(last.is_unheard && last.others.failures == 3, "it hears of the others: {last:?}");
    assert_eq!(*events.lock().unwrap(), [Event::FleetFound, Event::FleetFull], "it is told once");
    let first = fleet[0].view.stats();
    assert!(!first.is_unheard && first.others.failures == 3, "not of the last one: {first:?}");
    // As soon as one is gone there is room.
    advance(6 * SECOND).await;
    round(&mut fleet[1..MAX_INSTANCES]).await;
    advance(5 * SECOND).await;
    round(&mut fleet[MAX_INSTANCES..]).await;
    round(&mut fleet[1..2]).await;
    assert!(!fleet[MAX_INSTANCES].view.stats().is_unheard);
    assert_eq!(fleet[1].view.stats().others.failures, 6);
}

/// What is too much for one is not for another: nobody can say when such a fleet opens.
#[tidegate_testkit::test]
async fn who_has_other_settings_than_the_others_is_told() {
    let wait = Backoff::exponential(10 * SECOND).jitter(Jitter::Equal);
    let slow = |than| builder().trip(Trip::failure_rate(0.5).or(Trip::slow_rate(1.0, than)));
    let pairs = [
        ("a window", builder(), builder().window(Window::count(50))),
        ("a rule", builder(), builder().trip(Trip::failure_rate(0.4))),
        ("what is slow", slow(SECOND), slow(2 * SECOND)),
        ("probes", builder(), builder().half_open(HalfOpen::probes(3).lease(5 * SECOND))),
        ("a wait", builder(), builder().open_wait(wait)),
    ];
    for (what, one, other) in pairs {
        let store = store();
        let (first, events) = watched(&store, one.clone());
        let mut fleet = [first, watched(&store, one).0, watched(&store, other).0];
        for _ in 0..3 {
            round(&mut fleet).await;
        }
        let strangers = fleet.each_ref().map(|one| one.view.stats().strangers);
        assert_eq!(strangers, [1, 1, 2], "{what}");
        let told = [Event::FleetFound, Event::FleetDiffers { instances: 1 }];
        assert_eq!(*events.lock().unwrap(), told, "{what}, and once");
    }
}

/// They differ, but what one has told is kept for as long as that one has said.
#[tidegate_testkit::test]
async fn who_holds_for_another_time_is_told_and_heard() {
    let store = store();
    let mut fleet = [10, 5].map(|seconds| {
        let breaker = breaker();
        let builder = Fleet::builder(Arc::clone(&store)).hold(seconds * SECOND);
        let (view, sync) = builder.share(&breaker).unwrap();
        Instance { breaker, view, sync }
    });
    fail(&fleet[..1], 3);
    for _ in 0..3 {
        round(&mut fleet).await;
        advance(SECOND / 2).await;
    }
    let seen = fleet.each_ref().map(|one| one.view.stats());
    assert_eq!(seen.each_ref().map(|stats| stats.strangers), [1, 1]);
    assert_eq!(seen.map(|stats| stats.others.failures), [0, 3]);
}

/// While it is open nobody tells anything, and when it closes nobody has yet.
#[tidegate_testkit::test]
async fn strangers_are_told_of_once_however_often_it_opens() {
    let store = store();
    let (first, events) = watched(&store, builder());
    let mut fleet = [first, watched(&store, builder().window(Window::count(50))).0];
    let strangers = |fleet: &[Instance<_>]| fleet[0].view.stats().strangers;
    for _ in 0..2 {
        for _ in 0..3 {
            round(&mut fleet).await;
        }
        assert_eq!(strangers(&fleet), 1);
        open(&mut fleet).await;
        advance(15 * SECOND).await;
        round(&mut fleet).await;
        assert_eq!(strangers(&fleet), 1, "as far as is known");
        fleet[0].breaker.handle().reset();
    }
    let told = events.lock().unwrap();
    let times = told.iter().filter(|event| matches!(event, Event::FleetDiffers { .. })).count();
    assert_eq!(times, 1);
}

/// It waits for no leave that nobody can give it, and has nothing to say of a fleet that it is not in.
#[tidegate_testkit::test]
async fn a_breaker_goes_on_by_itself_without_its_sync() {
    let mut fleet = fleet(&store());
    open(&mut fleet).await;
    let [one, ..] = fleet;
    drop(one.sync);
    advance(10 * SECOND).await;
    assert!(one.breaker.try_enter().unwrap().is_probe());
}

/// Jitter is each one's own, and so is what has happened: neither is a setting.
#[tidegate_testkit::test]
async fn instances_of_the_same_settings_are_no_strangers() {
    let store = store();
    let build = || builder().open_wait(Backoff::exponential(10 * SECOND).jitter(Jitter::Full));
    let breaker = build().build().unwrap();
    for _ in 0..10 {
        breaker.try_enter().unwrap().failure();
    }
    let (view, sync) = Fleet::builder(Arc::clone(&store)).share(&breaker).unwrap();
    let opened = Instance { breaker, view, sync };
    let mut fleet = [opened, watched(&store, build()).0, watched(&store, build()).0];
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3]);
    fleet[0].breaker.handle().reset();
    for _ in 0..3 {
        round(&mut fleet).await;
    }
    let seen = fleet.each_ref().map(|one| (one.breaker.state(), one.view.stats().strangers));
    assert_eq!(seen, [(Closed, 0); 3]);
}

/// A key that matters is shared under a name of its own, for as long as there is such a key.
#[tidegate_testkit::test]
async fn keys_are_shared_one_by_one() {
    let store = store();
    let build = || KeyedBreaker::<&str>::builder("hosts").build().unwrap();
    let all = [build(), build()];
    let mut shared = all.each_ref().map(|hosts| {
        let builder = Fleet::builder(Arc::clone(&store)).key("hosts/eu");
        builder.share(&hosts.breaker(&"eu")).unwrap().1
    });
    for _ in 0..20 {
        all[0].breaker(&"us").try_enter().unwrap().failure();
        all[0].breaker(&"eu").try_enter().unwrap().failure();
    }
    for _ in 0..2 {
        for sync in &mut shared {
            sync.once().await.unwrap();
        }
    }
    let states =
        all.each_ref().map(|hosts| (hosts.breaker(&"eu").state(), hosts.breaker(&"us").state()));
    assert_eq!(states, [(Open, Open), (Open, Closed)]);
    let [mut sync, _] = shared;
    let task = tokio::spawn(async move { sync.run().await });
    advance(2 * SECOND).await;
    assert!(!task.is_finished());
    assert!(all[0].remove(&"eu"));
    task.await.unwrap();
}

/// The one that is asked is the store, and not by calls.
#[tidegate_testkit::test]
async fn calls_do_no_io() {
    let store = Faulty::memory();
    let mut one = instance(Arc::clone(&store));
    one.sync.once().await.unwrap();
    let asked = store.asked();
    fail(std::slice::from_ref(&one), 10);
    assert_eq!(one.breaker.state(), Open);
    one.breaker.try_enter().unwrap_err();
    one.breaker.handle().reset();
    let _ = one.breaker.call(async { Ok::<_, ()>(()) }).await;
    assert_eq!(store.asked(), asked);
}

#[test]
fn times_of_zero_are_errors() {
    let breaker = breaker();
    let zero = Duration::ZERO;
    let fleet = || Fleet::builder(MemoryStore::new(1));
    for builder in [fleet().interval(zero), fleet().timeout(zero), fleet().hold(zero)] {
        assert_eq!(builder.share(&breaker).unwrap_err(), ConfigError::ZeroFleetTime);
    }
}
