//! Trees to walk, and what a naive recursion finds in them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::StreamExt;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, mkfifoat, openat};
use tidegate_fs_walk::{EntryRef, FileType, Flow, Order, Summary, Visitor, Walk, WalkError};
use tidegate_testkit::{Rng, Seed};

pub(crate) const ORDERS: [Order; 2] = [Order::Any, Order::Sorted];
pub(crate) const THREADS: [usize; 4] = [1, 2, 3, 8];

/// Numbers below a bound, from a seed that names a tree.
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).expect("below a usize")
    }
}

/// The seed of this run, printed so that a failure can be repeated.
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
pub(crate) fn seed(test: &str) -> u64 {
    let seed = Seed::from_env_or_new(test);
    println!("TIDEGATE_SEED={seed}");
    seed.value()
}

pub(crate) fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory for tests")
}

pub(crate) fn make(root: &Path, path: &str) -> PathBuf {
    let path_there = root.join(path);
    if path.ends_with('/') {
        fs::create_dir_all(&path_there).expect("a directory");
    } else {
        fs::create_dir_all(path_there.parent().expect("a parent")).expect("a directory");
        fs::write(&path_there, path).expect("a file");
    }
    path_there
}

/// A file name of any bytes but `/` and NUL, now and then one that sorts around `/`.
fn random_name(random: &mut Random) -> OsString {
    let longest = if random.below(20) == 0 { 60 } else { 6 };
    let len = 1 + random.below(longest);
    let byte = |random: &mut Random| match random.below(4) {
        0 => u8::try_from(1 + random.below(255)).expect("a byte"),
        1 => b"-./0"[random.below(4)],
        _ => b"ab"[random.below(2)],
    };
    let mut name: Vec<u8> =
        (0..len).map(|_| byte(random)).map(|b| if b == b'/' { b'.' } else { b }).collect();
    if name == b"." || name == b".." {
        name.push(b'x');
    }
    OsString::from_vec(name)
}

/// Fills `root` with entries of every kind.
pub(crate) fn random_tree(root: &Path, random: &mut Random, entries: usize) {
    let mut dirs = vec![root.to_owned()];
    let mut files = Vec::new();
    for _ in 0..entries {
        let path = dirs[random.below(dirs.len())].join(random_name(random));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match random.below(12) {
            0..4 if path.as_os_str().len() < 3000 => {
                fs::create_dir(&path).expect("a directory");
                dirs.push(path);
            }
            4 => {
                let target = match random.below(3) {
                    0 => PathBuf::from("nowhere"),
                    1 => dirs[random.below(dirs.len())].clone(),
                    _ => files.last().cloned().unwrap_or_else(|| PathBuf::from("nowhere")),
                };
                std::os::unix::fs::symlink(target, &path).expect("a link");
            }
            5 if !files.is_empty() => {
                fs::hard_link(&files[random.below(files.len())], &path).expect("a hard link");
            }
            6 => mkfifoat(CWD, &path, Mode::RUSR).expect("a FIFO"),
            7 if path.as_os_str().len() < 100 => drop(UnixListener::bind(&path).expect("a socket")),
            _ => {
                fs::write(&path, b"x").expect("a file");
                files.push(path);
            }
        }
    }
}

fn type_of(file_type: fs::FileType) -> FileType {
    if file_type.is_dir() {
        FileType::Dir
    } else if file_type.is_file() {
        FileType::File
    } else if file_type.is_symlink() {
        FileType::Symlink
    } else if file_type.is_fifo() {
        FileType::Fifo
    } else if file_type.is_socket() {
        FileType::Socket
    } else if file_type.is_char_device() {
        FileType::CharDevice
    } else {
        FileType::BlockDevice
    }
}

/// What a walk has to find: the path of each entry, and its kind.
pub(crate) type Found = HashMap<PathBuf, FileType>;

/// The naive recursion.
pub(crate) fn oracle(root: &Path) -> Found {
    fn recurse(path: &Path, found: &mut Found) {
        let meta = fs::symlink_metadata(path).expect("it is there");
        found.insert(path.to_owned(), type_of(meta.file_type()));
        if meta.is_dir() {
            for entry in fs::read_dir(path).expect("readable") {
                recurse(&entry.expect("readable").path(), found);
            }
        }
    }
    let mut found = Found::new();
    recurse(root, &mut found);
    found
}

/// The sorted order: whole paths, where a directory has a slash at its end.
pub(crate) fn in_order(found: &Found) -> Vec<PathBuf> {
    let key = |path: &Path, file_type: FileType| {
        let mut key = path.as_os_str().as_bytes().to_vec();
        if file_type.is_dir() {
            key.push(b'/');
        }
        key
    };
    let mut paths: Vec<_> = found.iter().map(|(path, t)| (key(path, *t), path.clone())).collect();
    paths.sort();
    paths.into_iter().map(|(_, path)| path).collect()
}

