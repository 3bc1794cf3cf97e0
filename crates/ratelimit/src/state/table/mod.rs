//! The cells of many keys, in little memory.

mod asked;
mod index;
mod plan;
mod sweep;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;

pub(crate) use self::{
    asked::{Asked, Held, Left, Swept},
    plan::Plan,
};

use self::{
    index::Index,
    plan::{Plans, Shelf},
    sweep::Round,
};
use super::Gcra;
use crate::Quota;
use slab::Slab;

/// In a word: the cell is kept apart, under the number in the other bits.
const APART: u64 = 1 << 63;

/// See [`Gcra`].
const STEP_BACK: u64 = 1_000_000_000;

/// The cells of keys, each of which goes by a plan. A key that is not in it has a full cell.
///
/// A cell is one word, its arrival time in units since `base`. What does not fit is kept apart, and so is
/// what is looked after by somebody else, an `O`, for a time: who waits in line at a key, say. Units are
/// those of [`Scale`](super::Scale), so that nothing here is rounded. In time words grow too large; then
/// all of them are told from a later base. Entries and tags are in vectors that grow by a twelfth: a key of
/// 8 bytes takes 21 to 24 with its place.
///
/// # What a look-up reads
///
/// With many keys it is cache lines that a look-up takes its time for, and branches that nobody foresees. It
/// reads two lines of the table itself, where the fields are in the order in which it needs them, a bucket of
/// the index, and the entry. Of 100 000 keys, 3 reads miss the first cache, and one look-up in eleven has a
/// branch foreseen wrongly (callgrind). With keys, words and tags in vectors of their own, and tags compared one
/// by one, it was 9 reads, and nine in ten.
///
/// # What is forgotten
///
/// A cell that is full is no different from one that is not there, so that it may be taken out: some are
/// looked at whenever one is added. If the clock then goes back to a time when it was not full yet, there
/// is nothing to tell; so all keys that are new to the table are, until the clock is past `forgotten`
/// again, what those that are gone can have been at worst: empty when it was set back.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Table<K, O> {
    /// The latest time that anybody has come with.
    latest: u64,
    index: Index,
    entries: Vec<Entry<K>>,
    base: u64,
    plans: Plans,
    /// Which plan a cell goes by; empty, as long as all go by the first.
    places: Vec<u8>,
    /// Those of the entries.
    tags: Vec<u16>,
    apart: Slab<Apart<O>>,
    /// The time that the clock was last set back to.
    set_back: u64,
    hand: usize,
    round: Round,
    forgotten: u64,
    /// What was taken before is not given back: see [`give_back`](Self::give_back).
    since: u64,
    evicted: u64,
}

/// A key, and the word of its cell.
#[derive(Debug)]
struct Entry<K> {
    key: K,
    word: u64,
}

/// What is not kept in a word.
#[derive(Debug)]
enum Apart<O> {
    Cell { plan: Plan, cell: Gcra },
    Owned { plan: Plan, owner: O },
}

impl<K, O> Table<K, O> {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            latest: 0,
            index: Index::default(),
            entries: Vec::new(),
            base: 0,
            plans: Plans::new(plan),
            places: Vec::new(),
            tags: Vec::new(),
            apart: Slab::new(),
            set_back: 0,
            hand: 0,
            round: Round::new(),
            forgotten: 0,
            since: 0,
            evicted: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= index::MOST
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What time it is, as far as the table knows. Of threads that ask at once, one may come with a time that
    /// is past already: what another one has taken meanwhile had come back by then, and so the later time is
    /// that of both. A clock that was set back by more than a second is believed if it says so `again`: a thread
    /// may have been held up for that long between its look at the clock and this.
    #[inline]
    pub(crate) fn time(&mut self, mut now: u64, again: impl FnOnce() -> u64) -> u64 {
        if self.latest.saturating_sub(now) > STEP_BACK {
            now = again();
        }
        if now >= self.latest {
            self.latest = now;
        } else if self.latest - now > STEP_BACK {
            self.give_back_from_now_on();
            (self.latest, self.set_back) = (now, now);
        }
        self.latest
    }

    /// The plan of all keys that have none of their own.
    pub(crate) fn plan(&self) -> Plan {
        self.plans.first.plan
    }

