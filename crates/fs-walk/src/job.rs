//! What a thread of the walk does next.

use tidegate_core::sync::Arc;

use crate::dir::{Dir, OpenDir};
use crate::reader::Scan;
use crate::rules::Rules;

/// One step of a walk in any order.
pub(crate) enum Job {
    /// The root of this index.
    Root(usize),
    /// The contents of a directory.
    Dir(DirJob),
    /// What is left of one that was begun.
    Rest(Scan),
}

/// A directory to be read.
pub(crate) struct DirJob {
    /// Keeps the directory it was found in open, within the budget.
    pub(crate) parent: Arc<OpenDir>,
    pub(crate) node: Arc<Dir>,
    /// The device of its root.
    pub(crate) root_dev: u64,
    /// The ignore rules from above.
    pub(crate) rules: Rules,
}
