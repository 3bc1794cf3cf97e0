//! The permits, and those who wait for them.

use super::{Classes, Codel, Count, Pace, line::Lines};
use crate::{AcquireError, Order, Priority, TryAcquireError};
use std::{
    mem::{replace, take},
    time::Duration,
};

/// What a queue goes by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) capacity: u32,
    pub(crate) max_waiting: usize,
    pub(crate) order: Order,
    pub(crate) codel: Option<Codel>,
    pub(crate) patience: Option<u32>,
    /// How long a permit is held, in nanoseconds, if anybody has said so.
    pub(crate) typical_hold: Option<u64>,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) weight: u32,
    pub(crate) priority: Priority,
    /// It has to enter before this.
    pub(crate) deadline: u64,
}

/// What becomes of a request at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Enters,
    /// Its place.
    Waits(usize),
}

/// What has become of somebody who waited, to be told once the lock is released.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled<W> {
    pub(crate) waiter: W,
    pub(crate) weight: u32,
    pub(crate) waited: u64,
    pub(crate) end: Result<(), AcquireError>,
}

/// What somebody leaves behind who gives up a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<W> {
    /// In the line.
    Waited(W),
    /// Its permits were taken for it, and have come back.
    Entered,
    /// It would not have entered.
    Failed,
}

/// The permits, lent out in turn. Nobody overtakes who goes next, so that nobody is starved by smaller
/// requests.
///
/// | a waiter | by | becomes |
/// |---|---|---|
/// | waits | its turn, and enough permits | enters: they are taken for it |
/// | waits | its turn, with its time over | fails |
/// | waits | CoDel, if it is the first of the least urgent | fails |
/// | waits | a capacity below its weight, a more urgent one when the line is full, closing | fails |
/// | waits | `cancel` | gone; the next moves up |
/// | enters, untold | `cancel` | gone, its permits are given back |
/// | enters or fails | `collect` | gone, told |
#[derive(Debug)]
pub(crate) struct Queue<W> {
    count: Count,
    /// The most that may be asked for at once: not less than the capacity, which may be lower for a while.
    most: u32,
    lines: Lines<Waiter<W>>,
    classes: Classes,
    codel: Option<Codel>,
    pace: Pace,
    order: Order,
    max_waiting: usize,
    typical_hold: Option<u64>,
    is_closed: bool,
    /// Mostly one.
    settled: (Option<Settled<W>>, Vec<Settled<W>>),
}

#[derive(Debug)]
struct Waiter<W> {
    since: u64,
    deadline: u64,
    step: Step<W>,
}

#[derive(Debug)]
enum Step<W> {
    Waits(W),
    Enters,
    Fails(AcquireError),
}

impl<W> Queue<W> {
    pub(crate) fn new(rules: &Rules) -> Self {
        Self {
            count: Count::new(rules.capacity),
            most: rules.capacity,
            lines: Lines::new(),
            classes: Classes::new(rules.patience),
            codel: rules.codel.clone(),
            pace: Pace::default(),
            order: rules.order,
            max_waiting: rules.max_waiting,
            typical_hold: rules.typical_hold,
            is_closed: false,
            settled: (None, Vec::new()),
        }
    }

    pub(crate) fn count(&self) -> Count {
        self.count
    }

    /// The count is kept elsewhere, and is that.
    pub(crate) fn set_count(&mut self, count: Count) {
        self.count = count;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lines.len()
    }

    /// How many permits they wait for.
    pub(crate) fn queued(&self) -> u64 {
        self.lines.weight()
    }

    /// Nobody waits, and nothing is in use.
    pub(crate) fn is_drained(&self) -> bool {
        self.lines.is_empty() && self.count.in_use == 0
    }

    /// What has become of those who waited, since the last call.
    pub(crate) fn take_settled(&mut self) -> impl Iterator<Item = Settled<W>> + use<W> {
        let (first, others) = take(&mut self.settled);
        first.into_iter().chain(others)
    }

    /// Takes `weight` permits, or none. Overtakes nobody.
    pub(crate) fn try_take(&mut self, weight: u32) -> Result<(), TryAcquireError> {
        let Count { capacity, in_use } = self.count;
        if self.is_closed {
            Err(TryAcquireError::Closed)
        } else if weight > self.most.max(capacity) {
            Err(TryAcquireError::TooLarge { weight, capacity: self.most.max(capacity) })
        } else if weight == 0 || self.lines.is_empty() && self.count.fits(weight) {
            self.count.in_use += weight;
            Ok(())
        } else {
            let (waiting, retry_after) = (self.lines.len(), self.retry_after(weight));
            Err(TryAcquireError::Full { in_use, capacity, waiting, retry_after })
        }
    }

    /// Permits have come back, and are counted already.
    pub(crate) fn came_back(&mut self, now: u64, weight: u32) {
        if weight > 0 && !self.lines.is_empty() {
            self.pace.came_back(now, weight);
        }
        self.serve(now);
    }

