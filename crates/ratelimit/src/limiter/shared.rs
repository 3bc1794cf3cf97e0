//! What the handles of a limiter share: the word for the plain case, and the state behind a lock for all
//! others.

use super::{driver::Driver, stats::Counts};
use crate::{
    AcquireError, ConfigError, Quota, TryAcquireError,
    clock::Clock,
    limiter::{Peek, Stats},
    state::{Limits, Line, Refusal, Scale, Taken, Word},
};
use std::{
    sync::{Arc, OnceLock, Weak},
    task::{Wake, Waker},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{Mutex, lock},
};

/// One limiter, whatever the number of its handles.
pub(super) struct Shared<C: Clock> {
    pub(super) clock: C,
    word: Word,
    state: Mutex<State>,
    pub(super) driver: Driver<C::Timer>,
    pub(super) resource: Resource,
    pub(super) name: Name,
    max_waiters: usize,
}

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    /// The first of the limits.
    quota: Quota,
    pub(super) line: Line<Waiter>,
    /// What the timers are set to.
    armed: Option<u64>,
    /// To be woken once the lock is released.
    woken: Vec<Waker>,
    pub(super) counts: Counts,
}

/// Who waits in the line, or has been in it and was not told yet.
#[derive(Debug)]
pub(super) struct Waiter {
    /// It has to pass before this.
    pub(super) deadline: u64,
    pub(super) step: Step,
}

#[derive(Debug)]
pub(super) enum Step {
    /// In the line, and woken by this, if by anything.
    Waits(Option<Waker>),
    /// Its tokens were taken for it.
    Passes,
    /// It never passes in time.
    Fails(AcquireError),
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

impl<C: Clock> Shared<C> {
    #[track_caller]
    pub(super) fn new(
        clock: C,
        limits: Limits,
        quota: Quota,
        name: Name,
        max_waiters: usize,
    ) -> Arc<Self> {
        let late = Arc::new(OnceLock::new());
        let resource = resource(Arc::clone(&late), name.clone());
        let shared = Arc::new_cyclic(|me: &Weak<Self>| Self {
            clock,
            word: Word::closed(),
            driver: Driver::new(Waker::from(Arc::new(Bell(me.clone())))),
            resource,
            state: Mutex::new(State {
                limits,
                quota,
                line: Line::new(),
                armed: None,
                woken: Vec::new(),
                counts: Counts::default(),
            }),
            name,
            max_waiters,
        });
        // It is the first to be put there.
        let _ = late.set(Arc::downgrade(&shared));
        shared.with(|_, _| ());
        shared
    }

    /// Takes `cost`, if nobody waits and there is enough.
    #[inline]
    pub(super) fn try_take(&self, cost: u64) -> Result<(), TryAcquireError> {
        let now = self.clock.now();
        if self.word.take(now, cost) { Ok(()) } else { self.try_take_slowly(now, cost) }
    }

    /// Kept apart, so that the plain case becomes part of whoever asks.
    #[inline(never)]
    fn try_take_slowly(&self, now: u64, cost: u64) -> Result<(), TryAcquireError> {
        match self.word.decide(now, cost) {
            Taken::Yes => Ok(()),
            Taken::Not { until, remaining } => {
                Err(TryAcquireError::Denied { retry_after: time_between(now, until), remaining })
            }
            Taken::Ask => self.try_take_locked(cost),
        }
    }

    /// Kept apart in turn: a plain refusal needs no room for this.
    #[cold]
    #[inline(never)]
    fn try_take_locked(&self, cost: u64) -> Result<(), TryAcquireError> {
        self.with(|state, now| state.try_take(now, cost))
    }

    /// Takes `cost`, if the word alone can say so.
    pub(super) fn try_take_fast(&self, cost: u64) -> bool {
        self.word.take(self.clock.now(), cost)
    }

    /// After which time the waiter of that key passes.
    pub(super) fn delay(&self, key: usize) -> Duration {
        self.with(|state, now| match state.ready_at(key) {
            Some(at) => time_between(now, at),
            None => Duration::ZERO,
        })
    }

