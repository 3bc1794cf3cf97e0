//! What the handles of a limiter share: the word for the plain case, and the state behind a lock for all
//! others.

use super::{
    driver::Driver,
    event::{Event, Observer},
    stats::{Peek, Stats},
    waiters::{Joined, State, time_between},
};
use crate::{
    AcquireError, ConfigError, Limit, Quota, TryAcquireError,
    clock::Clock,
    state::{Gcra, Limits, Taken, Word},
};
use std::{
    sync::{Arc, OnceLock, Weak},
    task::{Wake, Waker},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    panic::wake_quietly,
    sync::{Mutex, lock},
};

/// One limiter, whatever the number of its handles.
pub(crate) struct Shared<C: Clock> {
    pub(super) clock: C,
    word: Word,
    state: Mutex<State>,
    pub(super) driver: Driver<C::Timer>,
    pub(super) resource: Resource,
    pub(super) name: Name,
    observer: Observer,
}

/// Rung by timers: whoever is first in the line need not be polled for the others to go on.
struct Bell<C: Clock>(Weak<Shared<C>>);

impl<C: Clock> Wake for Bell<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            shared.drive();
        }
    }
}

/// A clock that panics has not set the timers: whoever comes next does.
struct Unset<'a>(&'a Mutex<State>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.0).armed = None;
        }
    }
}

impl<C: Clock> Shared<C> {
    #[track_caller]
    pub(super) fn new(
        clock: C,
        limits: Limits,
        limit: Limit,
        name: Name,
        max_waiters: usize,
        observer: Observer,
    ) -> Arc<Self> {
        let late = Arc::new(OnceLock::new());
        let resource = resource(Arc::clone(&late), name.clone());
        let shared = Self::closed(clock, limits, limit, name, max_waiters, observer, resource);
        // It is the first to be put there.
        let _ = late.set(Arc::downgrade(&shared));
        shared.with(|_, _| ());
        shared
    }

