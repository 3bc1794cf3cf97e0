//! How a stage is set up.

use tidegate_core::Name;

/// No stage runs more items at once than this: 65 536.
const MAX_CONCURRENCY: usize = 1 << 16;

/// How many items travel together at most, and wait in front of a stage, unless it says
/// otherwise. A hop of cheap items costs its wake-up: with half as many it took a quarter longer.
pub(crate) const CHUNK: usize = 2048;

/// The name of a stage and its bounds. A name alone will do: `.map("parse", ..)`.
///
/// ```
/// use tidegate_pipeline::Stage;
///
/// let fetch = Stage::new("fetch").concurrency(32).ordered().window(256).capacity(64);
/// # let _ = fetch;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a stage is given to a pipeline"]
pub struct Stage {
    pub(crate) name: Name,
    pub(crate) concurrency: usize,
    pub(crate) ordered: bool,
    window: Option<usize>,
    pub(crate) capacity: usize,
    pub(crate) batch: usize,
}

impl Stage {
    /// A stage of that name: one item at a time, up to 2048 items queued in front of it.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            concurrency: 1,
            ordered: false,
            window: None,
            capacity: CHUNK,
            batch: CHUNK,
        }
    }

    /// How many items may be worked on at once, from 1 to 65 536; what is outside is brought
    /// inside. A `concurrency(0)` that waits for ever does not exist.
    pub fn concurrency(mut self, items: usize) -> Self {
        self.concurrency = items.clamp(1, MAX_CONCURRENCY);
        self
    }

    /// Results leave in the order in which their items came. A result waits for the older
    /// ones, which costs memory, not throughput, as long as the [window](Self::window) is
    /// large enough.
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Results leave as they are finished: the default. With a concurrency of 1 that is the
    /// order of the items, too.
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// How many items an ordered stage may be ahead of the oldest unfinished one: the most
    /// results that wait for one slow item. The default is 4 times the concurrency, and at
    /// least 1024.
    pub fn window(mut self, items: usize) -> Self {
        self.window = Some(items.max(1));
        self
    }

    /// How many items may be queued in front of the stage, at least 1. The default is 2048;
    /// take less for items that hold much memory.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity = items.max(1);
        self
    }

    /// How many items a worker takes from the queue at most, at least 1; the default is
    /// 2048. It takes fewer while items are slow, and leaves a fair share to other workers.
    ///
    /// Workers and queues keep the memory of that many items for the next ones.
    pub fn batch(mut self, items: usize) -> Self {
        self.batch = items.max(1);
        self
    }

    pub(crate) fn reorder_window(&self) -> usize {
        self.window.unwrap_or((4 * self.concurrency).max(1024))
    }

    /// One item after the other is in order without further ado.
    pub(crate) fn is_reordering(&self) -> bool {
        self.ordered && self.concurrency > 1
    }

    /// The most items a worker takes at once: one worker must not use up the whole window,
    /// or the others had to wait for it.
    pub(crate) fn max_batch(&self) -> usize {
        if self.is_reordering() {
            self.batch.min((self.reorder_window() / (2 * self.concurrency)).max(1))
        } else {
            self.batch
        }
    }
}

impl From<&'static str> for Stage {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Stage {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<Name> for Stage {
    fn from(name: Name) -> Self {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_at_least_one() {
        let stage = Stage::new("x").concurrency(0).window(0).capacity(0).batch(0).ordered();
        assert_eq!(stage.concurrency, 1);
        assert_eq!(stage.reorder_window(), 1);
        assert_eq!((stage.capacity, stage.max_batch()), (1, 1));
        assert_eq!(Stage::new("x").concurrency(usize::MAX).reorder_window(), 4 << 16);
    }

    #[test]
    fn a_batch_leaves_tickets_to_the_other_workers() {
        let stage = Stage::new("x").concurrency(4).ordered().window(64);
        assert_eq!(stage.max_batch(), 8);
        assert_eq!(stage.clone().window(3).max_batch(), 1);
        assert_eq!(stage.unordered().max_batch(), CHUNK);
    }
}
