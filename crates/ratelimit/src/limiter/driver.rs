//! The timers of a limiter, which ring a bell instead of waking a task.

use crate::clock::Timer;
use slab::Slab;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Waker},
};
use tidegate_core::sync::{
    Mutex,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire},
    },
    lock,
};

/// Waits for when the first in the line can pass: with one timer, or one for each runtime that somebody
/// waits on, as it is not known which of them are being driven.
///
/// A timer may ring while it is set, and on the same thread. So nobody waits to drive: who comes while
/// another one does leaves it a mark, and that one goes round again.
#[derive(Debug)]
pub(super) struct Driver<T> {
    bell: Waker,
    /// How many have called since somebody began to drive; none while nobody does.
    calls: AtomicUsize,
    timers: Mutex<Slab<Seat<T>>>,
}

/// A timer, and how many wait by it.
#[derive(Debug)]
struct Seat<T> {
    /// None once its runtime has been shut down.
    timer: Option<Pin<Box<T>>>,
    waiters: usize,
}

impl<T: Timer> Driver<T> {
    pub(super) fn new(bell: Waker) -> Self {
        Self { bell, calls: AtomicUsize::new(0), timers: Mutex::new(Slab::new()) }
    }

    /// Somebody waits on this runtime; says whether its timer is a new one, which is to be set.
    pub(super) fn enter(&self, timer: impl FnOnce() -> T) -> (usize, bool) {
        if let Some(key) = self.join() {
            return (key, false);
        }
        // It may ring, and it is somebody else's code: not under the lock.
        let seat = Seat { timer: Some(Box::pin(timer())), waiters: 1 };
        (lock(&self.timers).insert(seat), true)
    }

    fn join(&self) -> Option<usize> {
        let mut seats = lock(&self.timers);
        let (key, seat) = seats.iter_mut().find(|(_, seat)| seat.is_of_caller())?;
        seat.waiters += 1;
        Some(key)
    }

    /// Whether a waiter of that seat is still on the runtime of its timer.
    pub(super) fn is_here(&self, key: usize) -> bool {
        lock(&self.timers)[key].is_of_caller()
    }

    /// How many there are.
    pub(super) fn timers(&self) -> usize {
        lock(&self.timers).len()
    }

    /// Somebody has stopped waiting.
    pub(super) fn leave(&self, key: usize) {
        let mut seats = lock(&self.timers);
        seats[key].waiters -= 1;
        let seat = (seats[key].waiters == 0).then(|| seats.remove(key));
        drop(seats);
        drop(seat);
    }

    /// Calls `serve` and sets the timers to the time that it returns, until nothing has come up meanwhile.
    pub(super) fn run(&self, mut serve: impl FnMut() -> Option<u64>) {
        let before = self.calls.fetch_add(1, AcqRel);
        if before > 0 {
            return;
        }
        let mut seen = 1;
        loop {
            let is_due = serve().is_some_and(|at| self.set(at));
            if is_due {
                continue;
            }
            match self.calls.compare_exchange(seen, 0, AcqRel, Acquire) {
                Ok(_) => return,
                Err(calls) => seen = calls,
            }
        }
    }

    /// Sets all timers; says whether one of them finds that it is time.
    fn set(&self, at: u64) -> bool {
        let mut is_due = false;
        let mut dead = Vec::new();
        let mut cx = Context::from_waker(&self.bell);
        let mut seats = lock(&self.timers);
        for (_, seat) in seats.iter_mut() {
            let Some(timer) = &mut seat.timer else { continue };
            // tokio's panic when they are polled after a shutdown; those who wait on that runtime are
            // about to be dropped, and the others have timers of their own.
            match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll_until(at, &mut cx))) {
                Ok(poll) => is_due |= poll.is_ready(),
                Err(_) => dead.push(seat.timer.take()),
            }
        }
        drop(seats);
        drop(dead);
        is_due
    }
}

impl<T: Timer> Seat<T> {
    fn is_of_caller(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_of_caller())
    }
}
