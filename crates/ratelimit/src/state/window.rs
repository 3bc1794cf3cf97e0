//! Never more than so much in any window.

use super::{Refusal, scale::LONGEST};
use crate::{ConfigError, SlidingWindow};
use std::{collections::VecDeque, time::Duration};

/// A step back of the clock that is waited out: see [`Gcra`](super::Gcra).
const STEP_BACK: u64 = 1_000_000_000;

/// How many entries a log has at most, unless told otherwise and at all, but for two.
const DEFAULT_ENTRIES: u64 = 1024;
const MAX_ENTRIES: usize = 65_538;

/// A limit as a sliding log keeps it: what passed, and when, for as long as it counts.
///
/// What passes at a time counts until the length of the window later, and not at that instant any more: of
/// any stretch of time of that length that contains one of its ends, and therefore of any that is
/// shorter, it holds that no more than the limit passes in it. A [`Gcra`](super::Gcra) of the same rate
/// and burst lets pass up to twice as much in a window, and keeps one number instead of a log.
///
/// The log has an entry for each *slot* of time, by default of a nanosecond where not more than 1024 may
/// pass, and of a 1024th of the window otherwise: see [`SlidingWindow::resolution`]. What passes in a slot
/// counts as if it had at the slot's end. So the limit is kept whatever the slot, and what is lost is that
/// a token comes back late by less than a slot.
///
/// Time comes in as nanoseconds since an origin of the caller's choice. It may go back: nothing is gained
/// by that. After a step back of more than a second the window is at worst as full as it was after
/// the last that passed, and empties from there; after a shorter one, by as much later.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::{SlidingWindow, state::{Refusal, Window}};
///
/// let mut window = Window::new(SlidingWindow::new(3, Duration::from_nanos(100))).unwrap();
/// assert_eq!(window.take(10, 2), Ok(()));
/// assert_eq!(window.take(50, 1), Ok(()));
/// assert_eq!(window.take(109, 1), Err(Refusal::Until(110)));
/// assert_eq!(window.take(110, 2), Ok(()));
/// assert_eq!(window.ready_at(3), Some(210));
/// assert_eq!(window.take(110, 4), Err(Refusal::Never));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    shape: Shape,
    /// What counts, the oldest first, with an entry per slot.
    log: VecDeque<Entry>,
    /// The sum of the log. More than the limit only after a change to a smaller one.
    logged: u64,
    /// What was taken beyond the limit, and comes into the log as others leave it. If there is any, the
    /// log is full.
    owed: u128,
    /// The time of the last look, and the latest of any.
    seen: u64,
    latest: u64,
    /// What was taken before is not given back: some of it may not count any more, whatever its time says.
    since: u64,
    /// The first time after the last change of the limit.
    settled: u64,
}

/// A [`SlidingWindow`] in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// How much may be in the log.
    most: u64,
    length: u64,
    slot: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The last nanosecond of its slot.
    at: u64,
    count: u64,
}

impl Window {
    /// A window in which nothing has passed.
    ///
    /// # Errors
    ///
    /// If the limit is not usable.
    pub fn new(limit: SlidingWindow) -> Result<Self, ConfigError> {
        let shape = Shape::new(limit)?;
        let log = VecDeque::with_capacity(shape.entries());
        let (seen, latest, since, settled) = (0, 0, 0, 0);
        Ok(Self { shape, log, logged: 0, owed: 0, seen, latest, since, settled })
    }

    /// Takes `cost` tokens, or none.
    ///
    /// # Errors
    ///
    /// If there are fewer: the time at which there would be as many if nobody took any.
    pub fn take(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        self.check(now, cost)?;
        self.spend(now, cost);
        Ok(())
    }

