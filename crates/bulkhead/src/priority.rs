//! Who goes first.

/// How urgent a request is. Of those who wait, the most urgent go first, and those of one class in the order
/// in which they came.
///
/// The others are not starved, unless [`strict_priority`](crate::BulkheadBuilder::strict_priority) says so:
/// a class that was passed over [`patience`](crate::BulkheadBuilder::patience) times goes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What keeps the service alive: health checks, say, and its own control.
    Critical,
    /// Somebody looks at the screen.
    High,
    /// Unless told otherwise.
    #[default]
    Normal,
    /// What can be done at any time: prefetching, retries, batches.
    Low,
}

impl Priority {
    pub(crate) const CLASSES: usize = 4;

    pub(crate) fn class(self) -> usize {
        self as usize
    }
}
