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

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Passes,
    /// And how much would pass now, or ever if it never passes.
    Refused(Refusal, u64),
    /// It passes if the key is added.
    New,
    /// It is for somebody else to say.
    Owned,
    /// The key is kept in another plan than the one asked for.
    OtherPlan,
}

impl Asked {
    pub(super) fn refused(refusal: Refusal, cell: &Gcra, now: u64) -> Self {
        let left = match refusal {
            Refusal::Until(_) => cell.available(now),
            Refusal::Never => cell.possible(now),
        };
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
