//! The limits and those who wait for them: what is behind the lock of a limiter.

use super::{
    event::{Event, is_traced},
    stats::{Counts, Peek, Stats},
};
use crate::{
    AcquireError, ConfigError, Limit, TryAcquireError,
    state::{Limits, Line, Refusal},
};
use std::{
    mem::{replace, swap, take},
    task::Waker,
    time::Duration,
};

/// What is behind the lock. Nothing here wakes or tells anybody: that is left to who releases the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    /// The first of the limits.
    limit: Limit,
    line: Line<Waiter>,
    /// Nobody in the line has to pass before this.
    earliest: u64,
    max_waiters: usize,
    /// What the timers are set to.
    pub(super) armed: Option<u64>,
    counts: Counts,
    /// Whether events are kept that are not rare.
    is_observed: bool,
    left: Left,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) woken: Vec<Waker>,
    pub(super) events: Vec<Event>,
}

/// Who waits in the line, or has been in it and was not told yet.
#[derive(Debug)]
struct Waiter {
    since: u64,
    /// It has to pass before this.
    deadline: u64,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// In the line, and woken by this, if by anything.
    Waits(Option<Waker>),
    /// Its tokens were taken for it, at this time.
    Passes(u64),
    /// It never passes in time.
    Fails(AcquireError),
}

/// What has become of who comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joined {
    /// It has taken its tokens, at this time.
    Passes(u64),
    /// The key of its place in the line.
    Waits(usize),
}

/// What a waiter finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    /// Its tokens were taken for it, at this time. It has given up its place.
    Passes(u64),
    /// They never are. It has given up its place.
    Fails(AcquireError),
    /// It waits still, and is woken.
    Waits,
    /// It waits still, and by another waker than it has looked with.
    WaitsElsewhere,
}

impl State {
    pub(super) fn new(limits: Limits, limit: Limit, max_waiters: usize, is_observed: bool) -> Self {
        Self {
            limits,
            limit,
            line: Line::new(),
            earliest: u64::MAX,
            max_waiters,
            armed: None,
            counts: Counts::default(),
            is_observed,
            left: Left::default(),
        }
    }

    pub(super) fn nobody_waits(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// What was left to do.
    pub(super) fn take_left(&mut self) -> Left {
        take(&mut self.left)
    }

    /// It is this late. Lets pass whoever can.
    pub(super) fn see(&mut self, now: u64) {
        if let Some(cell) = self.limits.only_quota() {
            // What is taken by the word it has not seen.
            cell.see(now);
        }
        self.serve(now);
    }

    /// Lets pass whoever can, and says when the next one can.
    pub(super) fn serve(&mut self, now: u64) -> Option<u64> {
        while let Some((key, cost)) = self.line.first() {
            match self.limits.take(now, cost) {
                Ok(()) => {
                    self.counts.served += 1;
                    let waited = time_between(self.line.waiter(key).since, now);
                    self.note(Event::Served { cost, waited });
                    self.settle(key, Step::Passes(now));
                }
                Err(Refusal::Until(at)) => {
                    let deadline = self.line.waiter(key).deadline;
                    if at <= deadline {
                        // Nor does anybody behind it pass sooner. Of a single quota this was known.
                        if at > self.earliest && self.limits.only_quota().is_none() {
                            self.fail_the_late(now);
                        }
                        return Some(at);
                    }
                    // What was known when it came was a lower bound.
                    let error = late(now, at, deadline);
                    self.fail(key, cost, error);
                }
                Err(Refusal::Never) => {
                    let error = self.never(now, cost);
                    self.fail(key, cost, error);
                }
            }
        }
        None
    }

    /// Takes `cost`, if nobody waits and there is enough.
    pub(super) fn try_take(&mut self, now: u64, cost: u64) -> Result<(), TryAcquireError> {
        if cost == 0 || self.line.is_empty() && self.limits.take(now, cost).is_ok() {
            return Ok(());
        }
        match self.limits.ready_at(self.line.queued(), cost) {
            Some(at) => Err(TryAcquireError::Denied {
                retry_after: time_between(now, at),
                remaining: self.remaining(now),
            }),
            None => Err(TryAcquireError::Never {
                cost,
                possible: self.limits.possible(now),
                remaining: self.remaining(now),
            }),
        }
    }

    /// The same, or joins the line with that waker.
    pub(super) fn take_or_join(
        &mut self,
        now: u64,
        cost: u64,
        deadline: u64,
        waker: &mut Option<Waker>,
    ) -> Result<Joined, AcquireError> {
        if self.try_take(now, cost).is_ok() {
            return Ok(Joined::Passes(now));
        }
        let Some(at) = self.limits.ready_at(self.line.queued(), cost) else {
            return Err(self.too_late(cost, self.never(now, cost)));
        };
        let delay = time_between(now, at);
        if at > deadline {
            return Err(self.too_late(cost, late(now, at, deadline)));
        }
        // With those that were served and not told: their places take memory as well.
        let waiting = self.line.places();
        if waiting >= self.max_waiters {
            self.counts.turned_away += 1;
            self.note_rare(Event::TurnedAway { cost, waiting });
            return Err(AcquireError::Full { waiting, retry_after: delay });
        }
        self.counts.waited += 1;
        let waiting = self.line.len();
        self.note(Event::Waits { cost, delay, waiting: waiting + 1 });
        self.earliest = self.earliest.min(deadline);
        let step = Step::Waits(waker.take());
        Ok(Joined::Waits(self.line.join(cost, Waiter { since: now, deadline, step })))
    }

    /// What has become of a waiter. If it waits still, and is woken by another waker than this, it takes `clone`
    /// from now on, and leaves what it had in its place: both clone and drop are foreign code, and for the
    /// caller, who has no lock.
    pub(super) fn look(
        &mut self,
        key: usize,
        waker: Option<&Waker>,
        clone: &mut Option<Waker>,
    ) -> Seen {
        let seen = match &mut self.line.waiter(key).step {
            Step::Waits(old) => {
                let is_same = |new: &Waker| old.as_ref().is_some_and(|old| old.will_wake(new));
                return match waker {
                    Some(new) if !is_same(new) && clone.is_none() => Seen::WaitsElsewhere,
                    Some(new) if !is_same(new) => {
                        swap(old, clone);
                        Seen::Waits
                    }
                    _ => Seen::Waits,
                };
            }
            Step::Passes(taken_at) => Seen::Passes(*taken_at),
            Step::Fails(error) => Seen::Fails(*error),
        };
        self.line.remove(key);
        seen
    }

    /// Those of all in the line, each of which hands in another when it is polled, and sets the timers.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.armed = None;
        let keys: Vec<_> = self.line.iter().map(|(key, ..)| key).collect();
        let wakers = keys.into_iter().filter_map(|key| match &mut self.line.waiter(key).step {
            Step::Waits(waker) => waker.take(),
            _ => None,
        });
        wakers.collect()
    }

