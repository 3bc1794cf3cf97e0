//! Which files the hashing threads are at, so that a run that is stuck can name them.

use std::path::PathBuf;

use tidegate_core::sync::{Arc, Mutex, Weak, lock};
use tidegate_fs_walk::Entry;

/// A file, by whatever names it.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Entry(Entry),
    Path(PathBuf),
}

type Note = Mutex<Option<At>>;

/// The notes of all threads.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<Vec<Weak<Note>>>);

/// Where one thread notes the file it is at.
#[derive(Debug)]
pub(crate) struct Desk(Arc<Note>);

impl Busy {
    pub(crate) fn desk(&self) -> Desk {
        let note = Arc::new(Mutex::new(None));
        let mut notes = lock(&self.0);
        // A thread whose work panicked comes with a new desk.
        notes.retain(|note| note.strong_count() > 0);
        notes.push(Arc::downgrade(&note));
        Desk(note)
    }

    /// The files that are being opened, read or hashed now.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let notes: Vec<_> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        let path = |at: At| match at {
            At::Entry(entry) => entry.path(),
            At::Path(path) => path,
        };
        notes.iter().filter_map(|note| lock(note).clone()).map(path).collect()
    }
}

impl Desk {
    /// At this file, until the guard is dropped.
    pub(crate) fn at(&self, file: At) -> impl Drop + use<> {
        let before = lock(&self.0).replace(file);
        debug_assert!(before.is_none(), "one file at a time");
        Leave(Arc::clone(&self.0))
    }
}

struct Leave(Arc<Note>);

impl Drop for Leave {
    fn drop(&mut self) {
        let file = lock(&self.0).take();
        drop(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_long_as_somebody_is_at_it() {
        let busy = Busy::default();
        let (one, other) = (busy.desk(), busy.desk());
        assert_eq!(busy.files(), Vec::<PathBuf>::new());
        let a = one.at(At::Path("a".into()));
        let b = other.at(At::Path("b".into()));
        assert_eq!(busy.files(), [PathBuf::from("a"), "b".into()]);
        drop(a);
        assert_eq!(busy.files(), [PathBuf::from("b")]);
        drop((b, other));
        let c = busy.desk();
        assert_eq!(busy.files(), Vec::<PathBuf>::new());
        assert_eq!(lock(&busy.0).len(), 2, "the desk that is gone is forgotten");
        drop(c);
    }
}