    /// Whether `cost` tokens could be taken.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn check(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        self.look(now);
        match self.ready_at(cost) {
            None => Err(Refusal::Never),
            // By the room, not the time: the last time that can be told does not tell.
            Some(_) if cost == 0 || self.missing(0, cost) == 0 => Ok(()),
            Some(at) => Err(Refusal::Until(at)),
        }
    }

    /// Takes `cost` tokens even if there are fewer: who comes next waits for them. The rest is taken as
    /// soon as it can be.
    pub fn spend(&mut self, now: u64, cost: u64) {
        self.look(now);
        self.owed = self.owed.saturating_add(u128::from(cost));
        self.fill(self.shape.slot_end(now));
    }

    /// Puts back what still counts of `cost` tokens that were taken at `taken_at`: all of them until a window
    /// after that, and none from then on. Of a debt, all but for a whole window for each that has passed.
    ///
    /// The window is never emptier than one in which they were not taken. They came no earlier than they
    /// were taken, and so it is the oldest since then that leave, and what is owed after them: if others are
    /// meant, those leave later. Without debts and with a clock that does not go back it is the very ones. (With
    /// debts and a change of the limit, two windows of which one owes less do not compare.)
    ///
    /// Nothing is given back of what was taken
    ///
    /// - before a change of the limit, if it did not count any more at that time; nor of what a debt then takes
    ///   longer than a window for;
    /// - before the clock was set back, by so much that the window knows; and for the rest it is as late as it
    ///   ever was;
    /// - later than now.
    pub fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.look(now);
        let mut left = self.counts(cost, taken_at);
        let came = self.shape.slot_end(taken_at);
        let first = self.log.partition_point(|entry| entry.at < came);
        while let Some(oldest) = self.log.get_mut(first).filter(|_| left > 0) {
            let part = oldest.count.min(left);
            oldest.count -= part;
            self.logged -= part;
            left -= part;
            if oldest.count == 0 {
                self.log.remove(first);
            }
        }
        self.owed -= u128::from(at_most(self.owed, left));
        self.fill(self.shape.slot_end(now));
    }

    /// How many of `cost` tokens that were taken then count for certain, or will once they come.
    fn counts(&self, cost: u64, taken_at: u64) -> u64 {
        if self.shape.length == 0 || !(self.since..=self.latest).contains(&taken_at) {
            return 0;
        }
        let came = Entry { at: self.shape.slot_end(taken_at), count: cost };
        if !self.shape.has_left(&came, self.latest) {
            return cost;
        }
        if taken_at < self.settled {
            return 0;
        }
        // No more than the limit leaves in a turn.
        let turns = (self.latest - came.at - self.shape.length) / self.shape.turn() + 1;
        cost.saturating_sub(self.shape.most.saturating_mul(turns))
    }

    /// How many tokens can be taken now.
    #[must_use]
    pub fn available(&mut self, now: u64) -> u64 {
        self.look(now);
        self.room()
    }

    /// How many tokens can ever be taken at once.
    #[must_use]
    pub fn possible(&self) -> u64 {
        self.shape.most
    }

    /// From when on `cost` tokens can be taken if nobody else takes any; none, if never.
    #[must_use]
    pub fn ready_at(&self, cost: u64) -> Option<u64> {
        if cost == 0 { Some(0) } else { self.ready_at_behind(0, cost) }
    }

    /// The same if `ahead` tokens are taken before, each as soon as it can be. Where several of them have
    /// to be taken at once, it may be later than this.
    #[must_use]
    pub fn ready_at_behind(&self, ahead: u128, cost: u64) -> Option<u64> {
        if cost > self.shape.most {
            return None;
        }
        match self.missing(ahead, cost) {
            0 => Some(0),
            missing => Some(self.leaves(missing)),
        }
    }

    /// When nothing counts any more.
    #[must_use]
    pub fn full_at(&self) -> u64 {
        match self.owed.saturating_add(u128::from(self.logged)) {
            0 => 0,
            all => self.leaves(all),
        }
    }

    /// Changes the limit. What was taken, and is known, goes on to count as long as the new length says.
    ///
    /// # Errors
    ///
    /// If the limit is not usable; then nothing has changed.
    pub fn change(&mut self, now: u64, limit: SlidingWindow) -> Result<(), ConfigError> {
        let shape = Shape::new(limit)?;
        self.look(now);
        self.since = self.since.max(self.shape.left_until(self.latest));
        self.settled = self.latest.saturating_add(1);
        self.shape = shape;
        self.logged = 0;
        let old = std::mem::replace(&mut self.log, VecDeque::with_capacity(shape.entries()));
        for Entry { at, count } in old {
            self.log(shape.slot_end(at), count);
        }
        self.look(now);
        self.fill(shape.slot_end(now));
        Ok(())
    }

    /// How many tokens have to leave the log before `cost` can be taken after `ahead`.
    fn missing(&self, ahead: u128, cost: u64) -> u128 {
        let before = self.owed.saturating_add(u128::from(self.logged)).saturating_add(ahead);
        before.saturating_add(u128::from(cost)).saturating_sub(u128::from(self.shape.most))
    }

    /// When the `nth` token leaves the log, counted from one: first those in it from the oldest on, then
    /// those that come into it as soon as they can.
    ///
    /// A token for which there is no room comes when one leaves: the one that came as many before it as
    /// there is room for. So the last that many come again and again, a turn later each time.
    fn leaves(&self, nth: u128) -> u64 {
        let most = u128::from(self.shape.most);
        let turns = nth.saturating_sub(u128::from(self.logged)).div_ceil(most);
        let came = match nth.checked_sub(turns.saturating_mul(most)) {
            Some(nth) if nth > 0 => self.came(nth).saturating_add(self.shape.time(turns)),
            // The first of them finds room now.
            _ => self.comes(self.seen).saturating_add(self.shape.time(turns.saturating_sub(1))),
        };
        at_most(came.saturating_add(u128::from(self.shape.length)), u64::MAX)
    }

    /// When the `nth` token of the log came.
    fn came(&self, nth: u128) -> u128 {
        let mut sum = 0;
        let entry = self.log.iter().find(|entry| {
            sum += u128::from(entry.count);
            sum >= nth
        });
        u128::from(entry.map_or(0, |entry| entry.at))
    }

    /// When a token that is taken then counts as taken: never before one that was taken earlier.
    fn comes(&self, now: u64) -> u128 {
        let last = self.log.back().map_or(0, |entry| entry.at);
        u128::from(self.shape.slot_end(now).max(last))
    }

    fn room(&self) -> u64 {
        self.shape.most.saturating_sub(self.logged)
    }

    /// Brings the log up to date.
    fn look(&mut self, now: u64) {
        self.seen = now;
        self.mind_steps_back(now);
        self.latest = self.latest.max(now);
        loop {
            self.skip_turns(now);
            let Some(oldest) = self.log.front().filter(|oldest| self.shape.has_left(oldest, now))
            else {
                return;
            };
            let comes = oldest.at.saturating_add(self.shape.turn());
            self.logged -= oldest.count;
            self.log.pop_front();
            self.fill(comes);
        }
    }

    /// Takes what is owed, as far as there is room.
    fn fill(&mut self, at: u64) {
        if self.shape.length == 0 {
            self.owed = 0;
            return;
        }
        let part = at_most(self.owed, self.room());
        self.owed -= u128::from(part);
        self.log(at, part);
    }

    fn log(&mut self, at: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.logged += count;
        match self.log.back_mut() {
            Some(last) if last.at >= at => last.count += count,
            _ => self.log.push_back(Entry { at, count }),
        }
    }

    /// The same as if what is in the log left, and as much of what is owed came for it, as often as it
    /// can: a debt of any size is brought up to date in one go.
    fn skip_turns(&mut self, now: u64) {
        let (most, turn) = (u128::from(self.shape.most), self.shape.turn());
        let since = self.log.back().map_or(0, |last| now.saturating_sub(last.at));
        if since < turn || self.owed < most || u128::from(self.logged) != most {
            return;
        }
        let turns = at_most(self.owed / most, since.checked_div(turn).unwrap_or(0));
        self.owed -= u128::from(turns) * most;
        self.log.iter_mut().for_each(|entry| entry.at += turns * turn);
    }

    /// Nothing came later than now, but for what came just before a clock that shows times in some other
    /// order.
    fn mind_steps_back(&mut self, now: u64) {
        // Two entries are further apart than what they stand for by up to a slot.
        let latest = self.shape.slot_end(now.saturating_add(self.shape.slot - 1));
        let ahead = self.log.back().map_or(0, |last| last.at.saturating_sub(latest));
        if ahead <= STEP_BACK {
            return;
        }
        self.log.iter_mut().for_each(|entry| entry.at = entry.at.saturating_sub(ahead));
        self.since = self.since.max(self.latest.saturating_add(1));
        // Those from before the origin.
        while let [Some(first), Some(second)] = [self.log.front(), self.log.get(1)] {
            if first.at < second.at {
                break;
            }
            let count = first.count;
            self.log.pop_front();
            self.log[0].count += count;
        }
    }
}

