//! A directory of the walk: its place in the tree, and its descriptor while one is open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use tidegate_core::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering},
};

use crate::fds::FdCache;
use crate::name::Name;
use crate::state::lock;

/// What makes a directory the same directory, whatever its path.
pub(crate) type Identity = (u64, u64);

/// What tells a directory also from one that was made later and got its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) device: (u32, u32),
    pub(crate) ino: u64,
    /// Seconds and nanoseconds; none where the file system does not keep it.
    pub(crate) born: Option<(i64, u32)>,
}

/// A node of the tree of directories. Names are stored once; a path is rebuilt from the chain.
///
/// The topmost node of every chain is the anchor: the working directory, with an empty name.
/// Its children are the roots, named by their whole path as the caller wrote it.
#[derive(Debug)]
pub(crate) struct Dir {
    parent: Option<Arc<Dir>>,
    name: Name,
    /// Depth of the entries in this directory; 0 for those of the anchor, which are the roots.
    pub(crate) child_depth: usize,
    /// Reached through a symbolic link that the walk follows.
    pub(crate) via_link: bool,
    /// Its descriptor stays open while any part of its tree is in use.
    pub(crate) pinned: bool,
    /// Used since the eviction clock passed.
    pub(crate) used: AtomicBool,
    pub(crate) slot: Mutex<Slot>,
}

/// The descriptor of a directory, and what it was when it had one.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) fd: Option<Arc<OwnedFd>>,
    /// Who needs it, while anyone does.
    pub(crate) user: Weak<OpenDir>,
    /// Recorded if links are followed, to find loops.
    pub(crate) id: Option<Identity>,
    /// Recorded when the descriptor is evicted, to find the same directory again.
    pub(crate) seal: Option<Seal>,
    /// Counted against the budget of the cache.
    pub(crate) cached: bool,
}

impl Dir {
    pub(crate) fn anchor() -> Arc<Self> {
        Arc::new(Self {
            parent: None,
            name: Name::new(b""),
            child_depth: 0,
            via_link: false,
            pinned: false,
            used: AtomicBool::new(false),
            slot: Mutex::new(Slot::default()),
        })
    }

    pub(crate) fn child(
        parent: &Arc<Self>,
        name: &[u8],
        via_link: bool,
        pinned: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(Arc::clone(parent)),
            name: Name::new(name),
            child_depth: parent.child_depth + 1,
            via_link,
            pinned,
            used: AtomicBool::new(false),
            slot: Mutex::new(Slot::default()),
        })
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    pub(crate) fn is_anchor(&self) -> bool {
        self.parent.is_none()
    }

    /// The open descriptor, marked as used.
    pub(crate) fn fd(&self) -> Option<Arc<OwnedFd>> {
        let fd = lock(&self.slot).fd.clone();
        if fd.is_some() {
            self.used.store(true, Ordering::Relaxed);
        }
        fd
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        lock(&self.slot).id
    }

    /// This directory and those above it, below the anchor.
    pub(crate) fn chain(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |dir| dir.parent()).filter(|dir| !dir.is_anchor())
    }

    /// Appends the path of this directory, or of `name` in it.
    pub(crate) fn write_path(self: &Arc<Self>, name: Option<&[u8]>, out: &mut Vec<u8>) {
        let needs_slash = |dir: &Self| !dir.name().is_empty() && !dir.name().ends_with(b"/");
        let mut len = name.map_or(0, <[u8]>::len);
        for (place, dir) in self.chain().enumerate() {
            let slash = (place > 0 || name.is_some()) && needs_slash(dir);
            len += dir.name().len() + usize::from(slash);
        }
        let start = out.len();
        out.resize(start + len, b'/');
        let mut end = out.len();
        if let Some(name) = name {
            out[end - name.len()..end].copy_from_slice(name);
            end -= name.len();
        }
        for (place, dir) in self.chain().enumerate() {
            end -= usize::from((place > 0 || name.is_some()) && needs_slash(dir));
            out[end - dir.name().len()..end].copy_from_slice(dir.name());
            end -= dir.name().len();
        }
        debug_assert_eq!(end, start);
    }

    pub(crate) fn path_of(self: &Arc<Self>, name: Option<&[u8]>) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStringExt;
        let mut bytes = Vec::new();
        self.write_path(name, &mut bytes);
        std::ffi::OsString::from_vec(bytes).into()
    }
}

impl Drop for Dir {
    /// Unlinks the chain in a loop: dropped by recursion, a deep tree overflows the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut dir| dir.parent.take());
        }
    }
}

/// A directory that something may still be opened in: its unread subdirectories and its entries
/// in the caller's hands hold this. The last one closes the descriptor.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(crate) node: Arc<Dir>,
    pub(crate) fds: Arc<FdCache>,
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        if self.node.pinned {
            return;
        }
        let (fd, cached) = {
            let mut slot = lock(&self.node.slot);
            if !std::ptr::eq(slot.user.as_ptr(), self) {
                // It is being read once more, and this is what is left of the first time.
                return;
            }
            (slot.fd.take(), std::mem::take(&mut slot.cached))
        };
        if fd.is_some() {
            drop(fd);
            self.fds.closed(cached);
        }
    }
}

/// A base for `*at` calls.
pub(crate) enum Base {
    WorkingDir,
    Fd(Arc<OwnedFd>),
}

impl AsFd for Base {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::WorkingDir => CWD,
            Self::Fd(fd) => fd.as_fd(),
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn path(dir: &Arc<Dir>, name: Option<&[u8]>) -> String {
        dir.path_of(name).to_string_lossy().into_owned()
    }

    #[test]
    fn paths_keep_the_root_as_written_and_double_no_slash() {
        let anchor = Dir::anchor();
        for (root, inner) in
            [("a", "a/b"), ("a/", "a/b"), ("/", "/b"), (".", "./b"), ("..", "../b")]
        {
            let root_dir = Dir::child(&anchor, root.as_bytes(), false, true);
            assert_eq!(path(&anchor, Some(root.as_bytes())), root);
            assert_eq!(path(&root_dir, None), root);
            assert_eq!(path(&root_dir, Some(b"b")), inner);
            let b = Dir::child(&root_dir, b"b", false, false);
            assert_eq!(path(&b, None), inner);
            assert_eq!(path(&b, Some(b"c")), format!("{inner}/c"));
        }
        assert_eq!(path(&anchor, None), "");
    }

    #[test]
    fn a_chain_of_100_000_directories_drops_without_overflow() {
        let mut dir = Dir::anchor();
        for _ in 0..100_000 {
            dir = Dir::child(&dir, b"d", false, false);
        }
        assert_eq!(dir.child_depth, 100_000);
        drop(dir);
    }
}
