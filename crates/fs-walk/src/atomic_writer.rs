//! Writing a file so that its name leads to the old contents or to the new, and never to a part.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::Stat;
use thiserror::Error;

use crate::entry::FileType;
use crate::error::Quoted;
use crate::sys::{Errno, Sys};

/// Bytes gathered before a write.
const BUFFER: usize = 64 * 1024;
/// Links followed to the target, as many as the system follows.
const LINKS_MAX: usize = 40;
/// Names tried for the temporary file; with 64 random bits, a second one is never needed.
const NAMES_MAX: usize = 16;

/// What to do about a file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwrite {
    /// Replace it: the default.
    #[default]
    Replace,
    /// Refuse, when the writer is made and, if the file appeared since, on commit. Any kind of
    /// file is in the way, a link that leads nowhere among them.
    Refuse,
}

/// What an [`AtomicWriter`] was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Finding out what is to be replaced.
    Resolve,
    /// Making the temporary file.
    Create,
    /// Writing to it.
    Write,
    /// Making its contents durable.
    Sync,
    /// Giving it its name.
    Rename,
    /// Making the name durable. The new file is in place, but may be lost in a power failure.
    SyncDir,
}

/// Why a file was not written. It names the path in quotes, on one line.
#[derive(Debug, Error)]
#[error("cannot {} {}: {error}", step.what(), Quoted(path))]
pub struct AtomicWriterError {
    path: PathBuf,
    step: Step,
    error: io::Error,
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Self::Resolve | Self::Write => "write",
            Self::Create => "create a temporary file for",
            Self::Sync => "sync",
            Self::Rename => "put in place",
            Self::SyncDir => "sync the directory of",
        }
    }
}

impl AtomicWriterError {
    /// The path that was to be written, as the caller wrote it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What failed. Before [`Step::SyncDir`], the old file is untouched and the temporary one
    /// removed.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// The system's error.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }
}

impl From<AtomicWriterError> for io::Error {
    fn from(error: AtomicWriterError) -> Self {
        Self::new(error.error.kind(), error)
    }
}

/// How to make an [`AtomicWriter`].
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a writer is created with them"]
pub struct AtomicWriterOptions {
    overwrite: Overwrite,
    sys: Sys,
}

impl AtomicWriterOptions {
    /// What to do about a file that is there already.
    pub fn overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Starts writing what is to become the file `path`.
    ///
    /// # Errors
    ///
    /// If the directory cannot be opened or written, if `path` is something other than a regular
    /// file, or if it exists and is not to be replaced.
    pub fn create(self, path: impl AsRef<Path>) -> Result<AtomicWriter, AtomicWriterError> {
        let Self { overwrite, sys } = self;
        let path = path.as_ref().to_owned();
        let fail = |step, error: io::Error| AtomicWriterError { path: path.clone(), step, error };
        let Target { dir, name, old } =
            resolve(&sys, &path, overwrite).map_err(|error| fail(Step::Resolve, error))?;
        let (temp, file) =
            create_temp(&sys, &dir, old.as_ref()).map_err(|error| fail(Step::Create, error))?;
        let buffer = Vec::with_capacity(BUFFER);
        let temp = Temp { sys, dir, name: Some(temp) };
        Ok(AtomicWriter { path, temp, name, file, overwrite, buffer, failed: false })
    }
}