impl Shape {
    fn new(limit: SlidingWindow) -> Result<Self, ConfigError> {
        let rate = limit.rate();
        if rate.is_unlimited() {
            return Ok(Self { most: u64::MAX, length: 0, slot: 1 });
        }
        if rate.count() == 0 {
            return Err(ConfigError::ZeroBurst);
        }
        if rate.period().is_zero() {
            return Err(ConfigError::ZeroPeriod);
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).ok();
        let length = nanos(rate.period()).filter(|&length| u128::from(length) < LONGEST);
        let length = length.ok_or(ConfigError::PeriodTooLong)?;
        let slot = match limit.slot() {
            Some(slot) => nanos(slot).filter(|slot| (1..=length).contains(slot)),
            None if rate.count() <= DEFAULT_ENTRIES => Some(1),
            None => Some(length.div_ceil(DEFAULT_ENTRIES)),
        };
        let shape = Self { most: rate.count(), length, slot: slot.ok_or(ConfigError::Resolution)? };
        if shape.entries() > MAX_ENTRIES {
            return Err(ConfigError::Resolution);
        }
        Ok(shape)
    }

    /// How long the log gets: the slots that a window reaches into, and each with a token at least.
    fn entries(&self) -> usize {
        let entries = self.most.min(self.length / self.slot + 2);
        usize::try_from(entries).unwrap_or(usize::MAX)
    }

    /// The last nanosecond of a slot.
    fn slot_end(&self, now: u64) -> u64 {
        (now - now % self.slot).saturating_add(self.slot - 1)
    }

    /// The time until there is room again, in whole slots.
    fn turn(&self) -> u64 {
        self.length.div_ceil(self.slot) * self.slot
    }

    fn time(&self, turns: u128) -> u128 {
        turns.saturating_mul(u128::from(self.turn()))
    }

    /// The first time of what has not left.
    fn left_until(&self, now: u64) -> u64 {
        let left = now.checked_sub(self.length).map_or(0, |left| left.saturating_add(1));
        left - left % self.slot
    }

    fn has_left(&self, entry: &Entry, now: u64) -> bool {
        entry.at.checked_add(self.length).is_some_and(|at| at <= now)
    }
}

fn at_most(count: u128, most: u64) -> u64 {
    u64::try_from(count).map_or(most, |count| count.min(most))
}

#[cfg(all(test, not(tidegate_loom)))]
#[path = "window_tests.rs"]
mod tests;