    /// The same as part of another resource, and with everything asked behind the lock at first.
    pub(crate) fn closed(
        clock: C,
        limits: Limits,
        limit: Limit,
        name: Name,
        max_waiters: usize,
        observer: Observer,
        resource: Resource,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            clock,
            word: Word::closed(),
            driver: Driver::new(Waker::from(Arc::new(Bell(me.clone())))),
            resource,
            state: Mutex::new(State::new(limits, limit, max_waiters, observer.wants())),
            name,
            observer,
        })
    }

    /// Goes on from a cell that was kept elsewhere, if it is of one quota. Before anybody else knows of it.
    pub(crate) fn adopt(&self, from: Gcra) {
        if let Some(cell) = lock(&self.state).limits.only_quota() {
            *cell = from;
        }
    }

    /// The cell, to be kept elsewhere. When nobody else knows of it any more.
    pub(crate) fn cell(&self) -> Gcra {
        let mut state = lock(&self.state);
        let cell = state.limits.only_quota().expect("it was made for a cell of one quota");
        self.word.close(cell);
        *cell
    }

    /// Makes it as full as a new one.
    pub(crate) fn refill(&self) {
        self.with(|state, now| {
            if let Some(cell) = state.limits.only_quota() {
                cell.refill(now);
            }
        });
    }

    /// Takes `cost`, if nobody waits and there is enough; says when it was taken.
    #[inline]
    pub(crate) fn try_take(&self, cost: u64) -> Result<u64, TryAcquireError> {
        // A look, the time, and another look: see `Word::decide`.
        let seen = self.word.look();
        let now = self.clock.now();
        match self.word.try_take(seen, now, cost) {
            Taken::Yes { at } => Ok(at),
            Taken::Not { wait, remaining } if !self.observer.wants() => {
                Err(TryAcquireError::Denied { retry_after: Duration::from_nanos(wait), remaining })
            }
            Taken::Not { .. } | Taken::Ask => self.try_take_slowly(cost),
        }
    }

    /// Kept apart, so that the plain case becomes part of whoever asks.
    #[inline(never)]
    fn try_take_slowly(&self, cost: u64) -> Result<u64, TryAcquireError> {
        let error = match self.word.decide(|| self.clock.now(), cost) {
            Taken::Yes { at } => return Ok(at),
            Taken::Not { wait, remaining } => {
                TryAcquireError::Denied { retry_after: Duration::from_nanos(wait), remaining }
            }
            Taken::Ask => match self.try_take_locked(cost) {
                Ok(taken_at) => return Ok(taken_at),
                Err(error) => error,
            },
        };
        if self.observer.wants() {
            self.tell_denied(cost, error.retry_after());
        }
        Err(error)
    }

    #[cold]
    #[inline(never)]
    fn tell_denied(&self, cost: u64, retry_after: Option<Duration>) {
        self.observer.tell(&self.name, &Event::Denied { cost, retry_after });
    }

    /// Kept apart in turn: a plain refusal needs no room for this.
    #[cold]
    #[inline(never)]
    fn try_take_locked(&self, cost: u64) -> Result<u64, TryAcquireError> {
        // It is later now than it was.
        self.with(|state, now| state.try_take(now, cost).map(|()| now))
    }

    /// Takes `cost`, if the word alone can say so, and says when.
    pub(super) fn try_take_fast(&self, cost: u64) -> Option<u64> {
        let now = self.clock.now();
        self.word.take(now, cost).then_some(now)
    }

    /// The same for who knows the time.
    #[inline]
    pub(crate) fn try_take_at(&self, now: u64, cost: u64) -> bool {
        self.word.take(now, cost)
    }

    /// After which time the waiter of that key passes.
    pub(super) fn delay(&self, key: usize) -> Duration {
        self.with(|state, now| match state.ready_at(key) {
            Some(at) => time_between(now, at),
            None => Duration::ZERO,
        })
    }

    /// Joins the line, unless it passes now or never; says which.
    pub(super) fn take_or_join(
        &self,
        cost: u64,
        deadline: impl FnOnce(u64) -> u64,
        waker: &mut Option<Waker>,
    ) -> Result<Joined, AcquireError> {
        self.with(|state, now| state.take_or_join(now, cost, deadline(now), waker))
    }

    /// Gives back what was taken then and not used.
    pub(crate) fn give_back(&self, cost: u64, taken_at: u64) {
        if cost > 0 {
            self.with(|state, now| state.give_back(now, cost, taken_at));
        }
    }

    /// Changes the first of the limits.
    pub(super) fn change(
        &self,
        change: impl FnOnce(Limit) -> Result<Limit, ConfigError>,
    ) -> Result<(), ConfigError> {
        self.with(|state, now| state.change(now, change(state.limit())?))
    }

    /// The same for who holds a lock, with a quota that can be kept to: nobody is woken or told. Once the
    /// lock is released, [catch up](Self::catch_up).
    pub(crate) fn change_quietly(&self, quota: Quota) {
        let mut state = lock(&self.state);
        if let Some(cell) = state.limits.only_quota() {
            self.word.close(cell);
        }
        let now = self.clock.now();
        state.serve(now);
        let changed = state.change(now, Limit::Quota(quota));
        debug_assert!(changed.is_ok(), "it was looked at before");
    }

    /// Serves and tells whom a quiet change concerns.
    pub(crate) fn catch_up(&self) {
        self.with(|_, _| ());
    }

    pub(super) fn limit(&self) -> Limit {
        lock(&self.state).limit()
    }

    pub(crate) fn peek(&self) -> Peek {
        self.with(State::peek)
    }

    pub(super) fn stats(&self) -> Stats {
        let timers = self.driver.timers();
        self.with(|state, now| state.stats(now, timers))
    }

    /// Looks at the state, and changes it: with the word closed, with those served before and after whose
    /// time has come, and with the timers set to the next of them.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State, u64) -> R) -> R {
        let (result, is_armed) = self.serve(act, |state, next| {
            let is_armed = next == state.armed || next.is_none();
            state.armed = next.filter(|_| is_armed);
            is_armed
        });
        if !is_armed {
            self.drive();
        }
        result
    }

    /// Serves whose time has come, and sets the timers. Called by timers, and by whoever changes who is
    /// first in the line; one call at a time does it for all.
    pub(super) fn drive(&self) {
        let _unset = Unset(&self.state);
        let serve = || {
            let arm = |state: &mut State, next| {
                state.armed = next;
                next
            };
            self.serve(|_, _| (), arm).1
        };
        self.driver.run(serve, || {
            let wakers = lock(&self.state).take_wakers();
            wakers.into_iter().for_each(wake_quietly);
        });
    }

    /// What both have in common: `after` is told when the next in the line can pass.
    fn serve<R, S>(
        &self,
        act: impl FnOnce(&mut State, u64) -> R,
        after: impl FnOnce(&mut State, Option<u64>) -> S,
    ) -> (R, S) {
        let mut state = lock(&self.state);
        if let Some(cell) = state.limits.only_quota() {
            self.word.close(cell);
        }
        let now = self.clock.now();
        state.see(now);
        let result = act(&mut state, now);
        let next = state.serve(now);
        let said = after(&mut state, next);
        let is_idle = state.nobody_waits();
        if let Some(cell) = state.limits.only_quota().filter(|_| is_idle) {
            self.word.open(cell, now);
        }
        let left = state.take_left();
        drop(state);
        for waker in left.woken {
            wake_quietly(waker);
        }
        for event in left.events {
            self.observer.tell(&self.name, &event);
        }
        (result, said)
    }
}

/// The limiter in the pictures of the inspection.
#[track_caller]
fn resource<C: Clock>(me: Arc<OnceLock<Weak<Shared<C>>>>, name: Name) -> Resource {
    Resource::with_details("rate limiter", name, move || {
        let Some(shared) = me.get().and_then(Weak::upgrade) else { return Vec::new() };
        let Stats { remaining, waiting, queued, .. } = shared.stats();
        vec![
            ("limit", shared.limit().to_string()),
            ("remaining", remaining.to_string()),
            ("waiting", waiting.to_string()),
            ("queued", queued.to_string()),
        ]
    })
}
