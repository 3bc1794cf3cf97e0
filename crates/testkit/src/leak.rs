//! What a test left behind: tasks of its runtime, threads, file descriptors and children of the
//! process.

mod proc;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use tokio::runtime::Handle;

use self::proc::{children, fds, threads};
use crate::clock;

/// Linux cuts thread names (`/proc/self/task/*/comm`) to this many bytes.
const COMM_LEN: usize = 15;

/// How long to wait between two looks, in real time.
const POLL: Duration = Duration::from_micros(200);

/// Remembers what is alive now, and says later what is alive in excess of that.
///
/// Tasks are counted per runtime, so that tests of one process do not disturb each other. The
/// count is a net one: a task from before that has ended makes up for one that is left over, so
/// take the guard when nothing else runs.
/// Threads, file descriptors and child processes belong to the process: ask for them by name
/// ([`threads_named`](Self::threads_named), [`fds_under`](Self::fds_under),
/// [`children_named`](Self::children_named)) where other tests run at the same time.
///
/// Closures of `spawn_blocking` are not in tokio's count of tasks, and idle threads of its
/// blocking pool stay for 10 s by default: both are invisible to the task count.
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::LeakGuard;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let guard = LeakGuard::current().threads_named("tidegate-");
/// // ... the code under test ...
/// guard.verify(Duration::from_millis(50)).await.unwrap();
/// # });
/// ```
#[derive(Debug)]
#[must_use = "a leak guard finds nothing until `verify` is called"]
pub struct LeakGuard {
    tasks: Option<(Handle, usize)>,
    threads: Option<Watch<Vec<u8>, BTreeMap<u64, String>>>,
    fds: Option<Watch<PathBuf, BTreeSet<LeakedFd>>>,
    children: Option<Watch<Vec<u8>, BTreeMap<u64, String>>>,
}

/// A snapshot of what passed the filter; `None` in `prefix` lets everything pass.
#[derive(Debug)]
struct Watch<P, S> {
    prefix: Option<P>,
    before: io::Result<S>,
}

impl<P, S> Watch<P, S> {
    /// Takes a second snapshot and hands both to `new`, unless either could not be taken.
    fn compare<Q: ?Sized>(
        &self,
        take: impl FnOnce(Option<&Q>) -> io::Result<S>,
        new: impl FnOnce(&S, S),
    ) -> Result<(), String>
    where
        P: std::ops::Deref<Target = Q>,
    {
        let before = self.before.as_ref().map_err(ToString::to_string)?;
        let now = take(self.prefix.as_deref()).map_err(|error| error.to_string())?;
        new(before, now);
        Ok(())
    }
}

