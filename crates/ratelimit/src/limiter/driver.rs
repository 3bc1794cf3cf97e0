//! The timers of a limiter, which ring a bell instead of waking a task.

use crate::clock::Timer;
use slab::Slab;
use std::{
    mem::forget,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tidegate_core::sync::{
    Mutex,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Release},
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

/// What the timers say together.
#[derive(Default)]
struct Said {
    /// One of them, that it is time.
    is_due: bool,
    /// One of them, that it will ring.
    is_set: bool,
    /// One of them, nothing any more.
    is_dead: bool,
}

/// A clock that panics is not the last that anybody drives by.
struct Stuck<'a>(&'a AtomicUsize);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

impl<T: Timer> Driver<T> {
    pub(super) fn new(bell: Waker) -> Self {
        Self { bell, calls: AtomicUsize::new(0), timers: Mutex::new(Slab::new()) }
    }

    /// Somebody waits on this runtime; says whether its timer is a new one, which is to be set.
    ///
    /// # Panics
    ///
    /// If there is no runtime to wait on, or if it was shut down.
    pub(super) fn enter(&self, timer: impl FnOnce() -> T) -> (usize, bool) {
        if let Some(key) = self.join() {
            return (key, false);
        }
        // It may ring, and it is somebody else's code: not under the lock.
        let mut timer = Box::pin(timer());
        // That of a runtime that was shut down panics here, as tokio's do, instead of never ringing.
        let _ = timer.as_mut().poll_until(u64::MAX, &mut Context::from_waker(Waker::noop()));
        let seat = Seat { timer: Some(timer), waiters: 1 };
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
    ///
    /// Where a timer will not ring, as its runtime was shut down or as it is time by that, `call_all` has
    /// those who wait look for themselves.
    pub(super) fn run(&self, mut serve: impl FnMut() -> Option<u64>, call_all: impl Fn()) {
        let before = self.calls.fetch_add(1, AcqRel);
        if before > 0 {
            return;
        }
        let stuck = Stuck(&self.calls);
        let (mut seen, mut due) = (1, None);
        loop {
            // After the end of time nothing is waited for.
            if let Some(at) = serve().filter(|&at| at < u64::MAX) {
                let said = self.set(at);
                let is_again = said.is_due && due == Some(at);
                due = said.is_due.then_some(at);
                if said.is_dead || is_again && !said.is_set {
                    call_all();
                }
                // A timer may be ahead of the clock as it is seen here: paused runtimes have a time each.
                if said.is_due && !is_again {
                    continue;
                }
            }
            match self.calls.compare_exchange(seen, 0, AcqRel, Acquire) {
                Ok(_) => return forget(stuck),
                Err(calls) => seen = calls,
            }
        }
    }

    /// Sets all timers.
    fn set(&self, at: u64) -> Said {
        let mut said = Said::default();
        let mut dead = Vec::new();
        let mut cx = Context::from_waker(&self.bell);
        let mut seats = lock(&self.timers);
        for (_, seat) in seats.iter_mut() {
            let Some(timer) = &mut seat.timer else { continue };
            // tokio's panic when they are polled after a shutdown. Most who wait on that runtime are about
            // to be dropped; those on threads of their own are not.
            match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll_until(at, &mut cx))) {
                Ok(Poll::Ready(())) => said.is_due = true,
                Ok(Poll::Pending) => said.is_set = true,
                Err(_) => dead.push(seat.timer.take()),
            }
        }
        drop(seats);
        said.is_dead = !dead.is_empty();
        drop(dead);
        said
    }
}

impl<T: Timer> Seat<T> {
    fn is_of_caller(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_of_caller())
    }
}
