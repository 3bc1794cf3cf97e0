//! The budget of open directories: which stay open, which are closed to make room, and how a
//! closed one is opened again.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::fs::Stat;
use tidegate_core::sync::{
    Arc, Condvar, Mutex, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::dir::{Base, Dir, OpenDir};
use crate::state::lock;
use crate::sys::{Errno, Sys, is_fd_shortage};

/// One look at a shortage of descriptors that nobody in the walk can end.
const SHORTAGE_WAIT: Duration = Duration::from_millis(10);
/// How many such looks before the shortage is reported.
const SHORTAGE_LOOKS_MAX: usize = 32;

/// No process has as many descriptors; what is computed from the limit does not overflow.
const LIMIT_MAX: usize = 1 << 30;

/// Directories kept open without a limit of the caller's: a quarter of what the process may have.
pub(crate) fn default_limit(nofile: u64) -> usize {
    usize::try_from(nofile / 4).unwrap_or(usize::MAX).clamp(2, 1024)
}

/// The cached descriptors of one walk, shared by its threads and by every entry it handed out.
#[derive(Debug)]
pub(crate) struct FdCache {
    pub(crate) sys: Sys,
    /// Cached directories at most, besides the roots and what each thread reads right now.
    limit: usize,
    cached: AtomicUsize,
    /// Cached directories, oldest first; closed ones are dropped from it in passing.
    ring: Mutex<VecDeque<Weak<OpenDir>>>,
    gate: Mutex<Gate>,
    freed: Condvar,
    waiting: AtomicUsize,
    /// Directories left open half read.
    paused: AtomicUsize,
    /// Looks left for the next shortage: one that lasted leaves less patience for the next.
    patience: AtomicUsize,
    stop: Arc<AtomicBool>,
    evictions: AtomicU64,
    reopens: AtomicU64,
}

/// Who may count on a descriptor becoming free.
#[derive(Debug, Default)]
struct Gate {
    /// Threads that hold a descriptor because they read a directory.
    reading: usize,
    /// A thread that holds nothing has its turn: two that try at once take from each other what
    /// would be enough for one.
    turn: bool,
}

/// What a caller of [`FdCache`] may wait for when descriptors run out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Holds nothing: may wait until the threads that read have finished their directory, or
    /// until the walk is stopped.
    Worker,
    /// May hold what the others wait for: waits for a bounded time only.
    Caller,
}

