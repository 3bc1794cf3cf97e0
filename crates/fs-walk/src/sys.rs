//! Every system call of the walk, and nothing else: the one seam where a test, or later another
//! backend, can put failures.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType as RawType, Mode, OFlags, RawDir, RawDirEntry, Stat, StatxFlags, major,
    minor, statx,
};
pub(crate) use rustix::io::Errno;
use rustix::io::retry_on_intr;
use rustix::process::{Resource, getrlimit};

use crate::dir::{Identity, Seal};

#[cfg(all(test, not(tidegate_loom)))]
pub(crate) mod faults;
mod files;

/// Bytes of one `getdents64` buffer; measured: larger ones bring nothing.
pub(crate) const DIR_BUFFER: usize = 32 * 1024;

/// Names the call a fault plan may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    OpenDir,
    ReopenDir,
    OpenFile,
    ReadDir,
    Fstat,
    StatAt,
    ReadLink,
    Create,
    Chmod,
    Chgrp,
    Write,
    Sync,
    Rename,
    Link,
    Unlink,
    /// Not a failure: the entry's type reads as unknown.
    EntryType,
}

/// The system, or in tests the system with planned failures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sys {
    #[cfg(all(test, not(tidegate_loom)))]
    pub(crate) faults: Option<tidegate_core::sync::Arc<faults::Plan>>,
}

impl Sys {
    #[cfg(not(all(test, not(tidegate_loom))))]
    #[inline]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have a plan here")]
    fn fault(&self, _call: Call, _name: &[u8]) -> Result<(), Errno> {
        Ok(())
    }

    #[cfg(all(test, not(tidegate_loom)))]
    fn fault(&self, call: Call, name: &[u8]) -> Result<(), Errno> {
        self.faults.as_ref().map_or(Ok(()), |plan| plan.check(call, name))
    }

    /// Opens a directory for reading its entries.
    pub(crate) fn open_dir(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        follow: bool,
    ) -> Result<OwnedFd, Errno> {
        self.fault(Call::OpenDir, name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | no_follow(follow);
        retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))
    }

    /// Opens a directory as a base for other calls only, which needs no read permission.
    pub(crate) fn reopen_dir(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        follow: bool,
    ) -> Result<OwnedFd, Errno> {
        self.fault(Call::ReopenDir, name)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | no_follow(follow);
        retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))
    }

    /// Opens a file for reading without ever waiting for a peer of a FIFO or a terminal.
    pub(crate) fn open_file(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        follow: bool,
    ) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self.fault(Call::OpenFile, name).and_then(|()| {
            retry_on_intr(|| rustix::fs::openat(at, name, flags | no_follow(follow), Mode::empty()))
        });
        match opened {
            Err(Errno::WOULDBLOCK) => self.open_leased(at, name, follow),
            other => other,
        }
    }

    /// Opens a file that someone holds a lease on, as Samba does: only an open that waits makes
    /// the system call it back. That the file is a regular one is certain before.
    fn open_leased(&self, at: BorrowedFd<'_>, name: &[u8], follow: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | no_follow(follow);
        let file = retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))?;
        if RawType::from_raw_mode(self.fstat(&file)?.st_mode) != RawType::RegularFile {
            return Err(Errno::WOULDBLOCK);
        }
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        retry_on_intr(|| rustix::fs::open(path.as_str(), flags, Mode::empty()))
    }

    pub(crate) fn fstat(&self, fd: impl AsFd) -> Result<Stat, Errno> {
        self.fault(Call::Fstat, b"")?;
        retry_on_intr(|| rustix::fs::fstat(&fd))
    }

    /// What an open directory is to be recognised by.
    pub(crate) fn seal(&self, fd: BorrowedFd<'_>) -> Result<Seal, Errno> {
        self.fault(Call::Fstat, b"")?;
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        match retry_on_intr(|| statx(fd, c"", AtFlags::EMPTY_PATH, wanted)) {
            Ok(stat) => {
                let knows = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
                let born = (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec);
                Ok(Seal {
                    device: (stat.stx_dev_major, stat.stx_dev_minor),
                    ino: stat.stx_ino,
                    born: knows.then_some(born),
                })
            }
            // A kernel, or a sandbox, that is older than the call.
            Err(Errno::NOSYS) => {
                let stat = retry_on_intr(|| rustix::fs::fstat(fd))?;
                let ((dev, ino), born) = (identity_of(&stat), None);
                Ok(Seal { device: (major(dev), minor(dev)), ino, born })
            }
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn stat_at(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        follow: bool,
    ) -> Result<Stat, Errno> {
        self.fault(Call::StatAt, name)?;
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        retry_on_intr(|| rustix::fs::statat(at, name, flags | AtFlags::NO_AUTOMOUNT))
    }

    /// Reads the raw entries of an open directory through `buffer`.
    pub(crate) fn entries<'a>(
        &'a self,
        fd: BorrowedFd<'a>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Entries<'a> {
        Entries { raw: RawDir::new(fd, buffer), sys: self }
    }
}

fn no_follow(follow: bool) -> OFlags {
    if follow { OFlags::empty() } else { OFlags::NOFOLLOW }
}

/// One entry as the kernel listed it.
pub(crate) struct RawEntry<'a> {
    entry: RawDirEntry<'a>,
    type_known: bool,
}

impl RawEntry<'_> {
    #[inline]
    pub(crate) fn name(&self) -> &[u8] {
        self.entry.file_name().to_bytes()
    }

    #[inline]
    pub(crate) fn file_type(&self) -> RawType {
        if self.type_known { self.entry.file_type() } else { RawType::Unknown }
    }

    #[inline]
    pub(crate) fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

/// The entries of one directory, `.` and `..` among them.
pub(crate) struct Entries<'a> {
    raw: RawDir<'a, BorrowedFd<'a>>,
    sys: &'a Sys,
}

impl Entries<'_> {
    /// Whether the next call of [`next`](Self::next) asks the kernel.
    pub(crate) fn needs_read(&self) -> bool {
        self.raw.is_buffer_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Result<RawEntry<'_>, Errno>> {
        if self.raw.is_buffer_empty() {
            if let Err(errno) = self.sys.fault(Call::ReadDir, b"") {
                return Some(Err(errno));
            }
        }
        let entry = match self.raw.next()? {
            Ok(entry) => entry,
            Err(errno) => return Some(Err(errno)),
        };
        let type_known = self.sys.fault(Call::EntryType, entry.file_name().to_bytes()).is_ok();
        Some(Ok(RawEntry { entry, type_known }))
    }
}

/// Whether no descriptor was left, in the process or in the system.
pub(crate) fn is_fd_shortage(errno: Errno) -> bool {
    errno == Errno::MFILE || errno == Errno::NFILE
}

/// The soft limit of open descriptors of this process.
pub(crate) fn fd_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

pub(crate) fn identity_of(stat: &Stat) -> Identity {
    #[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
    (stat.st_dev.into(), stat.st_ino.into())
}