    /// A waiter gives up, whatever it has come to.
    pub(super) fn cancel(&mut self, now: u64, key: usize, cost: u64) -> Option<Waker> {
        let waiter = self.line.remove(key);
        self.counts.cancelled += 1;
        self.note(Event::Cancelled { cost });
        match waiter.step {
            Step::Waits(waker) => return waker,
            Step::Passes(taken_at) => self.give_back(now, cost, taken_at),
            Step::Fails(_) => {}
        }
        None
    }

    /// Gives back what is still missing of it. What is counted and told is what was handed in: of several
    /// limits, each misses another part of it.
    pub(super) fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.limits.give_back(now, cost, taken_at);
        self.counts.refunded += u128::from(cost);
        self.note(Event::Refunded { cost });
    }

    /// Changes the first of the limits, and fails whoever cannot pass in time any more.
    pub(super) fn change(&mut self, now: u64, limit: Limit) -> Result<(), ConfigError> {
        self.limits.change_first(now, limit)?;
        let from = replace(&mut self.limit, limit);
        self.note_rare(Event::Changed { from, to: limit });
        self.fail_the_late(now);
        Ok(())
    }

    /// Fails whoever cannot pass in time, as far as it is known.
    fn fail_the_late(&mut self, now: u64) {
        self.earliest = u64::MAX;
        let mut ahead = 0;
        let mut failed = Vec::new();
        for (key, cost, waiter) in self.line.iter() {
            let error = match self.limits.ready_at(ahead, cost) {
                Some(at) if at <= waiter.deadline => {
                    self.earliest = self.earliest.min(waiter.deadline);
                    ahead += u128::from(cost);
                    continue;
                }
                Some(at) => late(now, at, waiter.deadline),
                None => self.never(now, cost),
            };
            failed.push((key, cost, error));
        }
        for (key, cost, error) in failed {
            self.fail(key, cost, error);
        }
    }

    /// When a waiter passes; none, if it is not in the line.
    pub(super) fn ready_at(&self, key: usize) -> Option<u64> {
        let mut ahead = 0;
        for (other, cost, _) in self.line.iter() {
            if other == key {
                return self.limits.ready_at(ahead, cost);
            }
            ahead += u128::from(cost);
        }
        None
    }

    pub(super) fn peek(&mut self, now: u64) -> Peek {
        Peek {
            remaining: self.remaining(now),
            possible: self.limits.possible(now),
            full_after: self.limits.full_at().map(|at| time_between(now, at)),
            waiting: self.line.len(),
        }
    }

    pub(super) fn stats(&mut self, now: u64, timers: usize) -> Stats {
        let remaining = self.remaining(now);
        self.counts.stats(remaining, timers, &self.line)
    }

    /// How much can be taken by who does not wait.
    fn remaining(&mut self, now: u64) -> u64 {
        if self.line.is_empty() { self.limits.available(now) } else { 0 }
    }

    fn never(&self, now: u64, cost: u64) -> AcquireError {
        AcquireError::Never { cost, possible: self.limits.possible(now) }
    }

    fn fail(&mut self, key: usize, cost: u64, error: AcquireError) {
        let error = self.too_late(cost, error);
        self.settle(key, Step::Fails(error));
    }

    fn too_late(&mut self, cost: u64, error: AcquireError) -> AcquireError {
        self.counts.too_late += 1;
        self.note_rare(Event::TooLate { cost, retry_after: error.retry_after() });
        error
    }

    fn settle(&mut self, key: usize, step: Step) {
        self.line.leave(key);
        if let Step::Waits(Some(waker)) = replace(&mut self.line.waiter(key).step, step) {
            self.left.woken.push(waker);
        }
    }

    /// Keeps an event that is not rare.
    fn note(&mut self, event: Event) {
        if self.is_observed {
            self.left.events.push(event);
        }
    }

    /// Keeps one that a subscriber hears, too.
    fn note_rare(&mut self, event: Event) {
        if self.is_observed || is_traced() {
            self.left.events.push(event);
        }
    }
}

fn late(now: u64, at: u64, deadline: u64) -> AcquireError {
    AcquireError::TooLate {
        retry_after: time_between(now, at),
        allowed: time_between(now, deadline),
    }
}

/// From one time to another, or none of it.
pub(crate) fn time_between(from: u64, to: u64) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}
