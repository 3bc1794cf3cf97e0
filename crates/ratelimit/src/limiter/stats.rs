//! Plain numbers.

use crate::state::Line;
use std::time::Duration;

/// What has come up that the fast path does not see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) waited: u64,
    pub(super) served: u64,
    pub(super) cancelled: u64,
    pub(super) too_late: u64,
    pub(super) turned_away: u64,
    pub(super) refunded: u128,
}

/// What a limiter would say, as [`RateLimiter::peek`](super::RateLimiter::peek) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek {
    /// How many tokens can be taken now: none while somebody waits.
    pub remaining: u64,
    /// How many can be taken at once at most.
    pub possible: u64,
    /// After which time the limiter is full, if nobody takes anything and nobody waits; none, if never.
    pub full_after: Option<Duration>,
    /// How many wait.
    pub waiting: usize,
}

/// How a limiter stands, and what those who waited have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many tokens can be taken now.
    pub remaining: u64,
    /// How many wait, or hold a reservation whose time has not come.
    pub waiting: usize,
    /// The cost of all of them.
    pub queued: u128,
    /// How many have waited so far.
    pub waited: u64,
    /// How many of them have passed.
    pub served: u64,
    /// How many of them gave up, before or after their tokens were taken for them.
    pub cancelled: u64,
    /// How many would have passed after their deadline only.
    pub too_late: u64,
    /// How many were turned away since too many waited.
    pub turned_away: u64,
    /// How many tokens were handed in to be given back, whether or not they had come back by themselves already.
    pub refunded: u128,
    /// How many timers there are: one for each runtime that somebody waits on.
    pub timers: usize,
}

impl Counts {
    pub(super) fn stats<W>(&self, remaining: u64, timers: usize, line: &Line<W>) -> Stats {
        let Self { waited, served, cancelled, too_late, turned_away, refunded } = *self;
        let (waiting, queued) = (line.len(), line.queued());
        Stats {
            remaining,
            waiting,
            queued,
            waited,
            served,
            cancelled,
            too_late,
            turned_away,
            refunded,
            timers,
        }
    }
}
