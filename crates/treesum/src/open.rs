//! Opens the files that a manifest names, by path and however long the path is.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, fstatfs, openat, statat};
use rustix::io::Errno;

use crate::hasher::Source;

/// The kernel refuses paths of `PATH_MAX` (4096) bytes; longer ones are opened in pieces.
const PIECE: usize = 4000;

/// Why a file could not be opened for reading.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It is not there.
    Missing,
    /// It is a directory, FIFO, socket or device.
    NotRegular,
    /// The system says no.
    Failed(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Missing,
            other => Self::Failed(other.into()),
        }
    }
}

/// Opens a regular file and says how long it is; what is not a regular file is never opened.
///
/// The check comes before the opening, since opening a FIFO or a device already has effects.
/// If it is exchanged in between, the opening does not wait, and the second check refuses it.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64), OpenError> {
    let mut dir: Option<OwnedFd> = None;
    let mut rest = path.as_os_str().as_bytes();
    while rest.len() > PIECE {
        let Some(at) = rest[..PIECE].iter().rposition(|&byte| byte == b'/') else {
            return Err(OpenError::Failed(Errno::NAMETOOLONG.into()));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The slash stays with the front, which would be empty for `/` else.
        dir = Some(openat(at_fd(dir.as_ref()), &rest[..=at], flags, Mode::empty())?);
        rest = trim_slashes(&rest[at..]);
    }
    let found = statat(at_fd(dir.as_ref()), rest, AtFlags::empty())?;
    regular(found.st_mode)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(at_fd(dir.as_ref()), rest, flags, Mode::empty())?;
    let opened = fstat(&file)?;
    regular(opened.st_mode)?;
    Ok((File::from(file), u64::try_from(opened.st_size).unwrap_or(0)))
}

impl Source for File {
    fn is_pseudo(&self) -> bool {
        is_pseudo(self)
    }
}

/// Whether a file is made up by the kernel while it is read; no, if the system does not say.
pub(crate) fn is_pseudo(file: impl AsFd) -> bool {
    // From linux/magic.h: PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC.
    const MADE_UP: [u64; 4] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163];
    fstatfs(file).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| MADE_UP.contains(&kind)))
}

fn at_fd(dir: Option<&OwnedFd>) -> BorrowedFd<'_> {
    dir.map_or(CWD, AsFd::as_fd)
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    &path[start..]
}

fn regular(mode: rustix::fs::RawMode) -> Result<(), OpenError> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(OpenError::NotRegular),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_told_from_other_things() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"12345").unwrap();
        let (_, len) = open_regular(&file).unwrap();
        assert_eq!(len, 5);

        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(matches!(open_regular(&fifo), Err(OpenError::NotRegular)));
        assert!(matches!(open_regular(dir.path()), Err(OpenError::NotRegular)));
        assert!(matches!(open_regular(Path::new("/dev/null")), Err(OpenError::NotRegular)));
        let missing = open_regular(&dir.path().join("none"));
        assert!(matches!(missing, Err(OpenError::Missing)), "{missing:?}");
        assert!(matches!(open_regular(&file.join("below")), Err(OpenError::Missing)));
        let long = Path::new("/").join("x".repeat(300));
        assert!(matches!(open_regular(&long), Err(OpenError::Failed(_))));
        let endless = "y".repeat(5000);
        assert!(matches!(open_regular(Path::new(&endless)), Err(OpenError::Failed(_))));
    }

    #[test]
    fn files_of_proc_are_made_up() {
        assert!(is_pseudo(File::open("/proc/self/stat").unwrap()));
        assert!(!is_pseudo(tempfile::tempfile().unwrap()));
    }

    #[test]
    fn a_path_longer_than_the_kernel_takes_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        let mut at = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
        // Double slashes, so that a piece may end between the two.
        let name = "d".repeat(99);
        for _ in 0..130 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = openat(&at, &name, OFlags::PATH, Mode::empty()).unwrap();
            path = Path::new(&format!("{}//{name}", path.display())).to_owned();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = openat(&at, "leaf", flags, Mode::RUSR).unwrap();
        rustix::io::write(&file, b"abc").unwrap();
        let path = path.join("leaf");
        assert!(path.as_os_str().len() > 3 * 4096);
        let (_, len) = open_regular(&path).unwrap();
        assert_eq!(len, 3);
        assert!(matches!(open_regular(&path.with_file_name("none")), Err(OpenError::Missing)));
    }
}