/// A file that gets its name when it is complete.
///
/// The contents go to a temporary file in the same directory. [`commit`](Self::commit) flushes
/// them, makes them durable, renames the file over the target, and makes the name durable. Until
/// then the target is untouched; a writer dropped or [discarded](Self::discard) removes its
/// temporary file. A process that is killed leaves one behind, named `.tidegate-*.tmp`.
///
/// The file keeps the group and the permission bits of the one it replaces, or, where the group
/// cannot be kept, those bits but the group's; a new one gets `0o666` without the bits of the
/// umask. Owner, access lists and hard links are not carried over. If the target is a symbolic
/// link, what it leads to is replaced and the link stays, unless someone else has put the link
/// into a directory like `/tmp`: that is refused, as by `fs.protected_symlinks`. Directories,
/// devices and FIFOs are refused: nothing is renamed over `/dev/null`.
///
/// The directory must be readable, since it is opened to be made durable. A file system that has
/// no way to do that (`EINVAL`, `ENOTSUP`) is taken at its word; for the contents the same answers
/// are errors.
///
/// ```
/// use std::io::Write;
/// use tidegate_fs_walk::AtomicWriter;
///
/// let path = std::env::temp_dir().join(format!("tidegate-doc-{}", std::process::id()));
/// let mut writer = AtomicWriter::create(&path)?;
/// writer.write_all(b"all or nothing")?;
/// assert!(!path.exists());
/// writer.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"all or nothing");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "nothing is written unless it is committed"]
pub struct AtomicWriter {
    path: PathBuf,
    temp: Temp,
    name: Vec<u8>,
    file: OwnedFd,
    overwrite: Overwrite,
    buffer: Vec<u8>,
    failed: bool,
}

/// The temporary file, removed when this goes while it still has its name.
struct Temp {
    sys: Sys,
    dir: OwnedFd,
    name: Option<Vec<u8>>,
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // Nothing can be done about it here, and the target is untouched.
            let _ = self.sys.unlink_at(self.dir.as_fd(), &name);
        }
    }
}

impl AtomicWriter {
    /// Starts writing what is to become the file `path`, replacing one that is there.
    ///
    /// # Errors
    ///
    /// As [`AtomicWriterOptions::create`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, AtomicWriterError> {
        Self::options().create(path)
    }

    /// For a writer that does not replace.
    pub fn options() -> AtomicWriterOptions {
        AtomicWriterOptions::default()
    }

    /// The path to be written, as the caller wrote it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what was written the contents of the file, durably.
    ///
    /// # Errors
    ///
    /// If any write before this failed, or a step of this fails. The old file is then untouched,
    /// unless the step is [`Step::SyncDir`].
    pub fn commit(mut self) -> Result<(), AtomicWriterError> {
        if let Err(error) = self.flush_buffer() {
            return Err(self.error(Step::Write, error));
        }
        if let Err(errno) = self.temp.sys.sync(self.file.as_fd(), b"file") {
            return Err(self.error(Step::Sync, errno.into()));
        }
        if let Err(errno) = self.rename() {
            return Err(self.error(Step::Rename, errno.into()));
        }
        self.temp.name = None;
        match self.temp.sys.sync(self.temp.dir.as_fd(), b"dir") {
            // Some file systems have no way to do it, and say so.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(self.error(Step::SyncDir, errno.into())),
        }
    }

    /// Gives up what was written. Dropping the writer does the same, without the error.
    ///
    /// # Errors
    ///
    /// If the temporary file cannot be removed.
    pub fn discard(mut self) -> io::Result<()> {
        match self.temp.name.take() {
            Some(name) => Ok(self.temp.sys.unlink_at(self.temp.dir.as_fd(), &name)?),
            None => Ok(()),
        }
    }

    fn rename(&mut self) -> Result<(), Errno> {
        let Temp { sys, dir, name: Some(temp) } = &mut self.temp else { return Ok(()) };
        let dir = dir.as_fd();
        match self.overwrite {
            Overwrite::Replace => sys.rename_at(dir, temp, &self.name),
            Overwrite::Refuse => match sys.rename_new_at(dir, temp, &self.name) {
                // A file system without such a rename: a link refuses as well.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    sys.link_at(dir, temp, &self.name)?;
                    // The file is in place; a second name for it does no harm.
                    let _ = sys.unlink_at(dir, temp);
                    Ok(())
                }
                other => other,
            },
        }
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("a write to this file failed before"));
        }
        let mut written = 0;
        while written < self.buffer.len() {
            match self.temp.sys.write(self.file.as_fd(), &self.buffer[written..]) {
                Ok(0) => return self.fail(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(errno) => return self.fail(errno.into()),
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// After a failure nobody knows what is in the file: it is not going to be committed.
    fn fail(&mut self, error: io::Error) -> io::Result<()> {
        self.failed = true;
        self.buffer.clear();
        Err(error)
    }

    fn error(&self, step: Step, error: io::Error) -> AtomicWriterError {
        AtomicWriterError { path: self.path.clone(), step, error }
    }
}

impl Write for AtomicWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed || self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        let taken = bytes.len().min(BUFFER);
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffer()
    }
}

