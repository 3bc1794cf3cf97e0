//! A store that is gone, comes back, or comes back empty.

use crate::{
    Instance, SECOND, fail, fleet, instance, open, round, states,
    store::{Faulty, Trouble},
};
use std::sync::{Arc, Mutex};
use tidegate_breaker::{
    Breaker, Event, State,
    fleet::{Fleet, StoreError},
};
use tidegate_testkit::advance;
use tokio::time::Instant;

use State::{Closed, HalfOpen, Open};

#[tidegate_testkit::test]
async fn without_the_store_each_goes_on_by_itself() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    round(&mut fleet).await;
    store.set(Trouble::Fails);
    round(&mut fleet).await;
    fail(&fleet[..1], 10);
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open, Closed, Closed]);
    advance(10 * SECOND).await;
    assert!(fleet[0].breaker.try_enter().is_ok(), "it knows that nobody gives leave");
    let stats = fleet[0].view.stats();
    assert!(!stats.is_shared && stats.errors == 2, "{stats:?}");
    assert!(matches!(stats.last_error, Some(StoreError::Unreachable(_))));
}

#[tidegate_testkit::test]
async fn what_others_said_expires_while_the_store_is_gone() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    fail(&fleet[..1], 9);
    round(&mut fleet).await;
    round(&mut fleet).await;
    store.set(Trouble::Fails);
    advance(11 * SECOND).await;
    fail(&fleet[1..2], 1);
    assert_eq!(states(&fleet), [Closed; 3], "the nine of the other are forgotten");
}

#[tidegate_testkit::test]
async fn nothing_counts_twice_when_the_store_is_back() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    round(&mut fleet).await;
    fail(&fleet[..1], 3);
    for trouble in [Trouble::Mute, Trouble::Mute, Trouble::Fails, Trouble::Nothing] {
        store.set(trouble);
        round(&mut fleet).await;
    }
    round(&mut fleet).await;
    assert_eq!(fleet[1].view.stats().others.failures, 3);
    assert_eq!(states(&fleet), [Closed; 3]);
}

#[tidegate_testkit::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    round(&mut fleet).await;
    fail(&fleet[..1], 10);
    for trouble in [Trouble::Mute, Trouble::Mute, Trouble::Nothing] {
        store.set(trouble);
        round(&mut fleet).await;
    }
    assert_eq!(states(&fleet), [Open; 3]);
    assert_eq!(fleet[0].view.stats().epoch, 2);
}

#[tidegate_testkit::test]
async fn who_was_cut_off_follows_the_others_when_it_is_back() {
    let (store, cut) = (Faulty::memory(), Faulty::memory());
    let mut fleet = fleet(&store);
    open(&mut fleet).await;
    drop(cut);
    store.set(Trouble::Fails);
    let _ = fleet[2].sync.once().await;
    store.set(Trouble::Nothing);
    advance(10 * SECOND).await;
    // The last one probes without leave, and finds it bad; the first has leave, and finds it good.
    fail(&fleet[2..], 1);
    fleet[0].breaker.try_enter().unwrap_err();
    round(&mut fleet[..2]).await;
    for _ in 0..2 {
        fleet[0].breaker.try_enter().unwrap().success();
    }
    round(&mut fleet[..2]).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3]);
}

#[tidegate_testkit::test]
async fn a_store_that_has_lost_all_is_told_anew() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    for _ in 0..3 {
        open(&mut fleet).await;
        fleet[0].breaker.handle().reset();
        round(&mut fleet).await;
        round(&mut fleet).await;
    }
    open(&mut fleet).await;
    let before = fleet[0].view.stats().epoch;
    store.store.clear();
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Open; 3], "they are what they were");
    let after = fleet[0].view.stats().epoch;
    assert!(after < before, "{after} is of another record than {before}");
    advance(10 * SECOND).await;
    fleet[1].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    for _ in 0..2 {
        fleet[1].breaker.try_enter().unwrap().success();
    }
    round(&mut fleet).await;
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3], "changes of the new record are followed");
}

/// A new instance comes to the empty store first, and says that all is well.
#[tidegate_testkit::test]
async fn an_open_fleet_is_not_closed_by_one_that_knows_nothing() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    open(&mut fleet).await;
    store.store.clear();
    let mut stranger = [instance(Arc::clone(&store))];
    round(&mut stranger).await;
    round(&mut fleet).await;
    round(&mut stranger).await;
    assert_eq!((states(&fleet), states(&stranger)), (vec![Open; 3], vec![Open]));
}

#[tidegate_testkit::test]
async fn a_probe_goes_on_when_the_record_is_lost() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    open(&mut fleet).await;
    advance(10 * SECOND).await;
    fleet[0].breaker.try_enter().unwrap_err();
    round(&mut fleet).await;
    fleet[0].breaker.try_enter().unwrap().success();
    store.store.clear();
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [HalfOpen, Open, Open]);
    fleet[0].breaker.try_enter().unwrap().success();
    round(&mut fleet).await;
    assert_eq!(states(&fleet), [Closed; 3]);
}

#[tidegate_testkit::test]
async fn observers_are_told_when_the_store_is_lost_and_found() {
    let store = Faulty::memory();
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&told);
    let hear = move |event: &Event| events.lock().unwrap().push(*event);
    let breaker = Breaker::builder("db").observer(hear).build().unwrap();
    let (_, mut sync) = Fleet::builder(Arc::clone(&store)).share(&breaker).unwrap();
    for trouble in
        [Trouble::Fails, Trouble::Fails, Trouble::Nothing, Trouble::Nothing, Trouble::Mute]
    {
        store.set(trouble);
        let _ = sync.once().await;
    }
    assert_eq!(*told.lock().unwrap(), [Event::FleetLost, Event::FleetFound, Event::FleetLost]);
}

/// Nobody runs its other half, which is there.
#[tidegate_testkit::test]
async fn one_that_hears_nothing_probes_in_the_end() {
    let store = Faulty::memory();
    let mut fleet = fleet(&store);
    open(&mut fleet).await;
    let [one, ..] = fleet;
    advance(10 * SECOND).await;
    assert!(one.breaker.try_enter().is_err());
    advance(3 * SECOND).await;
    assert!(one.breaker.try_enter().is_ok());
}

/// The clock stands still: nobody has waited for anything.
#[tidegate_testkit::test]
async fn a_store_that_hangs_holds_no_call_up() {
    let store = Faulty::memory();
    let Instance { breaker, view, mut sync } = instance(Arc::clone(&store));
    store.set(Trouble::Hangs);
    let task = tokio::spawn(async move { sync.run().await });
    tidegate_testkit::settle().await;
    assert_eq!(store.asked(), 1);
    let start = Instant::now();
    for _ in 0..10 {
        let failed = breaker.call(async { Err::<(), _>(()) }).await;
        assert!(failed.is_err());
    }
    assert_eq!((breaker.state(), start.elapsed()), (Open, std::time::Duration::ZERO));
    assert_eq!(view.stats().errors, 0, "it hangs still");
    advance(SECOND).await;
    assert!(matches!(view.stats().last_error, Some(StoreError::Timeout(_))));
    drop(breaker);
    task.await.unwrap();
}