    /// Joins the line, unless it passes now or never.
    pub(super) fn take_or_join(
        &self,
        cost: u64,
        deadline: impl FnOnce(u64) -> u64,
        waker: Option<Waker>,
    ) -> Result<Option<usize>, AcquireError> {
        self.with(|state, now| {
            let deadline = deadline(now);
            state.take_or_join(now, cost, deadline, waker, self.max_waiters)
        })
    }

    /// Gives back what was taken and not used.
    pub(super) fn give_back(&self, cost: u64) {
        if cost > 0 {
            self.with(|state, now| {
                state.limits.give_back(now, cost);
                state.counts.refunded += u128::from(cost);
            });
        }
    }

    /// Changes the first of the limits.
    pub(super) fn change(&self, change: impl FnOnce(Quota) -> Quota) -> Result<(), ConfigError> {
        self.with(|state, now| {
            let quota = change(state.quota);
            state.limits.first().change(now, Scale::new(quota)?);
            state.quota = quota;
            state.give_up_on_the_late(now);
            Ok(())
        })
    }

    pub(super) fn quota(&self) -> Quota {
        lock(&self.state).quota
    }

    pub(super) fn peek(&self) -> Peek {
        self.with(|state, now| Peek {
            remaining: state.remaining(now),
            possible: state.limits.possible(now),
            full_after: state.limits.full_at().map(|at| time_between(now, at)),
            waiting: state.line.len(),
        })
    }

    pub(super) fn stats(&self) -> Stats {
        self.with(|state, now| state.counts.stats(state.remaining(now), &state.line))
    }

    /// Looks at the state, and changes it: with the word closed, with those served before and after whose
    /// time has come, and with the timers set to the next of them.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State, u64) -> R) -> R {
        let (result, is_armed) = self.serve(act, |_| ());
        if !is_armed {
            self.drive();
        }
        result
    }

    /// The same, but for the timers: says whether they are right.
    fn serve<R>(
        &self,
        act: impl FnOnce(&mut State, u64) -> R,
        after: impl FnOnce(&mut State),
    ) -> (R, bool) {
        let mut state = lock(&self.state);
        if state.limits.is_one() {
            self.word.close(state.limits.first());
        }
        let now = self.clock.now();
        state.serve(now);
        let result = act(&mut state, now);
        let next = state.serve(now);
        let is_armed = next == state.armed || next.is_none();
        state.armed = next.filter(|_| is_armed);
        after(&mut state);
        if state.line.is_empty() && state.limits.is_one() {
            self.word.open(state.limits.first(), now);
        }
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        (result, is_armed)
    }

    /// Serves whose time has come, and sets the timers. Called by timers, and by whoever changes who is
    /// first in the line; one call at a time does it for all.
    pub(super) fn drive(&self) {
        self.driver.run(|| {
            let mut next = None;
            self.serve(
                |_, _| (),
                |state| {
                    next = state.next_at();
                    state.armed = next;
                },
            );
            next
        });
    }
}

impl State {
    /// Lets pass whoever can, and says when the next one can.
    fn serve(&mut self, now: u64) -> Option<u64> {
        while let Some((key, cost)) = self.line.first() {
            let step = match self.limits.take(now, cost) {
                Ok(()) => {
                    self.counts.served += 1;
                    Step::Passes
                }
                Err(Refusal::Until(at)) => return Some(at),
                Err(Refusal::Never) => Step::Fails(self.never(now, cost)),
            };
            self.settle(key, step);
        }
        None
    }

    fn settle(&mut self, key: usize, step: Step) {
        self.line.leave(key);
        if let Step::Waits(Some(waker)) = std::mem::replace(&mut self.line.waiter(key).step, step) {
            self.woken.push(waker);
        }
    }