    /// Whoever waits there, to be woken by something else from now on; none, if it waits no longer.
    pub(crate) fn waiter(&mut self, key: usize) -> Option<&mut W> {
        match &mut self.lines.waiter_mut(key).step {
            Step::Waits(waiter) => Some(waiter),
            Step::Enters | Step::Fails(_) => None,
        }
    }

    /// All who wait, to be woken by something else from now on.
    pub(crate) fn waiters(&mut self) -> impl Iterator<Item = &mut W> {
        self.lines.waiters_mut().filter_map(|waiter| match &mut waiter.step {
            Step::Waits(waiter) => Some(waiter),
            Step::Enters | Step::Fails(_) => None,
        })
    }

    /// What has become of who waited there, which gives up its place; none, if it waits still.
    pub(crate) fn collect(&mut self, key: usize) -> Option<Result<(), AcquireError>> {
        let end = match &self.lines.waiter(key).step {
            Step::Waits(_) => return None,
            Step::Enters => Ok(()),
            Step::Fails(error) => Err(*error),
        };
        self.lines.remove(key);
        Some(end)
    }

    /// Gives up a place, whatever has become of who waited there.
    pub(crate) fn cancel(&mut self, now: u64, key: usize) -> Place<W> {
        let weight = self.lines.weight_of(key);
        let place = match self.leave(key).step {
            Step::Waits(waiter) => Place::Waited(waiter),
            // Held by nobody, so that it says nothing about how fast permits come back.
            Step::Enters => {
                self.count.in_use -= weight;
                Place::Entered
            }
            Step::Fails(_) => Place::Failed,
        };
        self.serve(now);
        place
    }

    /// The time of a waiter is over, if it waits still.
    pub(crate) fn expire(&mut self, now: u64, key: usize) {
        if self.waiter(key).is_some() {
            let error = self.timed_out(now, key);
            self.settle(now, key, Err(error));
            self.serve(now);
        }
    }

    /// Changes the capacity. Below what is in use nothing enters until enough has come back.
    pub(crate) fn resize(&mut self, now: u64, capacity: u32) -> u32 {
        self.adapt(now, capacity, capacity)
    }

    /// The same for a while, after which there are `most`: who asks for no more than that can wait for it.
    pub(crate) fn adapt(&mut self, now: u64, capacity: u32, most: u32) -> u32 {
        let before = replace(&mut self.count.capacity, capacity);
        let most_before = replace(&mut self.most, most);
        if most < most_before {
            let keys: Vec<_> = self.lines.keys().collect();
            for key in keys {
                let weight = self.lines.weight_of(key);
                if weight > most {
                    let error = AcquireError::TooLarge { weight, capacity: most };
                    self.settle(now, key, Err(error));
                }
            }
        }
        self.serve(now);
        before
    }

    /// Lets nothing in any more; false, if it was so before.
    pub(crate) fn close(&mut self, now: u64) -> bool {
        let keys: Vec<_> = self.lines.keys().collect();
        for key in keys {
            self.settle(now, key, Err(AcquireError::Closed));
        }
        !replace(&mut self.is_closed, true)
    }

    /// After which time there may be as many permits, if anything is known about it.
    fn retry_after(&self, weight: u32) -> Option<Duration> {
        let ahead = self.lines.weight() + u64::from(weight);
        let missing = ahead.saturating_sub(u64::from(self.count.free()));
        let hold = self.typical_hold;
        let by_hold = || Some(time_of(hold?, missing, self.count.capacity));
        self.pace.time_of(missing).or_else(by_hold).map(Duration::from_nanos)
    }

    /// Lets enter whoever can.
    fn serve(&mut self, now: u64) {
        while let Some(key) = self.next() {
            let weight = self.lines.weight_of(key);
            let &Waiter { since, deadline, .. } = self.lines.waiter(key);
            if now >= deadline {
                let error = self.timed_out(now, key);
                self.settle(now, key, Err(error));
                continue;
            }
            if !self.count.fits(weight) {
                break;
            }
            let (waited, is_last) = (now.saturating_sub(since), self.lines.len() == 1);
            if self.codel.as_mut().is_some_and(|codel| codel.sheds(now, waited, is_last)) {
                self.shed(now);
                continue;
            }
            self.count.in_use += weight;
            let class = self.lines.class(key);
            self.settle(now, key, Ok(()));
            self.classes.went(class, |class| self.lines.first(class).is_some());
        }
        if self.lines.is_empty() {
            self.pace.is_idle();
            if let Some(codel) = &mut self.codel {
                codel.is_empty();
            }
        }
    }

    /// Who goes next.
    fn next(&self) -> Option<usize> {
        let class = self.classes.next(|class| self.lines.first(class).is_some())?;
        if self.is_last_first(self.lines.len()) {
            self.lines.last(class)
        } else {
            self.lines.first(class)
        }
    }

