//! What a table of cells is asked, and says.

use super::Plan;
use crate::state::{Gcra, Refusal};

/// Where the cell of a key is.
#[derive(Debug)]
pub(crate) enum Held<'a, O> {
    Here(Plan, Gcra),
    Owned(Plan, &'a O),
}

impl<O> Held<'_, O> {
    pub(crate) fn plan(&self) -> Plan {
        match *self {
            Self::Here(plan, _) | Self::Owned(plan, _) => plan,
        }
    }
}

/// How much would pass now, and how much can ever at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) now: u64,
    pub(crate) possible: u64,
}

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Passes,
    Refused(Refusal, Left),
    /// It passes if the key is added.
    New,
    /// It is for somebody else to say.
    Owned,
    /// The key is kept in another plan than the one asked for.
    OtherPlan,
}

impl Asked {
    pub(super) fn refused(refusal: Refusal, cell: &Gcra, now: u64) -> Self {
        let left = Left { now: cell.available(now), possible: cell.possible(now) };
        Self::Refused(refusal, left)
    }
}

/// What a look at some cells has come to.
#[derive(Debug)]
pub(crate) struct Swept<K, R> {
    /// To be dropped where nobody waits for it.
    pub(crate) keys: Vec<K>,
    pub(crate) released: Vec<R>,
    /// How many were taken out.
    pub(crate) evicted: usize,
    /// When the first of the others is full.
    pub(crate) next: Option<u64>,
}

impl<K, R> Swept<K, R> {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), released: Vec::new(), evicted: 0, next: None }
    }
}
