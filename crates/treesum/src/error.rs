//! What can go wrong, as one line of text each.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tidegate_fs_walk::{AtomicWriterError, WalkError, WalkErrorKind};

use crate::format::shown;
use crate::hasher::HashError;

/// What a stage could not do with one item, or why it cannot go on with any.
#[derive(Debug)]
pub(crate) enum ItemFailure {
    /// The walk could not deliver something.
    Walk(WalkError),
    /// A file was found and could not be summed.
    File(PathBuf, HashError),
    /// A path of the command line is no directory.
    NotADirectory(PathBuf),
    /// There is no file below a path of the command line.
    Empty(PathBuf),
    /// The output cannot be written: the run is over.
    Output(io::Error),
    /// The manifest cannot be read any further: the run is over.
    Manifest(PathBuf, io::Error),
}

impl fmt::Display for ItemFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Walk(error) => walk_line(f, error),
            Self::File(path, error) => write!(f, "{}: {error}", line(path)),
            Self::NotADirectory(path) => write!(f, "{}: not a directory", line(path)),
            Self::Empty(path) => write!(f, "{}: no file below it", line(path)),
            Self::Output(error) => write!(f, "output: {error}"),
            Self::Manifest(path, error) => write!(f, "{}: {error}", line(path)),
        }
    }
}

impl std::error::Error for ItemFailure {}

fn walk_line(f: &mut fmt::Formatter<'_>, error: &WalkError) -> fmt::Result {
    let path = line(error.path());
    match (error.kind(), error.io_error()) {
        (WalkErrorKind::Loop { ancestor }, _) => {
            write!(f, "{path}: leads back to {}", line(ancestor))
        }
        (WalkErrorKind::Vanished, _) => write!(f, "{path}: vanished"),
        (WalkErrorKind::TooManyFds(_), Some(error)) => {
            write!(f, "{path}: too few file descriptors, nothing below it was read: {error}")
        }
        (WalkErrorKind::Read(_), Some(error)) => {
            write!(f, "{path}: files in it may be missing: {error}")
        }
        (_, Some(error)) => write!(f, "{path}: {error}"),
        (kind, None) => write!(f, "{path}: {kind}"),
    }
}

/// Why a run ended before its work was done, other than by a signal.
#[derive(Debug)]
pub(crate) enum Fatal {
    /// Standard output cannot be written.
    Stdout(io::Error),
    /// The output file cannot be made, completed or put in place.
    File(AtomicWriterError),
    /// The output file cannot be written.
    Write(PathBuf, io::Error),
    /// The manifest to verify could not be read.
    Manifest(PathBuf, io::Error),
    /// A stage panicked.
    Internal(String),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(error) => write!(f, "standard output: {error}"),
            Self::File(error) => error.fmt(f),
            Self::Write(path, error) | Self::Manifest(path, error) => {
                write!(f, "{}: {error}", line(path))
            }
            Self::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for Fatal {}

/// The path on one line.
pub(crate) fn line(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}
