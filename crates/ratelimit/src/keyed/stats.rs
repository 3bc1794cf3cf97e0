//! Plain numbers.

/// How a keyed limiter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// How many keys are in the table: those that have taken something that has not come back, and some
    /// that nobody has looked at since it did.
    pub keys: usize,
    /// How many there may be.
    pub max_keys: usize,
    /// How many wait, of all keys.
    pub waiting: usize,
    /// How many requests came when there was no room for their key.
    pub turned_away: u64,
    /// How many keys were taken out since their cells were full.
    pub evicted: u64,
    /// What the tables take, in bytes, without what keys themselves own, and without those who wait.
    pub bytes: usize,
}
