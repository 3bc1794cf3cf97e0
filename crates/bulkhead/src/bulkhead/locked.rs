//! What is behind the lock of a bulkhead. Nothing here wakes or tells anybody: that is left to who releases
//! the lock.

use super::{
    event::{Event, is_traced},
    stats::Stats,
};
use crate::{
    AcquireError,
    drains::Drains,
    state::{Asked, Joined, Place, Queue, Rules, Settled},
};
use std::{mem::take, task::Waker, time::Duration};
use tidegate_core::panic::wake_quietly;

#[derive(Debug)]
pub(super) struct Locked {
    pub(super) queue: Queue<Option<Waker>>,
    /// Who waits for everything to have come back.
    pub(super) drains: Drains,
    /// Who waits, and is to look again.
    called: Vec<Waker>,
    tally: Stats,
    /// Whether events are kept that are not rare.
    is_observed: bool,
    events: Vec<Event>,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Mostly one.
    first: Option<Waker>,
    others: Vec<Waker>,
    pub(super) events: Vec<Event>,
}

impl Left {
    fn wake(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.others.push(waker);
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.first.take().into_iter().chain(take(&mut self.others)).for_each(wake_quietly);
    }
}

impl Locked {
    pub(super) fn new(rules: &Rules, is_observed: bool) -> Self {
        Self {
            queue: Queue::new(rules),
            drains: Drains::default(),
            called: Vec::new(),
            tally: Stats::default(),
            is_observed,
            events: Vec::new(),
        }
    }

    /// Whether permits can be taken and given back without the lock.
    pub(super) fn is_plain(&self) -> bool {
        !self.queue.is_closed() && self.queue.waiting() == 0 && !self.drains.are_awaited()
    }

    /// Takes permits, or a place in the line.
    pub(super) fn join(
        &mut self,
        now: u64,
        asked: Asked,
        waker: &mut Option<Waker>,
    ) -> Result<Joined, AcquireError> {
        let joined = self.queue.join(now, asked, waker);
        let weight = asked.weight;
        match joined {
            Ok(Joined::Enters) => {}
            Ok(Joined::Waits(_)) => {
                self.tally.waited += 1;
                let waiting = self.queue.waiting();
                self.note(|| Event::Waits { weight, waiting });
            }
            Err(error) => {
                if matches!(error, AcquireError::QueueFull { .. }) {
                    self.tally.turned_away += 1;
                }
                self.note_rare(Event::Failed { weight, error });
            }
        }
        joined
    }

    /// Somebody gives up a place. The waker that was to wake it is for the caller to drop.
    pub(super) fn cancel(&mut self, now: u64, key: usize, weight: u32) -> Option<Waker> {
        let place = self.queue.cancel(now, key);
        if !matches!(place, Place::Failed) {
            self.tally.cancelled += 1;
            self.note(|| Event::Cancelled { weight });
        }
        // It has not entered as far as anybody knows.
        if matches!(place, Place::Entered) {
            self.tally.entered -= 1;
        }
        if let Place::Waited(waker) = place { waker } else { None }
    }

    pub(super) fn resize(&mut self, now: u64, to: u32) {
        let from = self.queue.resize(now, to);
        if from != to {
            self.note_rare(Event::Resized { from, to });
        }
    }

    /// As a resize, of which there are many. Up to `most` may be asked for at once. If `is_due`, those who wait are woken to wait for that, too.
    pub(super) fn adapt(&mut self, now: u64, to: u32, most: u32, is_due: bool) {
        let from = self.queue.adapt(now, to, most);
        if is_due {
            let waiters = self.queue.waiters();
            self.called.extend(waiters.filter_map(Option::take));
        }
        if from != to {
            self.note(|| Event::Resized { from, to });
        }
    }

    pub(super) fn close(&mut self, now: u64) {
        let (in_use, waiting) = (self.queue.count().in_use, self.queue.waiting());
        if self.queue.close(now) {
            self.note_rare(Event::Closed { in_use, waiting });
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let count = self.queue.count();
        Stats {
            capacity: count.capacity,
            in_use: count.in_use,
            waiting: self.queue.waiting(),
            queued: self.queue.queued(),
            is_closed: self.queue.is_closed(),
            ..self.tally
        }
    }

    /// What was left to do.
    pub(super) fn take_left(&mut self) -> Left {
        let mut left = Left::default();
        for Settled { waiter, weight, waited, end } in self.queue.take_settled() {
            if let Some(waker) = waiter {
                left.wake(waker);
            }
            self.count(weight, Duration::from_nanos(waited), end);
        }
        if self.drains.are_awaited() && self.queue.is_drained() {
            self.drains.end(|waker| left.wake(waker));
        }
        for waker in take(&mut self.called) {
            left.wake(waker);
        }
        left.events = take(&mut self.events);
        left
    }

    fn count(&mut self, weight: u32, waited: Duration, end: Result<(), AcquireError>) {
        let tally = &mut self.tally;
        let count = match end {
            Ok(()) => &mut tally.entered,
            Err(AcquireError::TimedOut { .. }) => &mut tally.timed_out,
            Err(AcquireError::Shed { .. }) => &mut tally.shed,
            Err(AcquireError::Displaced { .. }) => &mut tally.displaced,
            Err(AcquireError::TooLarge { .. }) => &mut tally.too_large,
            Err(AcquireError::Closed) => &mut tally.closed,
            Err(AcquireError::QueueFull { .. }) => &mut tally.turned_away,
        };
        *count += 1;
        match end {
            Ok(()) => self.note(|| Event::Entered { weight, waited }),
            Err(error) => self.note_rare(Event::Failed { weight, error }),
        }
    }

    /// Keeps an event that is not rare.
    fn note(&mut self, event: impl FnOnce() -> Event) {
        if self.is_observed {
            self.events.push(event());
        }
    }

    /// Keeps one that a subscriber hears, too.
    fn note_rare(&mut self, event: Event) {
        if self.is_observed || is_traced() {
            self.events.push(event);
        }
    }
}
