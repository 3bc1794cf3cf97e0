//! What the configuration and the filter say about an entry.

use crate::entry::EntryRef;
use crate::summary::Skipped;
use crate::walk::{Config, Visit};

/// What is to become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) deliver: bool,
    /// It is a directory whose contents are wanted.
    pub(crate) descend: bool,
}

/// Asks the filter, which may keep a state: so it is asked once about each entry.
#[inline]
pub(crate) fn judge(config: &Config, entry: &EntryRef<'_>, skipped: &mut Skipped) -> Verdict {
    let depth = entry.depth();
    let descend = entry.file_type().is_dir() && depth < config.max_depth;
    match config.filter.as_ref().map_or(Visit::Keep, |filter| filter(entry)) {
        Visit::Keep if depth < config.min_depth => {
            skipped.too_shallow += 1;
            Verdict { deliver: false, descend }
        }
        Visit::Keep => Verdict { deliver: true, descend },
        Visit::Omit => {
            skipped.filtered += 1;
            Verdict { deliver: false, descend }
        }
        Visit::Prune => {
            skipped.pruned += 1;
            Verdict { deliver: false, descend: false }
        }
    }
}
