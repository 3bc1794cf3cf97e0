//! Quotas that the cells of a table are kept in.

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Shelf {
    pub(super) plan: Plan,
    /// The scale once more, in the numbers of the plain case.
    pub(super) tick: u64,
    pub(super) token: u64,
    /// None that fits, if it is more than half of a word.
    pub(super) burst: u64,
    /// How far ahead of the time any of its cells may be.
    pub(super) horizon: u128,
    pub(super) cells: usize,
}

impl Shelf {
    pub(super) fn new(plan: Plan) -> Self {
        let Scale { tick, token, burst } = plan.scale;
        let narrow = u64::try_from(burst).unwrap_or(u64::MAX);
        Self { plan, tick, token, burst: narrow, horizon: burst, cells: 0 }
    }

    /// Whether a word lasts for seconds, so that it is worth it to start from a later time.
    pub(super) fn lasts(&self) -> bool {
        self.horizon.saturating_add(self.plan.scale.time(4_000_000_000)) < 1 << 63
    }
}

/// The plans of a table. The first is for all keys that have none of their own.
#[derive(Debug)]
pub(super) struct Plans(pub(super) Vec<Shelf>);

impl Plans {
    pub(super) fn new(plan: Plan) -> Self {
        Self(vec![Shelf::new(plan)])
    }

    /// The place of a plan, old or new; none, if all are in use.
    pub(super) fn place(&mut self, plan: &Plan) -> Option<u8> {
        let shelves = &mut self.0;
        let found = shelves.iter().position(|shelf| shelf.plan.quota == plan.quota);
        let place = found.or_else(|| {
            let free = shelves.iter().skip(1).position(|shelf| shelf.cells == 0).map(|at| at + 1);
            if let Some(free) = free {
                shelves[free] = Shelf::new(*plan);
            } else if shelves.len() < MOST_PLANS {
                shelves.push(Shelf::new(*plan));
            } else {
                return None;
            }
            Some(free.unwrap_or(shelves.len() - 1))
        })?;
        u8::try_from(place).ok()
    }
}