impl LeakGuard {
    /// Watches the tasks of the runtime that runs this code.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn current() -> Self {
        let handle = Handle::current();
        let alive = handle.metrics().num_alive_tasks();
        Self { tasks: Some((handle, alive)), threads: None, fds: None, children: None }
    }

    /// Lets so many tasks be left over.
    pub fn allow_tasks(mut self, tasks: usize) -> Self {
        if let Some((_, alive)) = &mut self.tasks {
            *alive = alive.saturating_add(tasks);
        }
        self
    }

    /// Watches nothing yet; for tests without a runtime.
    pub fn process() -> Self {
        Self { tasks: None, threads: None, fds: None, children: None }
    }

    /// Watches all threads of the process.
    pub fn threads(mut self) -> Self {
        self.threads = Some(Watch { prefix: None, before: threads(None) });
        self
    }

    /// Watches threads whose name starts with `prefix` (of which Linux keeps 15 bytes). They have it
    /// when they begin to run.
    pub fn threads_named(mut self, prefix: &str) -> Self {
        let prefix = comm(prefix);
        let before = threads(Some(&prefix));
        self.threads = Some(Watch { prefix: Some(prefix), before });
        self
    }

    /// Watches all open file descriptors of the process.
    pub fn fds(mut self) -> Self {
        self.fds = Some(Watch { prefix: None, before: fds(None) });
        self
    }

    /// Watches file descriptors whose target (a path without symbolic links) is `path` or lies below it.
    pub fn fds_under(mut self, path: impl Into<PathBuf>) -> Self {
        let prefix = path.into();
        let before = fds(Some(&prefix));
        self.fds = Some(Watch { prefix: Some(prefix), before });
        self
    }

    /// Watches all child processes of the process: those that run, and those that have ended and that
    /// nobody has waited for.
    ///
    /// ```
    /// use std::{process::Command, time::Duration};
    /// use tidegate_testkit::LeakGuard;
    ///
    /// # if cfg!(all(target_os = "linux", not(miri))) {
    /// let guard = LeakGuard::process().children_named("true");
    /// let mut child = Command::new("true").spawn().unwrap();
    /// child.wait().unwrap();
    /// guard.verify_blocking(Duration::from_secs(10)).unwrap();
    /// # }
    /// ```
    pub fn children(mut self) -> Self {
        self.children = Some(Watch { prefix: None, before: children(None) });
        self
    }

    /// Watches child processes whose name, that of their program, starts with `prefix` (of which
    /// Linux keeps 15 bytes). They have it a moment after they were started.
    pub fn children_named(mut self, prefix: &str) -> Self {
        let prefix = comm(prefix);
        let before = children(Some(&prefix));
        self.children = Some(Watch { prefix: Some(prefix), before });
        self
    }

    /// Waits until nothing is left over, for `grace` at most.
    ///
    /// The grace has run out when it has by both clocks, tokio's and the real one: tasks may
    /// wait on a paused clock, which moves here, while threads need real time to end.
    /// [`Duration::MAX`] waits for ever.
    ///
    /// # Errors
    /// [`Leak`] lists what is still alive after `grace`, or why it could not be counted.
    ///
    /// # Panics
    /// If the runtime has no timer (`enable_time`).
    ///
    /// # Cancel safety
    /// Nothing is changed by waiting; dropping the future drops the guard unverified. Tested by
    /// `a_verification_that_is_dropped_has_changed_nothing`.
    pub async fn verify(self, grace: Duration) -> Result<(), Leak> {
        self.wait(grace).await
    }

    pub(crate) async fn wait(&self, grace: Duration) -> Result<(), Leak> {
        // No end, if it lies beyond what the clock can say.
        let real_end = clock::now().checked_add(grace);
        let end = tokio::time::Instant::now().checked_add(grace);
        loop {
            let Err(leak) = self.look() else { return Ok(()) };
            let real_over = real_end.is_some_and(|end| clock::now() >= end);
            let over = end.is_some_and(|end| tokio::time::Instant::now() >= end);
            if (real_over && over) || leak.unavailable.is_some() {
                return Err(leak);
            }
            if over {
                tokio::task::yield_now().await;
                clock::pause(POLL);
            } else {
                let before = clock::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                if clock::now() < before + POLL && !real_over {
                    clock::pause(POLL);
                }
            }
        }
    }

    /// As [`verify`](Self::verify), for code outside a runtime; waits in real time.
    ///
    /// # Errors
    /// [`Leak`] lists what is still alive after `grace`, or why it could not be counted.
    pub fn verify_blocking(self, grace: Duration) -> Result<(), Leak> {
        let end = clock::now().checked_add(grace);
        loop {
            let Err(leak) = self.look() else { return Ok(()) };
            if end.is_some_and(|end| clock::now() >= end) || leak.unavailable.is_some() {
                return Err(leak);
            }
            clock::pause(POLL);
        }
    }

    /// What is left over now.
    pub(crate) fn look(&self) -> Result<(), Leak> {
        let mut leak = Leak::default();
        let mut unavailable = Vec::new();
        if let Some((handle, before)) = &self.tasks {
            leak.tasks = handle.metrics().num_alive_tasks().saturating_sub(*before);
        }
        if let Some(watch) = &self.threads {
            let new = |before: &BTreeMap<u64, String>, now: BTreeMap<u64, String>| {
                let new = now.into_iter().filter(|(tid, _)| !before.contains_key(tid));
                leak.threads = new.map(|(tid, name)| LeakedThread { tid, name }).collect();
            };
            if let Err(error) = watch.compare(threads, new) {
                unavailable.push(format!("threads: {error}"));
            }
        }
        if let Some(watch) = &self.fds {
            let new = |before: &BTreeSet<LeakedFd>, now: BTreeSet<LeakedFd>| {
                leak.fds = now.difference(before).cloned().collect();
            };
            if let Err(error) = watch.compare(fds, new) {
                unavailable.push(format!("file descriptors: {error}"));
            }
        }
        if let Some(watch) = &self.children {
            let new = |before: &BTreeMap<u64, String>, now: BTreeMap<u64, String>| {
                let new = now.into_iter().filter(|(pid, _)| !before.contains_key(pid));
                leak.children = new.map(|(pid, name)| LeakedChild { pid, name }).collect();
            };
            if let Err(error) = watch.compare(children, new) {
                unavailable.push(format!("child processes: {error}"));
            }
        }
        leak.unavailable = (!unavailable.is_empty()).then(|| unavailable.join("; "));
        if leak.is_empty() { Ok(()) } else { Err(leak) }
    }
}

/// What was alive after the grace period and had not been before.
///
/// Its `Debug` form, which `unwrap` shows, is its `Display` form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Leak {
    tasks: usize,
    threads: Vec<LeakedThread>,
    fds: Vec<LeakedFd>,
    children: Vec<LeakedChild>,
    unavailable: Option<String>,
}

