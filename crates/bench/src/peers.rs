//! How the peers do the same work, and the contenders that are measured as whole processes.

use ignore::{DirEntry, WalkBuilder, WalkState};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use tidegate_fs_walk::{EntryRef, Flow, OpenedFile, Walk, WalkError};

/// Runs one contender on one path, and prints what it counted or what it would print.
pub(crate) fn solo(contender: &str, path: &Path) {
    let count = match contender {
        "visit-hash" => return visit_hash(path, 2),
        "walk" => walk(path, 2),
        "walk-1" => walk(path, 1),
        "ignore" => ignore(path, 2),
        "ignore-hash" => ignore_hash(path, 2),
        "nothing" => 0,
        other => panic!("no contender is called {other}"),
    };
    println!("{count}");
}

/// Entries below `path` by our visitor.
pub(crate) fn walk(path: &Path, threads: usize) -> u64 {
    let entries = AtomicU64::new(0);
    Walk::new(path)
        .threads(threads)
        .visit(|_thread| {
            let mut counted = Counted { entries: &entries, own: 0 };
            move |entry: Result<EntryRef<'_>, WalkError>| {
                counted.add(entry.unwrap().depth() > 0);
                Flow::Continue
            }
        })
        .unwrap();
    entries.into_inner()
}

/// A counter of one thread, added to the total when the thread is done.
struct Counted<'a> {
    entries: &'a AtomicU64,
    own: u64,
}

impl Counted<'_> {
    fn add(&mut self, counts: bool) {
        self.own += u64::from(counts);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.entries.fetch_add(self.own, Ordering::Relaxed);
    }
}

fn unfiltered(path: &Path, threads: usize) -> WalkBuilder {
    let mut builder = WalkBuilder::new(path);
    builder.standard_filters(false).threads(threads);
    builder
}

/// Entries below `path` by the parallel walker of the `ignore` crate.
pub(crate) fn ignore(path: &Path, threads: usize) -> u64 {
    let entries = AtomicU64::new(0);
    unfiltered(path, threads).build_parallel().run(|| {
        let mut counted = Counted { entries: &entries, own: 0 };
        Box::new(move |entry| {
            counted.add(entry.unwrap().depth() > 0);
            WalkState::Continue
        })
    });
    entries.into_inner()
}

/// Files below `path`, read whole and hashed in the visitor of the `ignore` crate: what a
/// careful user of that crate would write.
pub(crate) fn ignore_hash(path: &Path, threads: usize) -> u64 {
    let files = AtomicU64::new(0);
    unfiltered(path, threads).build_parallel().run(|| {
        let mut counted = Counted { entries: &files, own: 0 };
        Box::new(move |entry| {
            let entry: DirEntry = entry.unwrap();
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                std::hint::black_box(blake3::hash(&fs::read(entry.path()).unwrap()));
                counted.add(true);
            }
            WalkState::Continue
        })
    });
    files.into_inner()
}

/// Prints the sums of all files below `path` from the visitor of our walk: what is left of
/// `treesum scan` without a pipeline, an order, a report of errors and a way to stop.
fn visit_hash(path: &Path, threads: usize) {
    const CHUNK: usize = 64 << 10;
    const PAGE: usize = 4096;
    Walk::new(path)
        .threads(threads)
        .visit(|_thread| {
            let mut memory = vec![0; CHUNK + PAGE];
            let start = memory.as_ptr().align_offset(PAGE);
            let mut lines = Lines(Vec::new());
            move |entry: Result<EntryRef<'_>, WalkError>| {
                let entry = entry.unwrap();
                if entry.file_type().is_file() {
                    let sum = sum(entry.open().unwrap(), &mut memory[start..][..CHUNK]);
                    lines.add(&sum, &entry);
                }
                Flow::Continue
            }
        })
        .unwrap();
}

fn sum(mut file: OpenedFile, buffer: &mut [u8]) -> blake3::Hash {
    let mut left = usize::try_from(file.len()).unwrap();
    if left < buffer.len() {
        let read = file.read(&mut buffer[..left]).unwrap();
        return blake3::hash(&buffer[..read]);
    }
    let mut hasher = blake3::Hasher::new();
    while left > 0 {
        let want = left.min(buffer.len());
        let read = file.read(&mut buffer[..want]).unwrap();
        hasher.update(&buffer[..read]);
        left -= read;
    }
    hasher.finalize()
}

/// The lines of one thread, printed in pieces.
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, sum: &blake3::Hash, entry: &EntryRef<'_>) {
        self.0.extend_from_slice(sum.to_hex().as_bytes());
        self.0.extend_from_slice(b"  ");
        entry.write_path(&mut self.0);
        self.0.push(b'\n');
        if self.0.len() > 32 << 10 {
            self.print();
        }
    }

    fn print(&mut self) {
        io::stdout().lock().write_all(&self.0).unwrap();
        self.0.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.print();
    }
}

/// Entries below `path` by `walkdir`.
pub(crate) fn walkdir(path: &Path) -> u64 {
    walkdir::WalkDir::new(path).min_depth(1).into_iter().map(|entry| u64::from(entry.is_ok())).sum()
}

/// Entries below `path` by the recursion everybody writes with `tokio::fs`.
pub(crate) async fn tokio_fs(path: PathBuf) -> io::Result<u64> {
    let mut entries = 0;
    let mut pending = vec![path];
    while let Some(dir) = pending.pop() {
        let mut listing = tokio::fs::read_dir(dir).await?;
        while let Some(entry) = listing.next_entry().await? {
            entries += 1;
            if entry.file_type().await?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(entries)
}

/// Entries below `path` by `async-walkdir`.
pub(crate) async fn async_walkdir(path: &Path) -> u64 {
    use futures::StreamExt;
    async_walkdir::WalkDir::new(path)
        .map(|entry| u64::from(entry.is_ok()))
        .fold(0, async |a, b| a + b)
        .await
}
