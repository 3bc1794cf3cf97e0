//! The system calls that write files.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags};
use rustix::io::retry_on_intr;

use super::{Call, Errno, Sys};

impl Sys {
    /// Creates a file that must not exist.
    pub(crate) fn create_new(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        mode: u32,
    ) -> Result<OwnedFd, Errno> {
        self.fault(Call::Create, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        retry_on_intr(|| rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, mode))
    }

    pub(crate) fn chmod(&self, fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
        self.fault(Call::Chmod, b"")?;
        retry_on_intr(|| rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)))
    }

    pub(crate) fn chgrp(&self, fd: BorrowedFd<'_>, gid: u32) -> Result<(), Errno> {
        self.fault(Call::Chgrp, b"")?;
        retry_on_intr(|| rustix::fs::fchown(fd, None, Some(Gid::from_raw(gid))))
    }

    pub(crate) fn write(&self, fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        self.fault(Call::Write, b"")?;
        retry_on_intr(|| rustix::io::write(fd, bytes))
    }

    /// Makes a file or a directory durable; `what` is for tests.
    pub(crate) fn sync(&self, fd: BorrowedFd<'_>, what: &[u8]) -> Result<(), Errno> {
        self.fault(Call::Sync, what)?;
        retry_on_intr(|| rustix::fs::fsync(fd))
    }

    pub(crate) fn rename_at(
        &self,
        at: BorrowedFd<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), Errno> {
        self.fault(Call::Rename, to)?;
        rustix::fs::renameat(at, from, at, to)
    }

    /// Renames to a name that must not exist.
    pub(crate) fn rename_new_at(
        &self,
        at: BorrowedFd<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), Errno> {
        self.fault(Call::Rename, to)?;
        rustix::fs::renameat_with(at, from, at, to, RenameFlags::NOREPLACE)
    }

    pub(crate) fn link_at(&self, at: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        self.fault(Call::Link, to)?;
        rustix::fs::linkat(at, from, at, to, AtFlags::empty())
    }

    pub(crate) fn unlink_at(&self, at: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        self.fault(Call::Unlink, name)?;
        rustix::fs::unlinkat(at, name, AtFlags::empty())
    }

    pub(crate) fn read_link(&self, at: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.fault(Call::ReadLink, name)?;
        rustix::fs::readlinkat(at, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }
}