    /// When a waiter passes; none, if it is not in the line.
    fn ready_at(&self, key: usize) -> Option<u64> {
        let mut ahead = 0;
        for (other, cost, _) in self.line.iter() {
            if other == key {
                return self.limits.ready_at(ahead, cost);
            }
            ahead += u128::from(cost);
        }
        None
    }

    /// When the first in the line can pass.
    fn next_at(&self) -> Option<u64> {
        let (_, cost) = self.line.first()?;
        self.limits.ready_at(0, cost)
    }

    fn try_take(&mut self, now: u64, cost: u64) -> Result<(), TryAcquireError> {
        if cost == 0 {
            return Ok(());
        }
        let is_first = self.line.is_empty();
        let refusal =
            if is_first { self.limits.take(now, cost).err() } else { Some(Refusal::Never) };
        if refusal.is_none() {
            return Ok(());
        }
        match self.limits.ready_at(self.line.queued(), cost) {
            Some(at) => Err(TryAcquireError::Denied {
                retry_after: time_between(now, at),
                remaining: self.remaining(now),
            }),
            None => Err(TryAcquireError::Never { cost, possible: self.limits.possible(now) }),
        }
    }

    fn take_or_join(
        &mut self,
        now: u64,
        cost: u64,
        deadline: u64,
        waker: Option<Waker>,
        max_waiters: usize,
    ) -> Result<Option<usize>, AcquireError> {
        match self.try_take(now, cost) {
            Ok(()) => return Ok(None),
            Err(TryAcquireError::Never { .. }) => return Err(self.never(now, cost)),
            Err(TryAcquireError::Denied { retry_after, .. }) => {
                let at =
                    now.saturating_add(u64::try_from(retry_after.as_nanos()).unwrap_or(u64::MAX));
                if at > deadline {
                    self.counts.too_late += 1;
                    return Err(AcquireError::TooLate {
                        retry_after,
                        allowed: time_between(now, deadline),
                    });
                }
                if self.line.len() >= max_waiters {
                    self.counts.turned_away += 1;
                    return Err(AcquireError::Full { waiting: max_waiters, retry_after });
                }
            }
        }
        self.counts.waited += 1;
        Ok(Some(self.line.join(cost, Waiter { deadline, step: Step::Waits(waker) })))
    }

    /// Fails whoever cannot pass in time any more.
    pub(super) fn give_up_on_the_late(&mut self, now: u64) {
        let mut ahead = 0;
        let mut late = Vec::new();
        for (key, cost, waiter) in self.line.iter() {
            match self.limits.ready_at(ahead, cost) {
                Some(at) if at <= waiter.deadline => ahead += u128::from(cost),
                Some(at) => late.push((
                    key,
                    AcquireError::TooLate {
                        retry_after: time_between(now, at),
                        allowed: time_between(now, waiter.deadline),
                    },
                )),
                None => late.push((key, self.never(now, cost))),
            }
        }
        for (key, error) in late {
            self.settle(key, Step::Fails(error));
        }
    }

    /// How much can be taken by who does not wait.
    fn remaining(&self, now: u64) -> u64 {
        if self.line.is_empty() { self.limits.available(now) } else { 0 }
    }

    fn never(&self, now: u64, cost: u64) -> AcquireError {
        AcquireError::Never { cost, possible: self.limits.possible(now) }
    }
}

/// From one time to another, or none of it.
pub(super) fn time_between(from: u64, to: u64) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}

/// The limiter in the pictures of the inspection.
#[track_caller]
fn resource<C: Clock>(me: Arc<OnceLock<Weak<Shared<C>>>>, name: Name) -> Resource {
    Resource::with_details("rate limiter", name, move || {
        let Some(shared) = me.get().and_then(Weak::upgrade) else { return Vec::new() };
        let Stats { remaining, waiting, queued, .. } = shared.stats();
        vec![
            ("quota", shared.quota().to_string()),
            ("remaining", remaining.to_string()),
            ("waiting", waiting.to_string()),
            ("queued", queued.to_string()),
        ]
    })
}
