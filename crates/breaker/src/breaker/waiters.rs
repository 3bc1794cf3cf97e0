//! Whom a change of state wakes: services that wait for the one inside of them, with a place that may be gone.

use std::{collections::BTreeMap, mem, task::Waker};
use tidegate_core::{
    panic::quietly,
    sync::{Mutex, lock},
};

/// At most one waker for each service: it is the service that takes it away, when it is ready or dropped.
#[derive(Debug)]
pub(crate) struct Waiters(Mutex<List>);

#[derive(Debug)]
struct List {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// A waker that may be in the list.
pub(crate) type Waiter = Option<u64>;

impl Waiters {
    pub(super) fn new() -> Self {
        Self(Mutex::new(List { last: 0, wakers: BTreeMap::new() }))
    }

    /// Has it woken by the next change of state: look at the state after that.
    pub(crate) fn add(&self, waiter: &mut Waiter, waker: &Waker) {
        let waker = waker.clone();
        let mut list = lock(&self.0);
        let number = *waiter.get_or_insert_with(|| {
            list.last += 1;
            list.last
        });
        let former = list.wakers.insert(number, waker);
        drop(list);
        drop(former);
    }

    pub(crate) fn remove(&self, waiter: &mut Waiter) {
        if let Some(number) = waiter.take() {
            let former = lock(&self.0).wakers.remove(&number);
            // Whoever waits no more has a result to record, or a place to give back.
            quietly(|| drop(former));
        }
    }

    /// To be called when the state is shown.
    pub(super) fn wake(&self) {
        let wakers = mem::take(&mut lock(&self.0).wakers);
        for waker in wakers.into_values() {
            quietly(|| waker.wake());
        }
    }
}