/// A thread that is still alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakedThread {
    /// The kernel's number of the thread.
    pub tid: u64,
    /// Its name, cut to 15 bytes by Linux.
    pub name: String,
}

/// A child process that runs, or that nobody has waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakedChild {
    /// Its number.
    pub pid: u64,
    /// The name of its program, cut to 15 bytes by Linux.
    pub name: String,
}

/// A file descriptor that is still open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LeakedFd {
    /// The number.
    pub fd: u32,
    /// What it refers to: a path, or `socket:[inode]`, `pipe:[inode]`, `anon_inode:[eventfd]`.
    pub target: PathBuf,
}

impl Leak {
    /// How many tasks of the runtime are left over.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The threads that are left over.
    #[must_use]
    pub fn threads(&self) -> &[LeakedThread] {
        &self.threads
    }

    /// The file descriptors that are left over.
    #[must_use]
    pub fn fds(&self) -> &[LeakedFd] {
        &self.fds
    }

    /// The child processes that are left over.
    #[must_use]
    pub fn children(&self) -> &[LeakedChild] {
        &self.children
    }

    /// Why something could not be counted (no `/proc`), if so.
    #[must_use]
    pub fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    fn is_empty(&self) -> bool {
        self.tasks == 0
            && self.threads.is_empty()
            && self.fds.is_empty()
            && self.children.is_empty()
            && self.unavailable.is_none()
    }
}

impl fmt::Debug for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left behind:")?;
        let mut separator = " ";
        let mut part = |f: &mut fmt::Formatter<'_>| {
            let written = f.write_str(separator);
            separator = "; ";
            written
        };
        if self.tasks > 0 {
            part(f)?;
            write!(f, "{} task(s)", self.tasks)?;
        }
        if !self.threads.is_empty() {
            part(f)?;
            write!(f, "{} thread(s)", self.threads.len())?;
            for thread in &self.threads {
                write!(f, " {:?}", thread.name)?;
            }
        }
        if !self.fds.is_empty() {
            part(f)?;
            write!(f, "{} file descriptor(s)", self.fds.len())?;
            for fd in &self.fds {
                write!(f, " {}={}", fd.fd, without_inode(&fd.target.to_string_lossy()))?;
            }
        }
        if !self.children.is_empty() {
            part(f)?;
            write!(f, "{} child process(es)", self.children.len())?;
            for child in &self.children {
                write!(f, " {:?}", child.name)?;
            }
        }
        if let Some(why) = &self.unavailable {
            part(f)?;
            write!(f, "could not count {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Leak {}

/// As much of a name as Linux keeps.
fn comm(name: &str) -> Vec<u8> {
    let bytes = name.as_bytes();
    bytes.get(..COMM_LEN).unwrap_or(bytes).to_vec()
}

/// Without the number of a socket or a pipe, which is another in each run.
fn without_inode(target: &str) -> &str {
    let kind = target.strip_suffix(']').and_then(|target| target.rsplit_once(":["));
    let is_number = |inode: &str| inode.bytes().all(|byte| byte.is_ascii_digit());
    kind.filter(|(_, inode)| is_number(inode)).map_or(target, |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the text of the same leak would be another each time.
    #[test]
    fn numbers_of_the_kernel_are_left_out() {
        let text = |target: &str| {
            let fd = LeakedFd { fd: 7, target: target.into() };
            Leak { fds: vec![fd], ..Leak::default() }.to_string()
        };
        assert_eq!(text("socket:[12345]"), "left behind: 1 file descriptor(s) 7=socket");
        assert_eq!(
            text("anon_inode:[eventfd]"),
            "left behind: 1 file descriptor(s) 7=anon_inode:[eventfd]"
        );
        assert_eq!(text("/a/b:[1]c"), "left behind: 1 file descriptor(s) 7=/a/b:[1]c");
    }

    #[test]
    fn unwrap_shows_the_text() {
        let leak = Leak { tasks: 2, ..Leak::default() };
        assert_eq!(format!("{leak:?}"), "left behind: 2 task(s)");
    }

    #[test]
    fn all_that_cannot_be_counted_is_told() {
        let guard = LeakGuard {
            tasks: None,
            threads: Some(Watch { prefix: None, before: Err(io::Error::other("no /proc")) }),
            fds: Some(Watch { prefix: None, before: Err(io::Error::other("no /proc")) }),
            children: Some(Watch { prefix: None, before: Err(io::Error::other("no /proc")) }),
        };
        let leak = guard.verify_blocking(Duration::ZERO).unwrap_err();
        let all = "threads: no /proc; file descriptors: no /proc; child processes: no /proc";
        assert_eq!(leak.unavailable(), Some(all));
    }
}