/// What a walk delivered, in the order of delivery.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) entries: Vec<(PathBuf, FileType)>,
    pub(crate) errors: Vec<WalkError>,
    pub(crate) summary: Summary,
}

impl Seen {
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.entries.iter().map(|(path, _)| path.clone()).collect()
    }

    /// As a set; panics if an entry came twice.
    pub(crate) fn found(&self) -> Found {
        let found: Found = self.entries.iter().cloned().collect();
        assert_eq!(found.len(), self.entries.len(), "no entry comes twice");
        found
    }

    /// Names relative to `root`, sorted.
    pub(crate) fn names(&self, root: &Path) -> Vec<String> {
        let relative = |path: &PathBuf| {
            let path = path.strip_prefix(root).expect("below the root");
            path.to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = self.entries.iter().map(|(path, _)| relative(path)).collect();
        names.sort();
        names
    }

    #[track_caller]
    pub(crate) fn expect_no_errors(self) -> Self {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self
    }
}

/// Collects on each thread, and hands over when the thread is done.
struct Collector<'a>(Seen, &'a Mutex<Seen>);

impl Visitor for Collector<'_> {
    fn entry(&mut self, entry: Result<EntryRef<'_>, WalkError>) -> Flow {
        match entry {
            Ok(entry) => self.0.entries.push((entry.path(), entry.file_type())),
            Err(error) => self.0.errors.push(error),
        }
        Flow::Continue
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        let mut all = self.1.lock().expect("no panic");
        all.entries.append(&mut self.0.entries);
        all.errors.append(&mut self.0.errors);
    }
}

pub(crate) fn visit(walk: &Walk) -> Seen {
    let all = Mutex::new(Seen::default());
    let summary =
        walk.visit(|_| Collector(Seen::default(), &all)).expect("nobody cancels this walk");
    let mut seen = all.into_inner().expect("no panic");
    assert_eq!(summary.entries, seen.entries.len() as u64);
    assert_eq!(summary.errors, seen.errors.len() as u64);
    assert_eq!(summary.entries, summary.files + summary.dirs + summary.symlinks + summary.others);
    seen.summary = summary;
    seen
}

/// On a runtime without any driver, which needs no descriptor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

pub(crate) fn stream(walk: &Walk) -> Seen {
    block_on(async {
        let mut seen = Seen::default();
        let mut stream = walk.stream();
        while let Some(entry) = stream.next().await {
            match entry {
                Ok(entry) => seen.entries.push((entry.path(), entry.file_type())),
                Err(error) => seen.errors.push(error),
            }
        }
        seen.summary = stream.summary();
        assert_eq!(seen.summary.entries, seen.entries.len() as u64);
        seen
    })
}

/// A directory below `root`, opened by walking down `names` one by one.
pub(crate) fn descend(root: &Path, names: impl IntoIterator<Item = &'static str>) -> OwnedFd {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut fd = openat(CWD, root, flags, Mode::empty()).expect("the root");
    for name in names {
        fd = openat(&fd, name, flags, Mode::empty()).expect("a directory on the way");
    }
    fd
}

/// A chain of `levels` directories `dir` below `root`, each with a file `f` beside it: deeper
/// than any path the system accepts.
pub(crate) fn chain(root: &Path, levels: usize, dir: &'static str) {
    let mut fd = descend(root, []);
    for _ in 0..levels {
        let write = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(&fd, "f", write, Mode::RUSR).expect("a file");
        mkdirat(&fd, dir, Mode::RWXU).expect("a directory");
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        fd = openat(&fd, dir, flags, Mode::empty()).expect("the new directory");
    }
}

/// Removes a tree deeper than a path can be.
pub(crate) fn remove_chain(root: &Path, dir: &'static str) {
    // Moving the rest of the chain up keeps every path short.
    let inner = root.join(dir);
    let (next, spare) = (inner.join(dir), root.join("spare"));
    while fs::symlink_metadata(&inner).is_ok() {
        if fs::symlink_metadata(&next).is_ok() {
            fs::rename(&next, &spare).expect("moved");
        }
        fs::remove_dir_all(&inner).expect("removed");
        if fs::symlink_metadata(&spare).is_ok() {
            fs::rename(&spare, &inner).expect("moved");
        }
    }
}

pub(crate) fn name_of(path: &Path) -> &OsStr {
    path.file_name().expect("a name")
}
