//! The number of directories that wait is bounded, whatever the shape of the tree.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use crate::{Flow, Walk};

const BOUND: usize = 64;
/// One system call lists fewer names of this length than this.
const PER_CALL: usize = 160;

/// `dirs` directories with long names, and `depth` times the same inside the first one.
fn wide(root: &Path, dirs: usize, depth: usize) -> usize {
    for i in 0..dirs {
        std::fs::create_dir(root.join(format!("{i:0>200}"))).expect("a directory");
    }
    let first = root.join(format!("{:0>200}", 0));
    dirs + if depth == 0 { 0 } else { wide(&first, dirs, depth - 1) }
}

#[test]
fn a_directory_of_many_subdirectories_does_not_queue_them_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let entries = 1 + wide(dir.path(), 1200, 2);
    for threads in [1, 2, 4] {
        for budget in [0, 100] {
            let walk = Walk::new(dir.path()).threads(threads).max_open_dirs(budget);
            let walk = walk.with(|config| config.waiting_max = BOUND);
            let seen = Mutex::new(HashSet::new());
            let summary = walk.for_each(|entry| {
                let path = entry.expect("readable").path();
                assert!(seen.lock().expect("no panic").insert(path), "no entry comes twice");
                Flow::Continue
            });
            let summary = summary.expect("not cancelled");
            assert_eq!(seen.into_inner().expect("no panic").len(), entries);
            // With no budget one directory may be left half read, and the two inside it not.
            let whole = if budget == 0 { 2 * 1200 } else { 0 };
            let most = BOUND + whole + PER_CALL * (3 + threads);
            let waiting = usize::try_from(summary.waiting_max).expect("few");
            assert!(
                waiting > 0 && waiting <= most,
                "{waiting} waited, {threads} threads, {budget}"
            );
        }
    }
}
