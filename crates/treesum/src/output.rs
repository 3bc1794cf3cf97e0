//! Where the manifest goes: standard output, or a file that appears whole or not at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FileType;
use tidegate_core::sync::{Arc, Mutex, MutexGuard};
use tidegate_fs_walk::{AtomicWriter, Metadata};

use crate::console::Stdout;
use crate::error::Fatal;

/// The longest a line waits in the buffer of standard output.
const FLUSH: Duration = Duration::from_millis(100);

enum Target {
    Stdout(Stdout),
    File(AtomicWriter),
    /// Finished or given up.
    Closed,
}

/// The output file as a scan of its directory meets it, to leave it out: neither the manifest
/// that is being written nor the one that is about to be replaced could ever be verified.
#[derive(Debug)]
pub(crate) enum Own {
    /// Name, device and inode of the file that will be replaced, if there is one.
    Replaced(Option<(OsString, (u64, u64))>),
    /// Device and inode of the file that standard output goes to, if it goes to one.
    Stdout(Option<(u64, u64)>),
}

impl Own {
    pub(crate) fn of(output: Option<&Path>) -> Self {
        output.map_or_else(Self::stdout, Self::replaced)
    }

    fn stdout() -> Self {
        let stat = rustix::fs::fstat(io::stdout());
        let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
        let file = stat.ok().filter(|stat| is_file(stat.st_mode));
        Self::Stdout(file.map(|stat| (stat.st_dev, stat.st_ino)))
    }

    fn replaced(path: &Path) -> Self {
        // By its final path: a link that is given as output stays, and leads to the new file.
        let replaced = path.canonicalize().ok().and_then(|path| {
            let metadata = path.metadata().ok()?;
            Some((path.file_name()?.to_owned(), (metadata.dev(), metadata.ino())))
        });
        Self::Replaced(replaced)
    }

    /// Whether this file of this name, or what a link of this name leads to, is the output.
    /// Another hard link of the file that is replaced is not: it keeps its contents.
    pub(crate) fn is(&self, metadata: &Metadata, name: &OsStr, is_link: bool) -> bool {
        let id = (metadata.dev(), metadata.ino());
        match self {
            Self::Stdout(file) => *file == Some(id),
            Self::Replaced(file) => {
                let same = file.as_ref().filter(|(_, old)| *old == id);
                is_unfinished(name) || same.is_some_and(|(old, _)| is_link || name == old)
            }
        }
    }
}

/// Whether an atomic writer, in this process or another, gave the name: `.tidegate-<hex>.tmp`.
fn is_unfinished(name: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(b".tidegate-");
    let random = random.and_then(|rest| rest.strip_suffix(b".tmp"));
    random.is_some_and(|hex| hex.len() == 16 && hex.iter().all(u8::is_ascii_hexdigit))
}

/// The output, shared by the sink that writes and the task that flushes.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Target>>);

impl Output {
    /// Standard output without a path.
    ///
    /// # Errors
    /// The descriptor cannot be duplicated, or the file not be created.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Fatal> {
        let target = match path {
            None => Target::Stdout(Stdout::open().map_err(Fatal::Stdout)?),
            Some(path) => Target::File(AtomicWriter::create(path).map_err(Fatal::File)?),
        };
        Ok(Self(Arc::new(Mutex::new(target))))
    }

    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        match &mut *self.lock() {
            Target::Stdout(stdout) => stdout.write_all(lines),
            Target::File(file) => file.write_all(lines),
            Target::Closed => Ok(()),
        }
    }

    /// Flushes standard output now and then, so that a reader sees lines while the next file is
    /// large; ends when its future is dropped.
    pub(crate) async fn keep_flushing(&self) {
        loop {
            tokio::time::sleep(FLUSH).await;
            // While the sink writes there is nothing to do; an error comes back to it later.
            if let Ok(mut target) = self.0.try_lock()
                && let Target::Stdout(stdout) = &mut *target
            {
                drop(stdout.flush());
            }
        }
    }

    /// Makes the output complete: a file appears under its name.
    ///
    /// # Errors
    /// What is left cannot be written, or the file not be put in place.
    pub(crate) fn finish(&self) -> Result<(), Fatal> {
        match self.close() {
            Target::Stdout(mut stdout) => stdout.flush().map_err(Fatal::Stdout),
            Target::File(file) => file.commit().map_err(Fatal::File),
            Target::Closed => Ok(()),
        }
    }

    /// Gives up: what was printed is flushed, a file is removed.
    pub(crate) fn abandon(&self) {
        match self.close() {
            // Whoever abandons the output has a better reason to report than this one.
            Target::Stdout(mut stdout) => drop(stdout.flush()),
            Target::File(file) => drop(file),
            Target::Closed => {}
        }
    }

    /// Takes the target out, so that nobody waits for the lock while it is flushed.
    fn close(&self) -> Target {
        std::mem::replace(&mut *self.lock(), Target::Closed)
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_known_by_their_name() {
        assert!(is_unfinished(".tidegate-0123456789abcdef.tmp".as_ref()));
        for other in [".tidegate-.tmp", ".tidegate-0123456789abcdeg.tmp", "tidegate", "a.tmp"] {
            assert!(!is_unfinished(other.as_ref()), "{other}");
        }
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let output = Output::open(Some(&path)).unwrap();
        output.write(b"half").unwrap();
        output.abandon();
        output.finish().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