impl fmt::Debug for AtomicWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where to write to, and what is there.
struct Target {
    dir: OwnedFd,
    name: Vec<u8>,
    old: Option<Stat>,
}

fn resolve(sys: &Sys, path: &Path, overwrite: Overwrite) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let bytes = path.as_os_str().as_bytes();
        if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let dir = sys.open_dir(rustix::fs::CWD, parent.as_os_str().as_bytes(), true)?;
        let stat = match sys.stat_at(dir.as_fd(), name.as_bytes(), false) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                return Ok(Target { dir, name: name.into_vec(), old: None });
            }
            Err(errno) => return Err(errno.into()),
        };
        match FileType::of(&stat) {
            // Also a link that leads nowhere, as when a file is created exclusively.
            _ if overwrite == Overwrite::Refuse => return Err(io::ErrorKind::AlreadyExists.into()),
            FileType::Symlink => {
                may_follow(&stat, &sys.fstat(&dir)?)?;
                let target = sys.read_link(dir.as_fd(), name.as_bytes())?;
                path = parent.join(OsStr::from_bytes(&target));
            }
            FileType::File => {
                return Ok(Target { dir, name: name.into_vec(), old: Some(stat) });
            }
            FileType::Dir => return Err(io::ErrorKind::IsADirectory.into()),
            _ => {
                let message = "not a regular file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
    }
    Err(Errno::LOOP.into())
}

/// The rule of `fs.protected_symlinks`, which the system does not apply to links that are read:
/// in `/tmp` and its kind, a link that someone else has put there is not followed.
fn may_follow(link: &Stat, dir: &Stat) -> Result<(), Errno> {
    const STICKY_AND_WRITABLE_BY_ALL: u32 = 0o1002;
    let shared = dir.st_mode & STICKY_AND_WRITABLE_BY_ALL == STICKY_AND_WRITABLE_BY_ALL;
    let own = link.st_uid == rustix::process::geteuid().as_raw() || link.st_uid == dir.st_uid;
    if shared && !own { Err(Errno::ACCESS) } else { Ok(()) }
}

fn create_temp(sys: &Sys, dir: &OwnedFd, old: Option<&Stat>) -> io::Result<(Vec<u8>, OwnedFd)> {
    for _ in 0..NAMES_MAX {
        // Each instance has other keys, from random ones of the thread.
        let random = RandomState::new().build_hasher().finish();
        let name = format!(".tidegate-{random:016x}.tmp").into_bytes();
        // Nobody else reads what replaces a private file, at no moment.
        let file = match sys.create_new(dir.as_fd(), &name, old.map_or(0o666, |_| 0o600)) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if let Some(old) = old {
            if let Err(errno) = take_over(sys, &file, old) {
                let _ = sys.unlink_at(dir.as_fd(), &name);
                return Err(errno.into());
            }
        }
        return Ok((name, file));
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Gives a new file the group and the permissions of the one it replaces. What that allowed its
/// group is not allowed to another one.
fn take_over(sys: &Sys, file: &OwnedFd, old: &Stat) -> Result<(), Errno> {
    let mut mode = old.st_mode & 0o777;
    if sys.fstat(file)?.st_gid != old.st_gid && sys.chgrp(file.as_fd(), old.st_gid).is_err() {
        mode &= !0o070;
    }
    sys.chmod(file.as_fd(), mode)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
