//! What to walk, and how.

use std::fmt;
use std::path::{Path, PathBuf};

use tidegate_core::{CancelToken, sync::Arc};

use crate::entry::EntryRef;
use crate::error::WalkError;
use crate::run::Run;
use crate::stream::WalkStream;
use crate::summary::Summary;
use crate::visit::{self, Flow, Visitor};

/// Which symbolic links to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Follow {
    /// None. A root that is a link is delivered as a link.
    Never,
    /// Those given as roots, and no others: the default, as in `walkdir` and `find -H`.
    #[default]
    Roots,
    /// All. A link that leads to a directory it is in is an error of kind
    /// [`Loop`](crate::WalkErrorKind::Loop); one that leads nowhere is delivered as a link.
    ///
    /// Only loops are cut: a directory that two links lead to is walked twice, and where many
    /// links cross, as below `/sys`, the number of paths grows with every crossing. Set
    /// [`Walk::max_depth`] there.
    All,
}

/// In which order entries are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// As they are found: fastest, different every time. Only this much is certain: a directory
    /// comes before its contents.
    #[default]
    Any,
    /// By the bytes of the whole path below each root, where a directory counts as its name with
    /// a slash: `a.txt`, `a` (a directory), `a/x`, `a0`. Roots come in the order they were given.
    /// The order does not depend on the number of threads, and errors have their place in it.
    ///
    /// Threads read ahead within [`Walk::window`]; the memory bound is that window plus the
    /// listings of the directories on the path to the current entry.
    Sorted,
}

/// What to do with an entry, as a filter decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Visit {
    /// Deliver it; if it is a directory, read it.
    Keep,
    /// Do not deliver it; if it is a directory, read it all the same.
    Omit,
    /// Neither.
    Prune,
}

pub(crate) type Filter = Arc<dyn Fn(&EntryRef<'_>) -> Visit + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) threads: usize,
    pub(crate) max_open_dirs: Option<usize>,
    pub(crate) min_depth: usize,
    pub(crate) max_depth: usize,
    pub(crate) same_file_system: bool,
    pub(crate) follow: Follow,
    pub(crate) order: Order,
    pub(crate) window: usize,
    /// Directories found and not yet read, in any order, above which no more are looked for.
    pub(crate) waiting_max: usize,
    pub(crate) hidden: bool,
    pub(crate) gitignore: bool,
    pub(crate) filter: Option<Filter>,
    pub(crate) cancel: Option<CancelToken>,
    #[cfg(all(test, not(tidegate_loom)))]
    pub(crate) sys: crate::sys::Sys,
}

/// A walk to be done, any number of times: cloning and changing it is cheap.
///
/// ```
/// use tidegate_fs_walk::{EntryRef, Flow, Visit, Walk};
///
/// let sources = Walk::new("src").filter(|entry| {
///     let keep = entry.file_type().is_dir() || entry.path().extension().is_some_and(|e| e == "rs");
///     if keep { Visit::Keep } else { Visit::Prune }
/// });
/// let summary = sources.max_depth(3).for_each(|entry| {
///     println!("{}", entry.expect("readable").path().display());
///     Flow::Continue
/// })?;
/// assert!(summary.files > 0);
/// # Ok::<(), tidegate_fs_walk::WalkError>(())
/// ```
#[derive(Clone)]
#[must_use = "a walk does nothing until it is visited or streamed"]
pub struct Walk {
    pub(crate) config: Arc<Config>,
}