    /// Whether the last goes next, where so many wait.
    fn is_last_first(&self, len: usize) -> bool {
        match self.order {
            Order::Fifo => false,
            Order::Lifo => true,
            Order::AdaptiveLifo { beyond } => len > beyond,
        }
    }

    /// Whoever of the least urgent would go last, of that class and less urgent ones.
    fn least_urgent(&self, from: usize) -> Option<usize> {
        let is_last_first = self.is_last_first(self.lines.len());
        let of = |class: usize| {
            if is_last_first { self.lines.first(class) } else { self.lines.last(class) }
        };
        (from..Priority::CLASSES).rev().find_map(of)
    }

    /// Whether one that joins the line would go next, and fits.
    fn goes_at_once(&self, class: usize, weight: u32) -> bool {
        let waits = |other: usize| other == class || self.lines.first(other).is_some();
        let is_first =
            self.lines.first(class).is_none() || self.is_last_first(self.lines.len() + 1);
        is_first && self.count.fits(weight) && self.classes.next(waits) == Some(class)
    }

    /// Sheds who has waited the longest, of the least urgent.
    fn shed(&mut self, now: u64) {
        let mut least = (0..Priority::CLASSES).rev();
        let Some(key) = least.find_map(|class| self.lines.first(class)) else { return };
        let waited = Duration::from_nanos(now.saturating_sub(self.lines.waiter(key).since));
        let retry_after = self.retry_after(self.lines.weight_of(key));
        self.settle(now, key, Err(AcquireError::Shed { waited, retry_after }));
    }

    fn timed_out(&self, now: u64, key: usize) -> AcquireError {
        let waited = now.saturating_sub(self.lines.waiter(key).since);
        let retry_after = self.retry_after(0);
        AcquireError::TimedOut { waited: Duration::from_nanos(waited), retry_after }
    }

    /// Says what becomes of a waiter that is in the line.
    fn settle(&mut self, now: u64, key: usize, end: Result<(), AcquireError>) {
        let class = self.lines.class(key);
        let weight = self.lines.weight_of(key);
        self.lines.leave(key);
        self.note_empty(class);
        let place = self.lines.waiter_mut(key);
        let waited = now.saturating_sub(place.since);
        let step = end.map_or_else(Step::Fails, |()| Step::Enters);
        if let Step::Waits(waiter) = replace(&mut place.step, step) {
            let settled = Settled { waiter, weight, waited, end };
            match &mut self.settled {
                (first @ None, _) => *first = Some(settled),
                (Some(_), others) => others.push(settled),
            }
        }
    }

    fn leave(&mut self, key: usize) -> Waiter<W> {
        let class = self.lines.class(key);
        let waiter = self.lines.remove(key);
        self.note_empty(class);
        waiter
    }

    fn note_empty(&mut self, class: usize) {
        if self.lines.first(class).is_none() {
            self.classes.is_empty(class);
        }
    }
}

impl<W: Default> Queue<W> {
    /// Takes permits, or a place in the line for them; then whatever wakes who waits is taken from `waiter`.
    pub(crate) fn join(
        &mut self,
        now: u64,
        asked: Asked,
        waiter: &mut W,
    ) -> Result<Joined, AcquireError> {
        let Asked { weight, priority, deadline } = asked;
        let retry_after = match self.try_take(weight) {
            Ok(()) => return Ok(Joined::Enters),
            Err(TryAcquireError::Closed) => return Err(AcquireError::Closed),
            Err(TryAcquireError::TooLarge { weight, capacity }) => {
                return Err(AcquireError::TooLarge { weight, capacity });
            }
            Err(TryAcquireError::Full { retry_after, .. }) => retry_after,
        };
        if now >= deadline {
            return Err(AcquireError::TimedOut { waited: Duration::ZERO, retry_after });
        }
        let class = priority.class();
        let waiting = self.lines.len();
        if waiting >= self.max_waiting && !self.goes_at_once(class, weight) {
            let Some(other) = self.least_urgent(class + 1) else {
                return Err(AcquireError::QueueFull { waiting, retry_after });
            };
            let waited = now.saturating_sub(self.lines.waiter(other).since);
            let waited = Duration::from_nanos(waited);
            self.settle(now, other, Err(AcquireError::Displaced { waited, retry_after }));
        }
        let step = Step::Waits(take(waiter));
        let key = self.lines.join(class, weight, Waiter { since: now, deadline, step });
        // It may be more urgent than one that needs more.
        self.serve(now);
        Ok(Joined::Waits(key))
    }
}

/// How long it takes until `missing` permits of a capacity come back that are held for so long each.
pub(crate) fn time_of(hold: u64, missing: u64, capacity: u32) -> u64 {
    let time = u128::from(hold) * u128::from(missing) / u128::from(capacity.max(1));
    u64::try_from(time).unwrap_or(u64::MAX)
}
