//! The terms in which an account is asked and answers.

use super::super::{error::FleetConfigError, store::StoreError};
use std::time::Duration;

/// Whose decision it is.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// The store's. Until this time the instance keeps to its share as well, as others may not have found
    /// the store again; zero, if it was not down.
    Store { settled_at: u64 },
    /// That of the instance, within its share. The store is looked at again at this time.
    Local { until: u64 },
    /// Nothing passes without the store.
    Closed { retry_after: Duration, error: StoreError },
    /// Everything passes without the store.
    Open,
}

impl Mode {
    /// The store's, which was not down.
    pub(crate) const STORE: Self = Self::Store { settled_at: 0 };
}

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It passes, or is denied.
    Try,
    /// It waits until this time at most.
    Wait { deadline: u64 },
    /// It gives back what is not spent.
    GiveBack,
}

/// Why something does not pass.
#[derive(Clone, Debug)]
pub(crate) enum Fail {
    Denied { retry_after: Duration, remaining: u64 },
    Never { cost: u64, possible: u64 },
    TooLate { retry_after: Duration },
    Full { waiting: usize },
    Quota(FleetConfigError),
    Unavailable { retry_after: Duration, source: StoreError },
}

/// Where the tokens of who passes come from, which tells what they are worth when they are given back: what
/// has come back by itself is not given back again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A lease, of which the first tokens were asked for at this time, by a clock that nobody sets, and after
    /// so many changes of the quota.
    Lease { since: u64, changes: u32 },
    /// The share, at this time by the clock of the instance, after so many changes.
    Share { at: u64, changes: u32 },
    /// Nowhere.
    Nowhere,
}

/// What becomes of who asks.
#[derive(Debug)]
pub(crate) enum Step<W> {
    /// In the line, and woken by this, if by anything.
    Waits(Option<W>),
    Passes(Origin),
    Fails(Fail),
}

/// What can be said at once.
#[derive(Debug)]
pub(crate) enum Now {
    Passes(Origin),
    Fails(Fail),
    /// It takes the store to tell, or a place in the line.
    Joins,
}

/// What has happened since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    /// Decisions without the store, as it was down.
    pub(crate) local: u64,
    /// Denials of what the store was not asked for.
    pub(crate) cached: u64,
    /// Tokens given up.
    pub(crate) forfeited: u64,
}
