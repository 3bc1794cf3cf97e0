//! What a walk delivered, and what it left out and why.

use crate::entry::FileType;

/// What a walk has delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Entries delivered, the roots among them. Those of a stream that were still queued when it
    /// was cancelled or dropped count as delivered.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Symbolic links among them that the walk did not follow.
    pub symlinks: u64,
    /// FIFOs, sockets, devices and entries of unknown type among them.
    pub others: u64,
    /// Errors delivered.
    pub errors: u64,
    /// Entries that were found and not delivered, by reason.
    pub skipped: Skipped,
    /// Directories whose contents were read.
    pub dirs_read: u64,
    /// Directories that were found and waited to be read, at most at one time, with
    /// [`Order::Any`](crate::Order::Any).
    pub waiting_max: u64,
    /// Directories closed to stay within the budget of descriptors while still needed.
    pub evictions: u64,
    /// Directories opened again after that.
    pub reopens: u64,
    /// A visitor ended the walk before it was complete, or a stream was dropped or closed then.
    pub quit: bool,
}

/// Why entries were not delivered. What is below a directory counts with that directory only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Their name begins with a dot.
    pub hidden: u64,
    /// An ignore file names them, or they are a repository's `.git`.
    pub ignored: u64,
    /// The filter said [`Visit::Omit`](crate::Visit::Omit).
    pub filtered: u64,
    /// The filter said [`Visit::Prune`](crate::Visit::Prune).
    pub pruned: u64,
    /// They are above the minimal depth.
    pub too_shallow: u64,
    /// Directories that were delivered but not read: they are on another file system.
    pub other_file_system: u64,
}

impl Summary {
    #[inline]
    pub(crate) fn count(&mut self, file_type: FileType) {
        self.entries += 1;
        match file_type {
            FileType::File => self.files += 1,
            FileType::Dir => self.dirs += 1,
            FileType::Symlink => self.symlinks += 1,
            _ => self.others += 1,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.entries += other.entries;
        self.files += other.files;
        self.dirs += other.dirs;
        self.symlinks += other.symlinks;
        self.others += other.others;
        self.errors += other.errors;
        self.dirs_read += other.dirs_read;
        self.waiting_max = self.waiting_max.max(other.waiting_max);
        self.evictions += other.evictions;
        self.reopens += other.reopens;
        self.quit |= other.quit;
        let (to, from) = (&mut self.skipped, &other.skipped);
        to.hidden += from.hidden;
        to.ignored += from.ignored;
        to.filtered += from.filtered;
        to.pruned += from.pruned;
        to.too_shallow += from.too_shallow;
        to.other_file_system += from.other_file_system;
    }
}