impl FdCache {
    pub(crate) fn new(sys: Sys, limit: usize, stop: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            sys,
            limit: limit.min(LIMIT_MAX),
            cached: AtomicUsize::new(0),
            ring: Mutex::new(VecDeque::new()),
            gate: Mutex::new(Gate::default()),
            freed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            paused: AtomicUsize::new(0),
            patience: AtomicUsize::new(SHORTAGE_LOOKS_MAX),
            stop,
            evictions: AtomicU64::new(0),
            reopens: AtomicU64::new(0),
        })
    }

    /// Directories closed to make room, and opened again, so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.evictions.load(Ordering::Relaxed), self.reopens.load(Ordering::Relaxed))
    }

    /// More roots than this are closed and opened again like any directory.
    pub(crate) fn pinned_max(&self) -> usize {
        (self.limit / 4).max(1)
    }

    /// Whether one more directory may stay open half read, which no eviction can close.
    pub(crate) fn may_pause(&self) -> bool {
        let more = |paused| (paused < self.pinned_max()).then_some(paused + 1);
        self.paused.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// It is read on.
    pub(crate) fn resumed(&self) {
        self.paused.fetch_sub(1, Ordering::Relaxed);
    }

    /// Opens the directory `node` for reading below its parent, and does `then` in it. A shortage
    /// there closes it again, so that nothing is held while it is waited for.
    pub(crate) fn open_dir<T>(
        &self,
        parent: &Arc<OpenDir>,
        node: &Dir,
        mut then: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<(OwnedFd, T), Errno> {
        self.with_base(parent, Patience::Worker, |base| {
            let fd = self.sys.open_dir(base.as_fd(), node.name(), node.via_link)?;
            let done = then(&fd)?;
            Ok((fd, done))
        })
    }

    /// Does something that needs descriptors of its own, by a thread that holds none.
    #[cfg_attr(not(feature = "gitignore"), expect(dead_code, reason = "only rules need it"))]
    pub(crate) fn persist<T>(
        &self,
        anchor: &Arc<OpenDir>,
        mut call: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.with_base(anchor, Patience::Worker, |_| call())
    }

    /// Opens the file `name` for reading and says what it is.
    pub(crate) fn open_file(
        &self,
        parent: &Arc<OpenDir>,
        name: &[u8],
        follow: bool,
    ) -> Result<(OwnedFd, Stat), Errno> {
        self.with_base(parent, Patience::Caller, |base| {
            let fd = self.sys.open_file(base.as_fd(), name, follow)?;
            let stat = self.sys.fstat(&fd)?;
            Ok((fd, stat))
        })
    }

    pub(crate) fn stat_at(
        &self,
        parent: &Arc<OpenDir>,
        name: &[u8],
        follow: bool,
    ) -> Result<Stat, Errno> {
        self.with_base(parent, Patience::Caller, |base| {
            self.sys.stat_at(base.as_fd(), name, follow)
        })
    }

    /// Runs `call` on the descriptor of `dir`, opening it again if it was evicted, and making
    /// room as long as descriptors run out. Nothing is held while it waits.
    fn with_base<T>(
        &self,
        dir: &Arc<OpenDir>,
        patience: Patience,
        mut call: impl FnMut(&Base) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut shortage = Shortage::default();
        let mut turn = None;
        loop {
            let result = self.base(dir).and_then(|base| call(&base));
            match result {
                Err(errno) if is_fd_shortage(errno) => {
                    if patience == Patience::Worker && turn.is_none() {
                        turn = Some(self.turn());
                    }
                    if !self.make_room(&mut shortage, patience) {
                        return Err(errno);
                    }
                }
                other => {
                    if shortage.looks > 0 && other.is_ok() {
                        self.patience.store(SHORTAGE_LOOKS_MAX, Ordering::Relaxed);
                    }
                    return other;
                }
            }
        }
    }

    fn base(&self, dir: &Arc<OpenDir>) -> Result<Base, Errno> {
        if dir.node.is_anchor() {
            return Ok(Base::WorkingDir);
        }
        match dir.node.fd() {
            Some(fd) => Ok(Base::Fd(fd)),
            None => self.reopen(dir).map(Base::Fd),
        }
    }

    /// Walks down from the nearest ancestor that is open, and makes sure to have arrived at the
    /// same directory as before.
    fn reopen(&self, dir: &Arc<OpenDir>) -> Result<Arc<OwnedFd>, Errno> {
        let mut below: Vec<&Arc<Dir>> = Vec::new();
        let mut base = Base::WorkingDir;
        for node in dir.node.chain() {
            if let Some(fd) = node.fd() {
                base = Base::Fd(fd);
                break;
            }
            below.push(node);
        }
        // Who opens one directory of a deep tree goes on to its neighbours, often upwards.
        let near = below.len().min(self.limit / 2);
        for (above, node) in below.iter().enumerate().rev() {
            let fd = Arc::new(self.sys.reopen_dir(base.as_fd(), node.name(), node.via_link)?);
            if above == 0 && !self.install(node, &fd)? {
                return Err(Errno::STALE);
            }
            if above > 0 && above < near {
                self.install(node, &fd)?;
            }
            base = Base::Fd(fd);
        }
        self.reopens.fetch_add(1, Ordering::Relaxed);
        match base {
            Base::Fd(fd) => Ok(fd),
            Base::WorkingDir => Err(Errno::STALE),
        }
    }

    /// Caches a directory that was opened again, if it is the one it was and anyone needs it.
    fn install(&self, node: &Arc<Dir>, fd: &Arc<OwnedFd>) -> Result<bool, Errno> {
        let (seal, user) = {
            let slot = lock(&node.slot);
            (slot.seal, slot.user.upgrade())
        };
        let (Some(seal), Some(user)) = (seal, user) else { return Ok(false) };
        if self.sys.seal(fd.as_fd())? != seal {
            return Ok(false);
        }
        lock(&node.slot).fd.get_or_insert_with(|| Arc::clone(fd));
        self.keep(&user);
        Ok(true)
    }

    /// Counts an open directory against the budget from now on, and evicts what exceeds it.
    pub(crate) fn keep(&self, dir: &Arc<OpenDir>) {
        if dir.node.pinned || dir.node.is_anchor() {
            return;
        }
        {
            let mut slot = lock(&dir.node.slot);
            if slot.fd.is_none() || slot.cached {
                return;
            }
            slot.cached = true;
        }
        self.cached.fetch_add(1, Ordering::Relaxed);
        {
            let mut ring = lock(&self.ring);
            if ring.len() > 2 * self.limit + 64 {
                ring.retain(|dir| dir.strong_count() > 0);
            }
            ring.push_back(Arc::downgrade(dir));
        }
        while self.cached.load(Ordering::Relaxed) > self.limit {
            if !self.evict_one() {
                break;
            }
        }
    }

    /// Closes the cached directory that was not used for longest, roughly (a clock).
    fn evict_one(&self) -> bool {
        let mut second_chances = lock(&self.ring).len();
        loop {
            let Some(oldest) = lock(&self.ring).pop_front() else { return false };
            // The last holder may be this very handle: it is dropped with no lock held.
            let Some(dir) = oldest.upgrade() else { continue };
            if second_chances > 0 && dir.node.used.swap(false, Ordering::Relaxed) {
                second_chances -= 1;
                lock(&self.ring).push_back(oldest);
                continue;
            }
            let evicted = {
                let mut slot = lock(&dir.node.slot);
                if !slot.cached {
                    continue;
                }
                slot.cached = false;
                if slot.seal.is_none() {
                    // Without it the directory is not opened again: its entries become errors.
                    slot.seal = slot.fd.as_ref().and_then(|fd| self.sys.seal(fd.as_fd()).ok());
                }
                slot.fd.take()
            };
            drop(evicted);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            self.closed(true);
            return true;
        }
    }

    /// A descriptor was closed; `cached` if it counted against the budget.
    pub(crate) fn closed(&self, cached: bool) {
        if cached {
            self.cached.fetch_sub(1, Ordering::Relaxed);
        }
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let _gate = lock(&self.gate);
            self.freed.notify_all();
        }
    }

    /// Marks the calling thread as one that holds a descriptor it is going to give back.
    pub(crate) fn reading(&self) -> Reading<'_> {
        lock(&self.gate).reading += 1;
        Reading(self)
    }

    /// Waits until no other thread that holds nothing tries to get a descriptor. The one before
    /// either gets it or gives up in bounded time.
    fn turn(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut gate = lock(&self.gate);
        while gate.turn && !self.stop.load(Ordering::Relaxed) {
            let waited = self.freed.wait_timeout(gate, SHORTAGE_WAIT);
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        // Stopped, it gives up before it tries again, and nobody tries after it.
        gate.turn = true;
        drop(gate);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Turn(self)
    }

    /// After a shortage: true to try again, false to report it.
    fn make_room(&self, shortage: &mut Shortage, patience: Patience) -> bool {
        // The entries handed out live on after the walk, and what the caller opens still counts.
        if patience == Patience::Worker && self.stop.load(Ordering::Relaxed) {
            return false;
        }
        // An eviction frees nothing while its descriptor is in use, hence the bound.
        if shortage.evictions <= self.limit + 8 && self.evict_one() {
            shortage.evictions += 1;
            return true;
        }
        if shortage.looks >= self.patience.load(Ordering::Relaxed) {
            let left = self.patience.load(Ordering::Relaxed) / 2;
            self.patience.store(left.max(1), Ordering::Relaxed);
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let gate = lock(&self.gate);
        if patience == Patience::Caller || gate.reading == 0 {
            shortage.looks += 1;
        }
        let waited = self.freed.wait_timeout(gate, SHORTAGE_WAIT);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        shortage.evictions = 0;
        true
    }
}

#[derive(Default)]
struct Shortage {
    evictions: usize,
    looks: usize,
}

/// See [`FdCache::reading`].
pub(crate) struct Reading<'a>(&'a FdCache);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        lock(&self.0.gate).reading -= 1;
        self.0.closed(false);
    }
}

/// See [`FdCache::turn`].
struct Turn<'a>(&'a FdCache);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.gate).turn = false;
        self.0.closed(false);
    }
}
