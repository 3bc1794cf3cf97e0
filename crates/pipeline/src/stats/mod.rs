//! Numbers of a pipeline, while it runs and at its end.

mod bottleneck;
mod cell;
mod table;

pub(crate) use self::cell::{Spent, StageCell};

use crate::{ItemError, clock::Lap};
use std::{
    fmt::{self, Display},
    sync::OnceLock,
    time::Duration,
};
use tidegate_core::{Name, sync::Arc};

/// What runs in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StageKind {
    /// The stream or iterator the items come from.
    Source,
    /// A cheap synchronous function, on the workers of the runtime.
    Map,
    /// An asynchronous function.
    MapAsync,
    /// A function that blocks or computes, on the runtime's blocking threads.
    MapBlocking,
    /// The consumer.
    Sink,
}

/// The numbers of one stage.
///
/// At the end of a run `items_in = items_out + failed + filtered + cancelled`, and
/// `items_out` of a stage is `items_in` of the next.
///
/// The three times are per slot, and what is missing from the whole is the way to a blocking
/// thread and back. They are counted when a batch or a wait ends, not during it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageStats {
    /// Its name.
    pub name: Name,
    /// What runs in it.
    pub kind: StageKind,
    /// How many items it works on at once at most.
    pub concurrency: usize,
    /// Items that came into its queue; for a source, items that it yielded.
    pub items_in: u64,
    /// Items that the next stage's queue took; for the sink, items consumed.
    pub items_out: u64,
    /// Items whose function failed or panicked.
    pub failed: u64,
    /// Items that its function left out on purpose.
    pub filtered: u64,
    /// Items dropped by the end of the run: queued, in work or finished and not handed on.
    pub cancelled: u64,
    /// Time spent on items, summed over the slots: at most `concurrency` times the run.
    pub busy: Duration,
    /// Time waited for items, likewise.
    pub starved: Duration,
    /// Time waited for room behind, or for an older item of an ordered stage, likewise.
    pub blocked: Duration,
    /// Items in its queue now.
    pub queued: usize,
    /// Most items that were ever in its queue.
    pub max_queued: usize,
    /// Most items its queue can hold; 0 for a source.
    pub capacity: usize,
}

impl StageStats {
    /// Whether no item is unaccounted for. Holds at the end of a run, not always before.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.items_in == self.items_out + self.failed + self.filtered + self.cancelled
    }
}

/// The numbers of all stages at one moment. As text it is a table.
#[derive(Clone, Debug)]
pub struct Stats {
    stages: Vec<StageStats>,
    elapsed: Duration,
}

impl Stats {
    /// The stages in order: the source first, the consumer last.
    #[must_use]
    pub fn stages(&self) -> &[StageStats] {
        &self.stages
    }

    /// The time from the start of the run to its end, or to the moment of the snapshot.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Items that the consumer has done.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.stages.last().map_or(0, |sink| sink.items_out)
    }

    /// Items that failed or panicked, in all stages.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.stages.iter().map(|stage| stage.failed).sum()
    }

    /// Items that were left out on purpose, in all stages.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.stages.iter().map(|stage| stage.filtered).sum()
    }

    /// Items that were dropped because the run ended early, in all stages.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.stages.iter().map(|stage| stage.cancelled).sum()
    }

    /// Whether every item is accounted for in every stage and between the stages.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.stages.iter().all(StageStats::is_conserved)
            && self.stages.windows(2).all(|pair| pair[0].items_out == pair[1].items_in)
    }

    /// The stage that limits the throughput: the one whose slots were busy for the largest
    /// share of the run, where waiting for its stream counts as the work of a source.
    /// `None` before anything was done.
    #[must_use]
    pub fn bottleneck(&self) -> Option<&StageStats> {
        bottleneck::find(&self.stages, self.elapsed)
    }
}

impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(self, f)
    }
}

/// The start and the end of a run.
#[derive(Debug, Default)]
pub(crate) struct RunClock {
    started: OnceLock<Lap>,
    ended: OnceLock<Duration>,
}

impl RunClock {
    pub(crate) fn start(&self) {
        let _ = self.started.set(Lap::start());
    }

    pub(crate) fn end(&self) {
        let _ = self.ended.set(self.elapsed());
    }

    fn elapsed(&self) -> Duration {
        let since = || self.started.get().map_or(Duration::ZERO, Lap::elapsed);
        self.ended.get().copied().unwrap_or_else(since)
    }
}

/// Reads the numbers of a pipeline at any time, without locks: for progress bars.
#[derive(Clone, Debug)]
pub struct StatsHandle {
    cells: Arc<[Arc<StageCell>]>,
    clock: Arc<RunClock>,
}

impl StatsHandle {
    pub(crate) fn new(cells: Vec<Arc<StageCell>>, clock: Arc<RunClock>) -> Self {
        Self { cells: cells.into(), clock }
    }

    /// The numbers now. The counters are read one after the other, so that an item may be
    /// seen between two of them.
    #[must_use]
    pub fn snapshot(&self) -> Stats {
        let stages = self.cells.iter().map(|cell| cell.read()).collect();
        Stats { stages, elapsed: self.clock.elapsed() }
    }
}

/// How a run went: the numbers, and the errors of its items. As text it is a table.
#[derive(Debug)]
pub struct Summary<E> {
    stats: Stats,
    errors: Vec<ItemError<E>>,
}

impl<E> Summary<E> {
    pub(crate) fn new(stats: Stats, errors: Vec<ItemError<E>>) -> Self {
        Self { stats, errors }
    }

    /// The numbers of all stages.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The errors that were kept, in the order in which they happened; see
    /// [`OnError`](crate::OnError). [`failed`](Self::failed) counts all of them.
    #[must_use]
    pub fn errors(&self) -> &[ItemError<E>] {
        &self.errors
    }

    /// The same, by value.
    #[must_use]
    pub fn into_errors(self) -> Vec<ItemError<E>> {
        self.errors
    }

    /// The stages in order: the source first, the consumer last.
    #[must_use]
    pub fn stages(&self) -> &[StageStats] {
        self.stats.stages()
    }

    /// See [`Stats::elapsed`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.stats.elapsed()
    }

    /// See [`Stats::delivered`].
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.stats.delivered()
    }

    /// See [`Stats::failed`].
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.stats.failed()
    }

    /// See [`Stats::filtered`].
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.stats.filtered()
    }

    /// See [`Stats::cancelled`].
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.stats.cancelled()
    }

    /// See [`Stats::bottleneck`].
    #[must_use]
    pub fn bottleneck(&self) -> Option<&StageStats> {
        self.stats.bottleneck()
    }
}

impl<E> Display for Summary<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.stats, f)
    }
}

#[cfg(test)]
mod tests;
