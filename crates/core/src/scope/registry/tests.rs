//! Those who come and those who leave, on threads that take turns.

use super::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

fn record(name: &'static str) -> Record {
    Record::new(name.into(), Location::caller(), WorkKind::Task)
}

fn enter(registry: &Registry) -> Key {
    registry.insert(record("task"), None).expect("it is open")
}

/// True, if that closes it.
fn end(registry: &Registry, key: Key) -> bool {
    registry.remove(key, End::Other)
}

fn names(registry: &Registry) -> Vec<String> {
    let mut names = Vec::new();
    registry.for_each(|_, record, _| names.push(record.name.to_string()));
    names.sort();
    names
}

fn poll(registry: &Registry) -> bool {
    registry.poll_closed(&Context::from_waker(Waker::noop())).is_ready()
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn is_open_until_body_and_children_have_left() {
    let registry = Registry::new();
    let first = enter(&registry);
    assert!(!registry.leave_body() && !poll(&registry));
    let second = enter(&registry);
    assert!(!end(&registry, first) && !poll(&registry));
    assert!(!end(&registry, second), "the driver holds it open until it looks");
    assert_eq!(registry.alive(), 1);
    assert!(poll(&registry));
}

#[test]
fn closed_is_for_ever() {
    let registry = Registry::new();
    assert!(!registry.leave_body());
    assert!(poll(&registry));
    assert!(registry.insert(record("late"), None).is_err());
    assert!(!poll(&registry), "once");
    assert_eq!(registry.alive(), 0);
}

#[test]
fn without_a_driver_the_last_child_closes() {
    let registry = Registry::new();
    let child = enter(&registry);
    assert!(!registry.leave_body() && !registry.leave());
    assert!(end(&registry, child));
    assert!(registry.insert(record("late"), None).is_err());
}

#[test]
fn the_latest_waker_is_woken_once() {
    let registry = Registry::new();
    let child = enter(&registry);
    let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
    for wakes in &wakes {
        let waker = Waker::from(Arc::clone(wakes));
        assert!(registry.poll_closed(&Context::from_waker(&waker)).is_pending());
    }
    assert!(!registry.leave_body());
    assert!(!end(&registry, child));
    assert_eq!(wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
    assert!(poll(&registry));
}

#[test]
fn keeps_what_was_inserted_until_it_is_removed() {
    let registry = Registry::new();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
        .map(|name| registry.insert(record(name), None).expect("it is open"));
    end(&registry, keys[1]);
    end(&registry, keys[4]);
    assert_eq!(names(&registry), ["a", "c", "d", "f", "g", "h", "i"]);
    assert_eq!(registry.update(keys[2], |record| record.name.clone()).as_str(), "c");
    let turns = keys[5..].iter().map(|key| registry.update(*key, |record| record.turn));
    assert_eq!(turns.collect::<Vec<_>>(), [5, 6, 7, 8], "in the order in which they came");
}

#[test]
fn seats_are_used_again() {
    let registry = Registry::new();
    for _ in 0..100 {
        let keys = [(); 3].map(|()| enter(&registry));
        assert!(keys.iter().all(|key| key.to_bits() < 8), "{keys:?}");
        assert_eq!(names(&registry).len(), 3);
        for key in keys {
            end(&registry, key);
        }
        assert!(names(&registry).is_empty());
    }
}

/// A waker stands for the memory of its task.
struct Task(Arc<Wakes>, Waker);

impl Task {
    fn new() -> Self {
        let task = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&task));
        Self(task, waker)
    }

    fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 2
    }

    /// Ends on the calling thread.
    fn end(&self, registry: &Registry, key: Key, is_parked: bool) {
        if is_parked {
            registry.park(key, self.1.clone());
        }
        registry.remove(key, End::Polled { waker: &self.1, is_parked });
    }

    fn end_elsewhere(&self, registry: &Registry, key: Key, is_parked: bool) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.end(registry, key, is_parked));
        });
    }
}

/// Spawns give the memory back, and so does the end of the last task.
#[test]
fn holds_no_more_ended_tasks_than_there_are_live_ones() {
    let (registry, task) = (Registry::new(), Task::new());
    let mut keys: Vec<_> = (0..56).map(|_| enter(&registry)).collect();
    for n in 0..8 {
        let key = keys.remove(0);
        task.end_elsewhere(&registry, key, n % 2 == 0);
    }
    assert_eq!(task.held(), 8);
    keys.extend([(); 4].map(|()| enter(&registry)));
    assert_eq!(task.held(), 4, "a spawn drops one");
    while let Some(key) = keys.pop() {
        task.end_elsewhere(&registry, key, keys.len() % 2 == 0);
        assert!(task.held() <= keys.len(), "{} held, {} alive", task.held(), keys.len());
    }
    assert_eq!(task.held(), 0);
}

#[test]
fn a_task_that_ends_where_it_was_spawned_is_not_held() {
    let (registry, task) = (Registry::new(), Task::new());
    let _others = [(); 4].map(|()| enter(&registry));
    for is_parked in [false, true] {
        let key = enter(&registry);
        task.end(&registry, key, is_parked);
        assert_eq!(task.held(), 0);
    }
}
