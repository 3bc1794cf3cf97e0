//! One entry of a directory, borrowed while it is visited or owned to be passed on.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType as RawType, Stat};
use tidegate_core::sync::Arc;

use crate::dir::OpenDir;
use crate::name::Name;

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link that the walk does not follow, or that leads nowhere.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// The system does not say.
    Unknown,
}

impl FileType {
    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(self) -> bool {
        self == Self::File
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(self) -> bool {
        self == Self::Dir
    }

    /// Whether it is a symbolic link that is not followed.
    #[must_use]
    pub fn is_symlink(self) -> bool {
        self == Self::Symlink
    }

    #[inline]
    pub(crate) fn from_raw(raw: RawType) -> Self {
        match raw {
            RawType::RegularFile => Self::File,
            RawType::Directory => Self::Dir,
            RawType::Symlink => Self::Symlink,
            RawType::Fifo => Self::Fifo,
            RawType::Socket => Self::Socket,
            RawType::CharacterDevice => Self::CharDevice,
            RawType::BlockDevice => Self::BlockDevice,
            RawType::Unknown => Self::Unknown,
        }
    }

    pub(crate) fn of(stat: &Stat) -> Self {
        Self::from_raw(RawType::from_raw_mode(stat.st_mode))
    }
}

/// An entry while it is visited: borrowed from the buffer it was read into.
///
/// [`to_owned`](Self::to_owned) keeps it.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    pub(crate) dir: &'a Arc<OpenDir>,
    pub(crate) name: &'a [u8],
    pub(crate) ino: u64,
    pub(crate) file_type: FileType,
    pub(crate) followed: bool,
}

impl<'a> EntryRef<'a> {
    /// The last component of the path; of a root, what [`Path::file_name`](std::path::Path::file_name)
    /// says, or the whole root if it says nothing (`/`, `..`).
    #[must_use]
    pub fn file_name(&self) -> &'a OsStr {
        let name = OsStr::from_bytes(self.name);
        if self.depth() == 0 {
            std::path::Path::new(name).file_name().unwrap_or(name)
        } else {
            name
        }
    }

    /// The path: the root as the caller wrote it, then the names down to this entry. It may be
    /// longer than the system accepts in one call (`PATH_MAX`); [`open`](Self::open) does not care.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.node.path_of(Some(self.name))
    }

    /// Appends the bytes of [`path`](Self::path) to `out`, so that one buffer serves many entries.
    pub fn write_path(&self, out: &mut Vec<u8>) {
        self.dir.node.write_path(Some(self.name), out);
    }

    /// What kind of file it is; of a link that the walk follows, what the link leads to.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// How far below its root it is; a root itself is at 0.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.dir.node.child_depth
    }

    /// The inode number; of a link that the walk follows, that of what it leads to.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// Whether it is reached through a symbolic link of this name that the walk follows.
    #[must_use]
    pub fn is_followed_link(&self) -> bool {
        self.followed
    }

    /// Opens a regular file for reading, below the directory it was found in: no other part of
    /// the path is looked at again, so a file exchanged for a link by someone else is an error
    /// and not a different file.
    ///
    /// FIFOs, sockets and devices are refused without being opened; one that took the place of
    /// the file meanwhile is refused after a non-blocking open. A file that another process holds a
    /// lease on is waited for until the lease is given up or broken by the system, after 45 seconds
    /// by default. A directory that had been closed
    /// to stay within [`Walk::max_open_dirs`](crate::Walk::max_open_dirs) is opened again first.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is not a regular file, and the system's error
    /// otherwise. When descriptors run out, cached directories are closed to make room; if that is
    /// not enough, the call waits up to a third of a second before it reports the shortage.
    pub fn open(&self) -> io::Result<OpenedFile> {
        if !matches!(self.file_type, FileType::File | FileType::Unknown) {
            return Err(not_regular());
        }
        let (fd, stat) = self.dir.fds.open_file(self.dir, self.name, self.followed)?;
        if FileType::of(&stat) != FileType::File {
            return Err(not_regular());
        }
        Ok(OpenedFile { file: File::from(fd), metadata: Metadata(stat) })
    }

    /// Asks the system about the entry, below the directory it was found in. A link is followed
    /// only if the walk follows it.
    ///
    /// # Errors
    ///
    /// The system's error, as for [`open`](Self::open).
    pub fn metadata(&self) -> io::Result<Metadata> {
        let stat = self.dir.fds.stat_at(self.dir, self.name, self.followed)?;
        Ok(Metadata(stat))
    }

    /// Keeps the entry. Its directory stays open, within the budget, as long as the copy lives.
    #[must_use]
    pub fn to_owned(&self) -> Entry {
        Entry {
            dir: Arc::clone(self.dir),
            name: Name::new(self.name),
            ino: self.ino,
            file_type: self.file_type,
            followed: self.followed,
        }
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("path", &self.path())
            .field("file_type", &self.file_type)
            .field("ino", &self.ino)
            .finish_non_exhaustive()
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// An entry to keep: 48 bytes, with the names of its directories shared.
///
/// It keeps its directory open, so that [`open`](Self::open) needs no path; directories beyond
/// the budget are closed and opened again on demand. It outlives the walk.
#[derive(Clone)]
pub struct Entry {
    dir: Arc<OpenDir>,
    name: Name,
    ino: u64,
    file_type: FileType,
    followed: bool,
}

impl Entry {
    /// The borrowed form.
    #[must_use]
    pub fn as_entry_ref(&self) -> EntryRef<'_> {
        EntryRef {
            dir: &self.dir,
            name: self.name.as_bytes(),
            ino: self.ino,
            file_type: self.file_type,
            followed: self.followed,
        }
    }

    /// See [`EntryRef::file_name`].
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        self.as_entry_ref().file_name()
    }

    /// See [`EntryRef::path`].
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.as_entry_ref().path()
    }

    /// See [`EntryRef::write_path`].
    pub fn write_path(&self, out: &mut Vec<u8>) {
        self.as_entry_ref().write_path(out);
    }

    /// See [`EntryRef::file_type`].
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// See [`EntryRef::depth`].
    #[must_use]
    pub fn depth(&self) -> usize {
        self.as_entry_ref().depth()
    }

    /// See [`EntryRef::ino`].
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// See [`EntryRef::is_followed_link`].
    #[must_use]
    pub fn is_followed_link(&self) -> bool {
        self.followed
    }

    /// See [`EntryRef::open`].
    ///
    /// # Errors
    ///
    /// As [`EntryRef::open`].
    pub fn open(&self) -> io::Result<OpenedFile> {
        self.as_entry_ref().open()
    }

    /// See [`EntryRef::metadata`].
    ///
    /// # Errors
    ///
    /// As [`EntryRef::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.as_entry_ref().metadata()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_entry_ref().fmt(f)
    }
}

