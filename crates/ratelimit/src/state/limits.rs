//! One limit or several, which all have to agree.

use super::{Gcra, Refusal};

/// What a limiter keeps to.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The one that `set_rate` changes comes first.
    cells: Vec<Gcra>,
    may_owe: bool,
}

impl Limits {
    pub(crate) fn new(cells: Vec<Gcra>, may_owe: bool) -> Self {
        Self { cells, may_owe }
    }

    /// Takes `cost` from each limit, or from none.
    pub(crate) fn take(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        let may_owe = self.may_owe;
        let checked = self.cells.iter_mut().map(|cell| cell.check(now, asked(cell, cost, may_owe)));
        if let Some(refusal) = checked.filter_map(Result::err).reduce(Refusal::and) {
            return Err(refusal);
        }
        self.cells.iter_mut().for_each(|cell| cell.spend(now, cost));
        Ok(())
    }

    /// From when on all limits let `cost` pass, after `ahead` has passed.
    pub(crate) fn ready_at(&self, ahead: u128, cost: u64) -> Option<u64> {
        let ready = |cell: &Gcra| cell.ready_at_behind(ahead, asked(cell, cost, self.may_owe));
        self.cells.iter().try_fold(0, |latest, cell| Some(latest.max(ready(cell)?)))
    }

    pub(crate) fn give_back(&mut self, now: u64, cost: u64) {
        self.cells.iter_mut().for_each(|cell| cell.give_back(now, cost));
    }

    pub(crate) fn available(&self, now: u64) -> u64 {
        self.cells.iter().map(|cell| cell.available(now)).min().unwrap_or(u64::MAX)
    }

    /// How much can ever pass at once.
    pub(crate) fn possible(&self, now: u64) -> u64 {
        self.cells.iter().map(|cell| cell.possible(now)).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn full_at(&self) -> Option<u64> {
        self.cells.iter().try_fold(0, |latest, cell| Some(latest.max(cell.full_at()?)))
    }

    pub(crate) fn first(&mut self) -> &mut Gcra {
        &mut self.cells[0]
    }

    pub(crate) fn is_one(&self) -> bool {
        self.cells.len() == 1
    }
}

/// What has to be there: who may owe needs a full cell at most.
fn asked(cell: &Gcra, cost: u64, may_owe: bool) -> u64 {
    if may_owe { cost.min(cell.scale().most()) } else { cost }
}
