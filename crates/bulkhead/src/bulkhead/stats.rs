//! Plain numbers.

/// How a bulkhead stands, and what those who waited have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many permits there are.
    pub capacity: u32,
    /// How many are in use: more than there are for a while after the capacity was made smaller.
    pub in_use: u32,
    /// How many wait.
    pub waiting: usize,
    /// How many permits they wait for.
    pub queued: u64,
    /// Whether it was closed.
    pub is_closed: bool,
    /// How many have waited so far.
    pub waited: u64,
    /// How many of them have entered.
    pub entered: u64,
    /// How many of them gave up, before or after their permits were taken for them.
    pub cancelled: u64,
    /// How many of them did not enter in time.
    pub timed_out: u64,
    /// How many of them were shed, by [`CoDel`](crate::CoDel).
    pub shed: u64,
    /// How many of them made room for somebody more urgent.
    pub displaced: u64,
    /// How many of them wanted more than there was after the capacity was made smaller.
    pub too_large: u64,
    /// How many of them waited when it was closed.
    pub closed: u64,
    /// How many were turned away since as many waited as may.
    pub turned_away: u64,
}
