use super::*;
use crate::{WorkKind, sync::Arc};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Wakes>, Option<Waker>) {
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    (Arc::clone(&wakes), Some(Waker::from(wakes)))
}

fn record(name: &'static str) -> Record {
    let at = Location::caller();
    Record { name: name.into(), at, kind: WorkKind::Task, waker: None, scope: None }
}

#[test]
fn is_open_until_body_and_children_have_ended() {
    let mut registry = Registry::new();
    let first = registry.insert(record("first")).ok().unwrap();
    assert!(!registry.body_ended().now);
    let late = registry.insert(record("late")).ok().unwrap();
    assert!(!registry.remove(first).1.now);
    let (record, closed) = registry.remove(late);
    assert_eq!(record.name.as_str(), "late");
    assert!(closed.now);
    assert!(registry.is_closed());
}

#[test]
fn closed_is_for_ever() {
    let mut registry = Registry::new();
    assert!(registry.body_ended().now);
    assert!(!registry.body_ended().now, "closing is told once");
    assert!(registry.insert(record("too late")).is_err());
}

#[test]
fn the_last_to_end_wakes_the_joiner() {
    let mut registry = Registry::new();
    let child = registry.insert(record("child")).ok().unwrap();
    let (_, mut joiner) = waker();
    assert!(!registry.poll_closed(&mut joiner));
    assert!(joiner.is_none());
    assert!(registry.body_ended().joiner.is_none());
    assert!(registry.remove(child).1.joiner.is_some());
    assert!(registry.poll_closed(&mut waker().1));
}

#[test]
fn a_joiner_polled_anew_replaces_its_waker() {
    let mut registry = Registry::new();
    let (first, mut joiner) = waker();
    assert!(!registry.poll_closed(&mut joiner));
    let (second, mut joiner) = waker();
    assert!(!registry.poll_closed(&mut joiner));
    drop(joiner);
    registry.body_ended().joiner.unwrap().wake();
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    assert_eq!(second.0.load(Ordering::Relaxed), 1);
}

#[test]
fn abort_wakes_the_parked_and_refuses_the_rest() {
    let mut registry = Registry::new();
    let parked = registry.insert(record("parked")).ok().unwrap();
    let running = registry.insert(record("running")).ok().unwrap();
    assert!(registry.park(parked, &mut waker().1));
    assert_eq!(registry.abort().len(), 1);
    assert!(!registry.park(running, &mut waker().1), "to be dropped instead of parked");
    assert!(registry.insert(record("new")).is_err());
    assert_eq!(registry.len(), 2, "records go when the work has ended");
}

#[test]
fn an_orphaned_scope_says_so_when_it_closes() {
    let mut registry = Registry::new();
    let child = registry.insert(record("child")).ok().unwrap();
    assert!(!registry.orphaned().now);
    let (_, closed) = registry.remove(child);
    assert!(closed.now && closed.orphaned);
}
