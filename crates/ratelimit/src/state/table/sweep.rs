//! Taking out what is of no use.

use super::{APART, Apart, Held, Swept, Table, slot};
use crate::state::Gcra;

/// How many cells are looked at for each that is added: with two, about half of a table is of no use.
const SWEPT_PER_NEW: usize = 2;

/// When it is looked again whether the owner of a cell lets go of it.
const OWNED: u64 = 10_000_000;

/// A look at all cells, one after the other: while nothing but taking happens, those that owe something do
/// so until the first of them is full, and it need not be looked again before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    seen: usize,
    next: u64,
    /// Until then no cell is full.
    busy_until: u64,
}

impl Round {
    pub(super) fn new() -> Self {
        Self { seen: 0, next: u64::MAX, busy_until: 0 }
    }

    fn see(&mut self, next: u64, len: usize) {
        (self.seen, self.next) = (self.seen + 1, self.next.min(next));
        if self.seen >= len {
            *self = Self { busy_until: self.next, ..Self::new() };
        }
    }
}

impl<K, O> Table<K, O> {
    /// When the first cell is full, if it is known that none is now.
    pub(crate) fn busy_until(&self, now: u64) -> Option<u64> {
        Some(self.round.busy_until).filter(|until| now < *until)
    }

    /// Looks at some of the cells, in turn, and takes out those that have been full for `kept`. Who owns one
    /// may give it back by `released`.
    pub(crate) fn sweep<R>(
        &mut self,
        now: u64,
        cells: usize,
        kept: u64,
        release: &mut impl FnMut(O) -> Result<(Gcra, R), O>,
    ) -> Swept<K, R> {
        let mut swept = Swept::new();
        if cells >= self.len() {
            // Otherwise those that move up into places before it would be looked at twice, and others not.
            self.hand = 0;
        }
        for _ in 0..cells.min(self.len()) {
            if self.hand >= self.len() {
                self.hand = 0;
            }
            let at = self.hand;
            if self.entries[at].word & APART != 0 {
                swept.released.extend(self.release(at, now, release));
            }
            match self.full_at(at) {
                Some(full) if full.saturating_add(kept) <= now => {
                    self.forgotten = self.forgotten.max(full);
                    let key = self.remove(at);
                    if std::mem::needs_drop::<K>() {
                        swept.keys.push(key);
                    }
                    swept.evicted += 1;
                }
                full => {
                    let next = full.unwrap_or_else(|| self.next_of_none(at, now));
                    self.round.see(next, self.len());
                    swept.next = [swept.next, full].into_iter().flatten().min();
                    self.hand += 1;
                }
            }
        }
        self.evicted += swept.evicted as u64;
        swept
    }

    /// As many as are looked at when one is added.
    pub(crate) fn sweep_for_new<R>(
        &mut self,
        now: u64,
        kept: u64,
        release: &mut impl FnMut(O) -> Result<(Gcra, R), O>,
    ) -> Swept<K, R> {
        self.sweep(now, SWEPT_PER_NEW, kept, release)
    }

    /// Takes a cell back from its owner, if it has one that lets go of it; returns what is left of that.
    pub(crate) fn release<R>(
        &mut self,
        at: usize,
        now: u64,
        release: &mut impl FnMut(O) -> Result<(Gcra, R), O>,
    ) -> Option<R> {
        let word = self.entries[at].word;
        if word & APART == 0 || !matches!(self.apart[slot(word)], Apart::Owned { .. }) {
            return None;
        }
        let Apart::Owned { plan, owner } = self.take_apart(word) else { return None };
        self.entries[at].word = 0;
        match release(owner) {
            Ok((cell, rest)) => {
                self.round = Round::new();
                self.set(at, now, plan, cell);
                Some(rest)
            }
            Err(owner) => {
                self.set_owner(at, plan, owner);
                None
            }
        }
    }

    /// When to look again at an entry that is not known to be full at any time.
    fn next_of_none(&self, at: usize, now: u64) -> u64 {
        match self.held(at) {
            Held::Owned(..) => now.saturating_add(OWNED),
            Held::Here(..) => u64::MAX,
        }
    }

    /// When an entry is full; none, if never or if that is not known.
    fn full_at(&self, at: usize) -> Option<u64> {
        let (word, shelf) = (self.entries[at].word, self.shelf(at));
        if word & APART == 0 && shelf.tick > 0 {
            // Most rates have units of a nanosecond, and a branch that is foreseen takes no time.
            let since = if shelf.tick == 1 { word } else { word.div_ceil(shelf.tick) };
            return Some(self.base.saturating_add(since));
        }
        match self.held(at) {
            Held::Here(_, cell) => cell.full_at(),
            Held::Owned(..) => None,
        }
    }
}
