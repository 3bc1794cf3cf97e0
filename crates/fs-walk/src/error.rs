//! What can go wrong with one entry, and how a whole walk can end early.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tidegate_core::Cause;

use crate::dir::Dir;
use crate::sys::{Errno, is_fd_shortage};
use tidegate_core::sync::Arc;

/// Something the walk could not deliver: one entry, the contents of one directory, or, when it
/// was cancelled, everything that is left.
///
/// It prints as one line that names the path in quotes, with line breaks and bytes that are not
/// UTF-8 escaped.
#[derive(Debug, Error)]
#[error("{}", .0.line())]
pub struct WalkError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    depth: usize,
    kind: WalkErrorKind,
}

/// A path in quotes, on one line whatever its bytes are.
pub(crate) struct Quoted<'a>(pub(crate) &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl Inner {
    fn line(&self) -> String {
        let path = Quoted(&self.path);
        match &self.kind {
            WalkErrorKind::Open(error) => format!("cannot open {path}: {error}"),
            WalkErrorKind::Read(error) => format!("cannot read {path}: {error}"),
            WalkErrorKind::Stat(error) => format!("cannot stat {path}: {error}"),
            WalkErrorKind::IgnoreFile(error) => format!("not all rules of {path} hold: {error}"),
            WalkErrorKind::Loop { ancestor } => {
                format!("{path} leads back to its ancestor {}", Quoted(ancestor))
            }
            WalkErrorKind::Vanished => format!("{path} was removed or replaced during the walk"),
            WalkErrorKind::TooManyFds(error) => {
                format!("cannot open {path}: no descriptor left: {error}")
            }
            WalkErrorKind::Cancelled(cause) => {
                format!("the walk of {path} is not complete: {cause}")
            }
            WalkErrorKind::Spawn(error) => {
                format!("cannot start a thread to walk {path}: {error}")
            }
        }
    }
}

/// Why an entry, or what is below it, was not delivered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalkErrorKind {
    /// A root or a directory could not be opened: nothing below it is delivered.
    #[error("cannot open")]
    Open(#[source] io::Error),
    /// Reading a directory failed part way: entries may be missing from there on.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// What kind of file an entry is could not be found out.
    #[error("cannot stat")]
    Stat(#[source] io::Error),
    /// An ignore file could not be read, or not all of its lines are patterns: the walk goes on
    /// without those, and delivers what they name.
    #[error("not all rules of an ignore file hold")]
    IgnoreFile(#[source] io::Error),
    /// A followed link, or a mount, leads back to a directory it is in.
    #[error("leads back to its ancestor {}", Quoted(ancestor))]
    Loop {
        /// The path by which the directory was reached first.
        ancestor: PathBuf,
    },
    /// It was there when its directory was read, and was gone, or another file, when it was
    /// opened.
    #[error("removed or replaced during the walk")]
    Vanished,
    /// No descriptor became free in time, even after all cached ones had been closed: nothing
    /// below is delivered.
    #[error("no descriptor left")]
    TooManyFds(#[source] io::Error),
    /// The walk was cancelled; this is its last item.
    #[error("cancelled")]
    Cancelled(#[source] Cause),
    /// Not even one thread could be started.
    #[error("cannot start a thread")]
    Spawn(#[source] io::Error),
}

impl WalkError {
    pub(crate) fn new(path: PathBuf, depth: usize, kind: WalkErrorKind) -> Self {
        Self(Box::new(Inner { path, depth, kind }))
    }

    /// About the entry `name` of `dir`, or about `dir` itself.
    pub(crate) fn at(dir: &Arc<Dir>, name: Option<&[u8]>, kind: WalkErrorKind) -> Self {
        let depth =
            if name.is_some() { dir.child_depth } else { dir.child_depth.saturating_sub(1) };
        Self::new(dir.path_of(name), depth, kind)
    }

    /// The path it is about, starting with its root as the caller wrote it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How far below its root that path is; a root itself is at 0.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.depth
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &WalkErrorKind {
        &self.0.kind
    }

    /// The error of the system, if one is behind this.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.0.kind {
            WalkErrorKind::Open(error)
            | WalkErrorKind::Read(error)
            | WalkErrorKind::Stat(error)
            | WalkErrorKind::IgnoreFile(error)
            | WalkErrorKind::TooManyFds(error)
            | WalkErrorKind::Spawn(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it says that the walk was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.kind, WalkErrorKind::Cancelled(_))
    }
}

impl From<WalkError> for io::Error {
    fn from(error: WalkError) -> Self {
        let kind = match &error.0.kind {
            WalkErrorKind::Vanished => io::ErrorKind::NotFound,
            _ => error.io_error().map_or(io::ErrorKind::Other, io::Error::kind),
        };
        Self::new(kind, error)
    }
}

/// The kind for a failed attempt to open what a directory had listed.
///
/// `followed`: through a link, whose target may always have been missing or a knot.
pub(crate) fn open_failure(errno: Errno, followed: bool) -> WalkErrorKind {
    match errno {
        errno if is_fd_shortage(errno) => WalkErrorKind::TooManyFds(errno.into()),
        Errno::NOENT | Errno::STALE => WalkErrorKind::Vanished,
        // It is a file or a link by now.
        Errno::NOTDIR | Errno::LOOP if !followed => WalkErrorKind::Vanished,
        errno => WalkErrorKind::Open(errno.into()),
    }
}

/// The kind for a failed attempt to stat what a directory had listed.
pub(crate) fn stat_failure(errno: Errno) -> WalkErrorKind {
    match errno {
        errno if is_fd_shortage(errno) => WalkErrorKind::TooManyFds(errno.into()),
        Errno::NOENT | Errno::STALE => WalkErrorKind::Vanished,
        errno => WalkErrorKind::Stat(errno.into()),
    }
}
