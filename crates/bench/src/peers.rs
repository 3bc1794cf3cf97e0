//! How the peers do the same work, and the contenders that are measured as whole processes.

use ignore::{DirEntry, WalkBuilder, WalkState};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use tidegate_fs_walk::{EntryRef, Flow, Walk, WalkError};

/// Runs one contender on one path.
pub(crate) fn solo(contender: &str, path: &Path) -> u64 {
    match contender {
        "walk" => walk(path, 2),
        "walk-1" => walk(path, 1),
        "ignore" => ignore(path, 2),
        "ignore-hash" => ignore_hash(path, 2),
        "nothing" => 0,
        other => panic!("no contender is called {other}"),
    }
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