impl Walk {
    /// A walk of the tree below `root`, which may also be a file. The path is used as written:
    /// entries come back as `root` with the names below it, and the empty path does not exist.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            config: Arc::new(Config {
                roots: vec![root.as_ref().to_owned()],
                threads: default_threads(),
                max_open_dirs: None,
                min_depth: 0,
                max_depth: usize::MAX,
                same_file_system: false,
                follow: Follow::default(),
                order: Order::default(),
                window: 32 * 1024,
                waiting_max: 4096,
                hidden: true,
                gitignore: false,
                filter: None,
                cancel: None,
                #[cfg(all(test, not(tidegate_loom)))]
                sys: crate::sys::Sys::default(),
            }),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Walks the tree below `root` as well.
    pub fn add_root(self, root: impl AsRef<Path>) -> Self {
        self.with(|config| config.roots.push(root.as_ref().to_owned()))
    }

    /// Uses at most `threads` threads, and at least one. The default is the number of processors
    /// available to the process, at most 12. Threads beyond the first are started only once there
    /// is work for them, so a small tree is walked by one.
    pub fn threads(self, threads: usize) -> Self {
        self.with(|config| config.threads = threads.max(1))
    }

    /// Keeps at most `dirs` directories open at once: those whose subdirectories are still to be
    /// read, and those whose entries are in the caller's hands. What exceeds it is closed, and
    /// opened again when needed, by way of the nearest ancestor that is open, and only if it is
    /// still the same directory.
    ///
    /// Each thread's current directory and the roots come on top. The default is a quarter of the
    /// process's limit of descriptors, at least 2 and at most 1024. When descriptors run out all
    /// the same, cached directories are closed whatever this says.
    pub fn max_open_dirs(self, dirs: usize) -> Self {
        self.with(|config| config.max_open_dirs = Some(dirs))
    }

    /// Delivers only entries at least `depth` levels below their root; a root is at 0. What is
    /// above is walked all the same.
    pub fn min_depth(self, depth: usize) -> Self {
        self.with(|config| config.min_depth = depth)
    }

    /// Goes at most `depth` levels below each root; 0 delivers the roots alone.
    pub fn max_depth(self, depth: usize) -> Self {
        self.with(|config| config.max_depth = depth)
    }

    /// Stays on the file system of each root: the directory another one is mounted on is
    /// delivered, but neither opened nor read. It costs one `stat` per directory.
    pub fn same_file_system(self, same: bool) -> Self {
        self.with(|config| config.same_file_system = same)
    }

    /// Which symbolic links to follow. [`Follow::All`] costs one `fstat` per directory and one
    /// `stat` per link.
    pub fn follow_links(self, follow: Follow) -> Self {
        self.with(|config| config.follow = follow)
    }

    /// In which order to deliver entries.
    pub fn order(self, order: Order) -> Self {
        self.with(|config| config.order = order)
    }

    /// How many entries [`Order::Sorted`] may read ahead of the one being delivered; about 70
    /// bytes each, and 250 more for a directory. The default is 32768.
    pub fn window(self, entries: usize) -> Self {
        self.with(|config| config.window = entries)
    }

    /// Whether to deliver entries whose name begins with a dot, and what is below them; a root is
    /// delivered whatever its name is. The default is true.
    pub fn hidden(self, hidden: bool) -> Self {
        self.with(|config| config.hidden = hidden)
    }

    /// Leaves out what `.gitignore` files name, and `.git` itself.
    ///
    /// The rules of a directory hold below it, the deeper ones win, and a pattern with `!` takes
    /// an entry back, though not from below an ignored directory, as in git. If a root is inside a
    /// repository, the files of its parents up to the repository count too, and
    /// `.git/info/exclude` last; a repository nested in the tree starts afresh. Rules hold without
    /// any repository as well. Not consulted: `core.excludesFile`, and what a `.git` *file* leads
    /// to. It costs two or three system calls per directory.
    #[cfg(feature = "gitignore")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gitignore")))]
    pub fn gitignore(self, gitignore: bool) -> Self {
        self.with(|config| config.gitignore = gitignore)
    }

    /// Asks `filter` about every entry, roots included, before it is delivered. It is called by
    /// several threads at once; a panic in it ends the walk and reaches the caller.
    ///
    /// It is asked once about each entry, so it may keep a state, such as the inodes it has seen.
    /// With [`Order::Sorted`] it is asked ahead of the delivery, when a directory has been read,
    /// and so also about entries below a directory that the visitor then skips.
    ///
    /// Only one filter is in force: the last one set.
    pub fn filter(self, filter: impl Fn(&EntryRef<'_>) -> Visit + Send + Sync + 'static) -> Self {
        self.with(|config| config.filter = Some(Arc::new(filter)))
    }

    /// Ends the walk when `token` is cancelled; its result says so, and why.
    pub fn cancel(self, token: CancelToken) -> Self {
        self.with(|config| config.cancel = Some(token))
    }

    /// Walks now, on the calling thread and others it starts and joins: each thread makes itself
    /// a visitor with `make`, from its index, and hands it what it finds.
    ///
    /// With [`Order::Sorted`] there is one visitor, on the calling thread; the others read ahead.
    /// A visitor gets no allocation per entry. To collect results, send them from the visitor, or
    /// from its `Drop`, which runs before this returns.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use tidegate_fs_walk::{EntryRef, Flow, Walk, WalkError};
    ///
    /// let bytes = AtomicU64::new(0);
    /// Walk::new("src").visit(|_thread| {
    ///     |entry: Result<EntryRef<'_>, WalkError>| {
    ///         if let Ok(Ok(metadata)) = entry.map(|entry| entry.metadata()) {
    ///             bytes.fetch_add(metadata.len(), Ordering::Relaxed);
    ///         }
    ///         Flow::Continue
    ///     }
    /// })?;
    /// assert!(bytes.into_inner() > 0);
    /// # Ok::<(), WalkError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Only that the walk was cancelled by the token of [`cancel`](Self::cancel). Every other
    /// error concerns one path and goes to the visitor.
    ///
    /// # Panics
    ///
    /// If a visitor or the filter panics: the other threads are stopped and joined, then the panic
    /// goes on in the calling thread.
    pub fn visit<V, F>(&self, make: F) -> Result<Summary, WalkError>
    where
        V: Visitor,
        F: Fn(usize) -> V + Sync,
    {
        visit::visit(Run::new(&self.config), &make)
    }

    /// Walks now, and hands everything to one function that is called by several threads at once.
    ///
    /// # Errors
    ///
    /// As [`visit`](Self::visit).
    ///
    /// # Panics
    ///
    /// As [`visit`](Self::visit).
    pub fn for_each<F>(&self, each: F) -> Result<Summary, WalkError>
    where
        F: Fn(Result<EntryRef<'_>, WalkError>) -> Flow + Sync,
    {
        self.visit(|_thread| |entry: Result<EntryRef<'_>, WalkError>| each(entry))
    }

    /// Walks on threads of its own and delivers entries as a [`Stream`](futures_core::Stream).
    ///
    /// Nothing is started before the first poll.
    #[must_use = "a stream does nothing until it is polled"]
    pub fn stream(&self) -> WalkStream {
        WalkStream::new(Run::new(&self.config))
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        f.debug_struct("Walk")
            .field("roots", &config.roots)
            .field("threads", &config.threads)
            .field("order", &config.order)
            .field("follow", &config.follow)
            .finish_non_exhaustive()
    }
}

/// More threads than this bring nothing to one disk and cost their start-up.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(12))
}

#[cfg(all(test, not(tidegate_loom)))]
mod fault_tests;
