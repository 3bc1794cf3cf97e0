//! One limit or several, which all have to agree.

use super::{Gcra, Refusal, Scale, Window};
use crate::{ConfigError, Limit};

/// What a limiter keeps to.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The one that can be changed comes first.
    cells: Vec<Cell>,
    may_owe: bool,
}

/// What is kept of a limit.
#[derive(Debug)]
enum Cell {
    Quota(Gcra),
    Window(Window),
}

impl Limits {
    /// # Errors
    ///
    /// If one of the limits is not usable.
    pub(crate) fn new(
        limits: impl IntoIterator<Item = Limit>,
        may_owe: bool,
    ) -> Result<Self, ConfigError> {
        let cells = limits.into_iter().map(Cell::new).collect::<Result<_, _>>()?;
        Ok(Self { cells, may_owe })
    }

    /// Takes `cost` from each limit, or from none.
    pub(crate) fn take(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        let may_owe = self.may_owe;
        let checked = self.cells.iter_mut().map(|cell| cell.check(now, cell.asked(cost, may_owe)));
        if let Some(refusal) = checked.filter_map(Result::err).reduce(Refusal::and) {
            return Err(refusal);
        }
        self.cells.iter_mut().for_each(|cell| cell.spend(now, cost));
        Ok(())
    }

    /// From when on all limits let `cost` pass, after `ahead` has passed: not before this, and then if
    /// there is nothing ahead or only one limit, a quota.
    pub(crate) fn ready_at(&self, ahead: u128, cost: u64) -> Option<u64> {
        let ready = |cell: &Cell| cell.ready_at_behind(ahead, cell.asked(cost, self.may_owe));
        self.cells.iter().try_fold(0, |latest, cell| Some(latest.max(ready(cell)?)))
    }

    /// Gives back what each of them still misses of what was taken then.
    pub(crate) fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.cells.iter_mut().for_each(|cell| cell.give_back(now, cost, taken_at));
    }

    pub(crate) fn available(&mut self, now: u64) -> u64 {
        self.cells.iter_mut().map(|cell| cell.available(now)).min().unwrap_or(u64::MAX)
    }

    /// How much can ever pass at once.
    pub(crate) fn possible(&self, now: u64) -> u64 {
        self.cells.iter().map(|cell| cell.possible(now)).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn full_at(&self) -> Option<u64> {
        self.cells.iter().try_fold(0, |latest, cell| Some(latest.max(cell.full_at()?)))
    }

    /// Changes the first of the limits.
    ///
    /// # Errors
    ///
    /// If it is not usable; then nothing has changed.
    pub(crate) fn change_first(&mut self, now: u64, limit: Limit) -> Result<(), ConfigError> {
        self.cells[0].change(now, limit)
    }

    /// The only one, if that is all there is, and it is a quota.
    pub(crate) fn only_quota(&mut self) -> Option<&mut Gcra> {
        match &mut self.cells[..] {
            [Cell::Quota(cell)] => Some(cell),
            _ => None,
        }
    }
}

impl Cell {
    fn new(limit: Limit) -> Result<Self, ConfigError> {
        Ok(match limit {
            Limit::Quota(quota) => Self::Quota(Gcra::new(quota)?),
            Limit::Window(window) => Self::Window(Window::new(window)?),
        })
    }

    /// What has to be there: who may owe needs a full cell at most.
    fn asked(&self, cost: u64, may_owe: bool) -> u64 {
        let most = match self {
            Self::Quota(cell) => cell.scale().most(),
            Self::Window(window) => window.possible(),
        };
        if may_owe { cost.min(most) } else { cost }
    }

    fn check(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        match self {
            Self::Quota(cell) => cell.check(now, cost),
            Self::Window(window) => window.check(now, cost),
        }
    }

    fn spend(&mut self, now: u64, cost: u64) {
        match self {
            Self::Quota(cell) => cell.spend(now, cost),
            Self::Window(window) => window.spend(now, cost),
        }
    }

    fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        match self {
            Self::Quota(cell) => cell.give_back(now, cost, taken_at),
            Self::Window(window) => window.give_back(now, cost, taken_at),
        }
    }

    fn ready_at_behind(&self, ahead: u128, cost: u64) -> Option<u64> {
        match self {
            Self::Quota(cell) => cell.ready_at_behind(ahead, cost),
            Self::Window(window) => window.ready_at_behind(ahead, cost),
        }
    }

    fn available(&mut self, now: u64) -> u64 {
        match self {
            Self::Quota(cell) => cell.available(now),
            Self::Window(window) => window.available(now),
        }
    }

    fn possible(&self, now: u64) -> u64 {
        match self {
            Self::Quota(cell) => cell.possible(now),
            Self::Window(window) => window.possible(),
        }
    }

    fn full_at(&self) -> Option<u64> {
        match self {
            Self::Quota(cell) => cell.full_at(),
            Self::Window(window) => Some(window.full_at()),
        }
    }

    fn change(&mut self, now: u64, limit: Limit) -> Result<(), ConfigError> {
        match (self, limit) {
            (Self::Quota(cell), Limit::Quota(quota)) => {
                cell.change(now, Scale::new(quota)?);
                Ok(())
            }
            (Self::Window(window), Limit::Window(limit)) => window.change(now, limit),
            (cell, limit) => {
                *cell = Self::new(limit)?;
                Ok(())
            }
        }
    }
}

#[cfg(all(test, not(any(miri, tidegate_loom))))]
#[path = "limits_tests.rs"]
mod tests;
