//! Quotas that the cells of a table are kept in.

use super::APART;
use crate::{ConfigError, Quota, state::Scale};

/// How many quotas a table keeps cells in. What is beyond gets cells that bring their own.
pub(super) const MOST_PLANS: usize = 64;

/// A quota with its scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) quota: Quota,
    pub(crate) scale: Scale,
}

impl Plan {
    pub(crate) fn new(quota: Quota) -> Result<Self, ConfigError> {
        Scale::new(quota).map(|scale| Self { quota, scale })
    }
}

/// A plan, and what is known of the cells that are in it.
///
/// The numbers of the plain case come first, and are on the cache lines that a look-up reads anyway.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Shelf {
    /// The scale once more, in the numbers of the plain case.
    pub(super) tick: u64,
    pub(super) token: u64,
    /// None that fits, if it is more than half of a word.
    pub(super) burst: u64,
    pub(super) cells: usize,
    pub(super) plan: Plan,
    /// How far ahead of the time any of its cells may be.
    pub(super) horizon: u128,
}

impl Shelf {
    pub(super) fn new(plan: Plan) -> Self {
        let Scale { tick, token, burst } = plan.scale;
        let narrow = u64::try_from(burst).unwrap_or(u64::MAX);
        Self { plan, tick, token, burst: narrow, horizon: burst, cells: 0 }
    }

    /// The next word of a cell from which `cost` is taken, in the plain case that there is enough, and all
    /// numbers fit.
    #[inline]
    pub(super) fn take(&self, base: u64, word: u64, now: u64, cost: u64) -> Option<u64> {
        let time = now.checked_sub(base)?.checked_mul(self.tick)?;
        let next = word.max(time).checked_add(cost.checked_mul(self.token)?)?;
        (next <= time.checked_add(self.burst)? && next & APART == 0).then_some(next)
    }

    /// Whether a word lasts for seconds, so that it is worth it to start from a later time.
    pub(super) fn lasts(&self) -> bool {
        self.horizon.saturating_add(self.plan.scale.time(4_000_000_000)) < 1 << 63
    }
}

/// The plans of a table. The first is for all keys that have none of their own.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Plans {
    pub(super) first: Shelf,
    pub(super) others: Vec<Shelf>,
}

impl Plans {
    pub(super) fn new(plan: Plan) -> Self {
        Self { first: Shelf::new(plan), others: Vec::new() }
    }

    /// The one at a place.
    #[inline]
    pub(super) fn get(&self, place: usize) -> &Shelf {
        match place.checked_sub(1) {
            None => &self.first,
            Some(other) => &self.others[other],
        }
    }

    pub(super) fn get_mut(&mut self, place: usize) -> &mut Shelf {
        match place.checked_sub(1) {
            None => &mut self.first,
            Some(other) => &mut self.others[other],
        }
    }

    /// The place of a plan, old or new; none, if all are in use.
    pub(super) fn place(&mut self, plan: &Plan) -> Option<u8> {
        if self.first.plan.quota == plan.quota {
            return Some(0);
        }
        let shelves = &mut self.others;
        let found = shelves.iter().position(|shelf| shelf.plan.quota == plan.quota);
        let other = found.or_else(|| {
            let free = shelves.iter().position(|shelf| shelf.cells == 0);
            if let Some(free) = free {
                shelves[free] = Shelf::new(*plan);
            } else if shelves.len() + 1 < MOST_PLANS {
                shelves.push(Shelf::new(*plan));
            } else {
                return None;
            }
            Some(free.unwrap_or(shelves.len() - 1))
        })?;
        u8::try_from(other + 1).ok()
    }
}