/// A regular file opened for reading, with what the system said about it on that occasion.
#[derive(Debug)]
#[must_use = "dropping it closes the file"]
pub struct OpenedFile {
    file: File,
    metadata: Metadata,
}

impl OpenedFile {
    /// The open file, at its beginning.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its size in bytes when it was opened. Files of `/proc` and `/sys` say 0 and hold more, and
    /// a file may grow or shrink while it is read: read to the end rather than to this.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the size of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        self.metadata.len()
    }

    /// What `fstat` said when it was opened.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The file alone. It was opened with `O_NONBLOCK`, which has no effect on a regular file, but
    /// is inherited by a process that it is passed to.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// The file and what is known about it.
    #[must_use]
    pub fn into_parts(self) -> (File, Metadata) {
        (self.file, self.metadata)
    }
}

impl io::Read for OpenedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

/// What the system says about a file, from one `stat` call.
#[derive(Clone, Copy)]
pub struct Metadata(Stat);

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    reason = "the widths of these fields differ between architectures"
)]
impl Metadata {
    /// Size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the size of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// What kind of file it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::of(&self.0)
    }

    /// Permission bits, with set-user-ID, set-group-ID and sticky (`0o7777`).
    #[must_use]
    pub fn permissions(&self) -> u32 {
        u32::from(self.0.st_mode) & 0o7777
    }

    /// The device it is on.
    #[must_use]
    pub fn dev(&self) -> u64 {
        self.0.st_dev.into()
    }

    /// Its inode number on that device.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.0.st_ino.into()
    }

    /// The number of its hard links.
    #[must_use]
    pub fn nlink(&self) -> u64 {
        self.0.st_nlink.into()
    }

    /// The user that owns it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.0.st_uid
    }

    /// The group that owns it.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.0.st_gid
    }

    /// When its contents changed last.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        let seconds = self.0.st_mtime as i64;
        let nanos = Duration::from_nanos(u64::try_from(self.0.st_mtime_nsec).unwrap_or(0));
        match u64::try_from(seconds) {
            Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_secs(after) + nanos,
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()) + nanos,
        }
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("len", &self.len())
            .field("permissions", &format_args!("{:#o}", self.permissions()))
            .field("dev", &self.dev())
            .field("ino", &self.ino())
            .finish_non_exhaustive()
    }
}
