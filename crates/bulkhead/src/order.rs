//! Who of a class goes next, and who is shed.

use std::time::Duration;

/// In which order those of one class enter who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// First come, first served. Nobody is starved.
    #[default]
    Fifo,
    /// Who came last goes first. Under a load that does not end, who came first waits for ever, or until
    /// its time is over: bound it, by [`max_wait`](crate::BulkheadBuilder::max_wait).
    Lifo,
    /// First come, first served, and who came last goes first while more than so many wait: those who came
    /// first have mostly given up by then. After B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015. Bound
    /// the wait, as for [`Lifo`](Self::Lifo).
    AdaptiveLifo {
        /// The length of the line from which on the last goes first.
        beyond: usize,
    },
}

/// Controlled delay, after RFC 8289: sheds load while those who wait do so for too long.
///
/// A line that is long now and then is what it is for, and one that never gets short is not. If everybody
/// who was served during an [`interval`](Self::interval) had waited for longer than the
/// [`target`](Self::target), one is shed instead of served, and then more and more often, until one has
/// waited for less.
///
/// Somebody is shed when a permit comes back, and never because none does: bound the wait as well, by
/// [`max_wait`](crate::BulkheadBuilder::max_wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// The wait that is acceptable for ever: 5 ms by default.
    pub target: Duration,
    /// How long the wait may be longer than that: 100 ms by default. Not shorter than it takes those who wait
    /// to react to it, and several times as long as a permit is held: at each that comes back one is shed at most.
    pub interval: Duration,
}

impl Default for CoDel {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}