    /// All that is allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>()
            + self.tags.capacity() * size_of::<u16>()
            + self.places.capacity()
            + self.plans.others.capacity() * size_of::<Shelf>()
            + self.apart.capacity() * (size_of::<Apart<O>>() + size_of::<usize>())
            + self.index.bytes()
    }

    /// The entry of a key.
    #[inline]
    pub(crate) fn find(&self, tag: u16, key: &K) -> Option<usize>
    where
        K: Eq,
    {
        self.index.find(tag, |at| self.entries.get(at).is_some_and(|entry| entry.key == *key))
    }

    /// Takes `cost` from the cell of an entry, if it goes by that plan.
    #[inline]
    pub(crate) fn take(&mut self, at: usize, now: u64, cost: u64, quota: Option<Quota>) -> Asked {
        if self.take_plainly(at, now, cost, quota.as_ref()) {
            return Asked::Passes;
        }
        self.take_slowly(at, now, cost, quota)
    }

    /// The same in the plain case that it passes; false in all others, and then nothing is taken.
    #[inline]
    pub(crate) fn take_plainly(
        &mut self,
        at: usize,
        now: u64,
        cost: u64,
        quota: Option<&Quota>,
    ) -> bool {
        let (word, shelf) = (self.entries[at].word, self.shelf(at));
        if word & APART != 0 || quota.is_some_and(|quota| *quota != shelf.plan.quota) {
            return false;
        }
        let next = shelf.take(self.base, word, now, cost);
        next.inspect(|next| self.entries[at].word = *next).is_some()
    }

    #[cold]
    fn take_slowly(&mut self, at: usize, now: u64, cost: u64, quota: Option<Quota>) -> Asked {
        let (kept, mut cell) = match self.held(at) {
            Held::Owned(..) => return Asked::Owned,
            Held::Here(kept, cell) => (kept, cell),
        };
        let before = cell;
        if quota.is_some_and(|quota| quota != kept.quota) {
            return Asked::OtherPlan;
        }
        let asked = match cell.take(now, cost) {
            Ok(()) => Asked::Passes,
            Err(refusal) => Asked::refused(refusal, &cell, now),
        };
        if cell != before {
            self.set(at, now, kept, cell);
        }
        asked
    }

    /// Takes `cost` from a cell that is not in the table, without putting it there.
    pub(crate) fn take_new(&self, now: u64, cost: u64, plan: &Plan) -> Asked {
        let mut cell = self.fresh(now, plan);
        match cell.take(now, cost) {
            Ok(()) if cell.tat() <= plan.scale.time(now) => Asked::Passes,
            Ok(()) => Asked::New,
            Err(refusal) => Asked::refused(refusal, &cell, now),
        }
    }

    /// The cell of a key that is not in the table.
    pub(crate) fn fresh(&self, now: u64, plan: &Plan) -> Gcra {
        let mut cell = Gcra::with_scale(plan.scale);
        if now < self.forgotten {
            let scale = &plan.scale;
            let most = scale.time(self.set_back).saturating_add(scale.burst);
            cell.set_tat(scale.time(self.forgotten).min(most));
        }
        cell
    }

    /// Adds a key, and takes `cost` from its cell, which is as [`fresh`](Self::fresh) makes it.
    pub(crate) fn add(&mut self, tag: u16, key: K, now: u64, plan: Plan, cost: u64) -> Asked {
        debug_assert!(!self.is_full(), "more keys than an index has places for");
        let at = self.len();
        let mut cell = self.fresh(now, &plan);
        let asked = match cell.take(now, cost) {
            Ok(()) => Asked::Passes,
            Err(refusal) => Asked::refused(refusal, &cell, now),
        };
        grow(&mut self.entries, Entry { key, word: 0 });
        grow(&mut self.tags, tag);
        if !self.places.is_empty() {
            grow(&mut self.places, 0);
        }
        self.round = Round::new();
        self.plans.first.cells += 1;
        self.index.add_last(&self.tags);
        self.set(at, now, plan, cell);
        asked
    }

    /// What is kept of an entry.
    pub(crate) fn held(&self, at: usize) -> Held<'_, O> {
        let word = self.entries[at].word;
        if word & APART == 0 {
            let shelf = self.shelf(at);
            let scale = shelf.plan.scale;
            let tat = scale.time(self.base) + u128::from(word);
            let cell = Gcra::restored(scale, tat, shelf.horizon, self.latest, self.since);
            return Held::Here(shelf.plan, cell);
        }
        match &self.apart[slot(word)] {
            Apart::Cell { plan, cell } => {
                let (tat, horizon, since) = (cell.tat(), cell.horizon(), cell.since());
                let since = since.max(self.since);
                Held::Here(*plan, Gcra::restored(*cell.scale(), tat, horizon, self.latest, since))
            }
            Apart::Owned { plan, owner } => Held::Owned(*plan, owner),
        }
    }

    /// Keeps a cell in the place of what was kept of an entry before.
    pub(crate) fn set(&mut self, at: usize, now: u64, plan: Plan, cell: Gcra) {
        self.since = self.since.max(cell.since());
        match self.word(at, now, &plan, &cell) {
            Some(word) => {
                let before = std::mem::replace(&mut self.entries[at].word, word);
                self.discard(before);
            }
            None => self.set_apart(at, Apart::Cell { plan, cell }),
        }
    }

    /// Leaves a cell to somebody.
    pub(crate) fn set_owner(&mut self, at: usize, plan: Plan, owner: O) {
        self.set_apart(at, Apart::Owned { plan, owner });
    }

    /// Gives back to a cell that nobody owns what it still misses of `cost` tokens that were taken then; says
    /// whether nobody does.
    ///
    /// Cells remember little: what makes that nothing for one of them, for a time, does so for all in the
    /// table.
    pub(crate) fn give_back(&mut self, at: usize, now: u64, cost: u64, taken_at: u64) -> bool {
        let Held::Here(plan, mut cell) = self.held(at) else { return false };
        cell.give_back(now, cost, taken_at);
        self.round = Round::new();
        self.set(at, now, plan, cell);
        true
    }

    /// Has a cell go by another plan. What was taken stays taken, in tokens. An owner is to be told.
    pub(crate) fn convert(&mut self, at: usize, now: u64, plan: Plan) {
        self.round = Round::new();
        if self.held(at).plan().scale.is_slower_than(&plan.scale) {
            // Once it is full it may be forgotten, and then be asked for at the old rate again.
            self.give_back_from_now_on();
        }
        if let Held::Here(_, mut cell) = self.held(at) {
            cell.change(now, plan.scale);
            self.set(at, now, plan, cell);
        } else if let Apart::Owned { plan: kept, .. } = &mut self.apart[slot(self.entries[at].word)]
        {
            *kept = plan;
        }
    }

    /// Whatever was taken until now is not given back any more.
    pub(crate) fn give_back_from_now_on(&mut self) {
        self.since = self.since.max(self.latest.saturating_add(1));
    }

    /// Takes an entry that nobody owns out, whether it is full or not.
    pub(crate) fn remove(&mut self, at: usize) -> K {
        self.discard(self.entries[at].word);
        self.round = Round::new();
        self.index.swap_remove(&self.tags, at);
        if let Some(place) = self.places.get(at) {
            self.plans.get_mut(usize::from(*place)).cells -= 1;
            self.places.swap_remove(at);
        } else {
            self.plans.first.cells -= 1;
        }
        self.tags.swap_remove(at);
        let Entry { key, .. } = self.entries.swap_remove(at);
        self.shrink();
        key
    }

    /// Makes another plan that of all keys that have none of their own, and calls `other` for those that
    /// somebody owns. What was taken stays taken, in tokens.
    pub(crate) fn change(&mut self, now: u64, plan: Plan, mut other: impl FnMut(&O)) {
        let before = self.plan();
        self.round = Round::new();
        // Those that are not there are full, and come back with the new one.
        self.since = self.since.max(before.scale.given_back_since(&plan.scale, self.latest));
        // While some words are in the old units and others in the new ones, the base has to stay.
        if now > self.base {
            self.rebase(now);
        }
        // Cells that are in the new plan for reasons of their own stay where they are.
        let first = Shelf { cells: self.plans.first.cells, ..Shelf::new(plan) };
        let old = std::mem::replace(&mut self.plans.first, first);
        for at in 0..self.len() {
            let word = self.entries[at].word;
            let is_first = self.places.get(at).is_none_or(|place| *place == 0);
            if word & APART == 0 {
                if is_first {
                    let scale = before.scale;
                    let tat = scale.time(self.base) + u128::from(word);
                    let (latest, since) = (self.latest, self.since);
                    let mut cell = Gcra::restored(scale, tat, old.horizon, latest, since);
                    cell.change(now, plan.scale);
                    self.set(at, now, plan, cell);
                }
                continue;
            }
            match &mut self.apart[slot(word)] {
                Apart::Cell { plan: kept, cell } if kept.quota == before.quota => {
                    cell.change(now, plan.scale);
                    *kept = plan;
                    let cell = *cell;
                    self.set(at, now, plan, cell);
                }
                Apart::Owned { plan: kept, owner } if kept.quota == before.quota => {
                    *kept = plan;
                    other(owner);
                }
                _ => {}
            }
        }
    }

    /// What stands for a cell in a word; none, if nothing does.
    fn word(&mut self, at: usize, now: u64, plan: &Plan, cell: &Gcra) -> Option<u64> {
        let place = self.plans.place(plan)?;
        let is_behind = now.saturating_sub(self.base) >= STEP_BACK;
        let mut word = self.relative(now, plan, cell);
        if word.is_none() && is_behind && self.plans.get(usize::from(place)).lasts() {
            self.rebase(now);
            word = self.relative(now, plan, cell);
        }
        let word = word?;
        self.assign(at, place);
        let shelf = self.plans.get_mut(usize::from(place));
        shelf.horizon = shelf.horizon.max(cell.horizon());
        Some(word)
    }

    fn relative(&self, now: u64, plan: &Plan, cell: &Gcra) -> Option<u64> {
        let base = plan.scale.time(self.base);
        let since = match cell.tat().checked_sub(base) {
            // It was full before the base, and so it was at the base.
            None if now >= self.base => 0,
            None => return None,
            Some(since) => since,
        };
        u64::try_from(since).ok().filter(|word| word & APART == 0)
    }

    #[inline]
    fn place(&self, at: usize) -> usize {
        self.places.get(at).map_or(0, |place| usize::from(*place))
    }

    #[inline]
    fn shelf(&self, at: usize) -> &Shelf {
        // If all go by the first, `places` need not be looked at, which is further away.
        let Plans { first, .. } = &self.plans;
        if first.cells == self.len() { first } else { self.plans.get(self.place(at)) }
    }

    fn assign(&mut self, at: usize, place: u8) {
        let before = self.place(at);
        if before == usize::from(place) {
            return;
        }
        if self.places.is_empty() {
            self.places.reserve_exact(self.entries.capacity());
            self.places.resize(self.entries.len(), 0);
        }
        self.places[at] = place;
        self.plans.get_mut(before).cells -= 1;
        self.plans.get_mut(usize::from(place)).cells += 1;
    }

    /// Tells all words from a later base. Cells that were full before it are full at it.
    fn rebase(&mut self, now: u64) {
        let by = now - self.base;
        let words = self.entries.iter_mut().map(|entry| &mut entry.word);
        for (at, word) in words.enumerate().filter(|(_, word)| **word & APART == 0) {
            let place = self.places.get(at).map_or(0, |place| usize::from(*place));
            let by = u64::try_from(self.plans.get(place).plan.scale.time(by)).unwrap_or(u64::MAX);
            *word = word.saturating_sub(by);
        }
        self.base = now;
    }

    fn set_apart(&mut self, at: usize, apart: Apart<O>) {
        let word = self.entries[at].word;
        if word & APART == 0 {
            self.entries[at].word = APART | self.apart.insert(apart) as u64;
        } else {
            self.apart[slot(word)] = apart;
        }
    }

    /// Forgets what a word stood for. Whoever owned the cell has been asked before: no owner is dropped
    /// here.
    fn discard(&mut self, word: u64) {
        if word & APART != 0 {
            let apart = self.take_apart(word);
            debug_assert!(matches!(apart, Apart::Cell { .. }), "an owner is asked first");
        }
    }

    fn take_apart(&mut self, word: u64) -> Apart<O> {
        let apart = self.apart.remove(slot(word));
        if self.apart.is_empty() {
            self.apart = Slab::new();
        }
        apart
    }

    /// Gives memory back, once half of it is of no use.
    fn shrink(&mut self) {
        let len = self.len();
        if self.entries.capacity() > 16 && len * 2 < self.entries.capacity() {
            let enough = len + len / 12;
            self.entries.shrink_to(enough);
            self.tags.shrink_to(enough);
            self.places.shrink_to(enough);
        }
        if self.index.is_too_large(len) {
            self.index.resize(&self.tags);
        }
    }
}

fn slot(word: u64) -> usize {
    usize::try_from(word & !APART).expect("it was one when it was put there")
}

/// By a twelfth, rather than twice as much.
fn grow<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact((items.len() / 12).max(4));
    }
    items.push(item);
}
