//! What is delivered, and what is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidegate_fs_walk::{FileType, Flow, Visit, Walk};

use crate::tree::{ORDERS, make, name_of, stream, temp, visit};

fn tree() -> tempfile::TempDir {
    let dir = temp();
    for path in ["a/b/c/d", "a/e", ".h/i", "j", ".k", "l/"] {
        make(dir.path(), path);
    }
    dir
}

#[track_caller]
fn assert_names(root: &Path, walk: &Walk, expected: &[&str]) {
    for order in ORDERS {
        for threads in [1, 2] {
            let walk = walk.clone().order(order).threads(threads);
            assert_eq!(visit(&walk).expect_no_errors().names(root), expected, "{order:?}");
            assert_eq!(stream(&walk).expect_no_errors().names(root), expected, "{order:?}");
        }
    }
}

#[test]
fn depths() {
    let dir = tree();
    let walk = Walk::new(dir.path());
    let one = ["", ".h", ".k", "a", "j", "l"];
    assert_names(dir.path(), &walk.clone().max_depth(0), &[""]);
    assert_names(dir.path(), &walk.clone().max_depth(1), &one);
    assert_names(dir.path(), &walk.clone().min_depth(1).max_depth(1), &one[1..]);
    assert_names(dir.path(), &walk.clone().min_depth(3), &["a/b/c", "a/b/c/d"]);
    let summary = visit(&walk.min_depth(3)).summary;
    assert_eq!((summary.entries, summary.skipped.too_shallow), (2, 9));
}

#[test]
fn hidden_entries_and_what_is_below_them() {
    let dir = tree();
    let walk = Walk::new(dir.path()).hidden(false);
    assert_names(dir.path(), &walk, &["", "a", "a/b", "a/b/c", "a/b/c/d", "a/e", "j", "l"]);
    assert_eq!(visit(&walk).summary.skipped.hidden, 2);
    // A root is what was asked for, whatever its name is.
    let hidden = dir.path().join(".h");
    assert_names(dir.path(), &Walk::new(&hidden).hidden(false), &[".h", ".h/i"]);
}

#[test]
fn filter_keeps_omits_and_prunes() {
    let dir = tree();
    let walk = Walk::new(dir.path()).filter(|entry| match entry.file_name().to_str() {
        Some("b" | "j") => Visit::Omit,
        Some(".h") => Visit::Prune,
        _ => Visit::Keep,
    });
    assert_names(dir.path(), &walk, &["", ".k", "a", "a/b/c", "a/b/c/d", "a/e", "l"]);
    let skipped = visit(&walk).summary.skipped;
    assert_eq!((skipped.filtered, skipped.pruned), (2, 1));
    let nothing = Walk::new(dir.path()).filter(|_| Visit::Prune);
    assert_names(dir.path(), &nothing, &[]);
}

/// A filter that keeps the first name of each inode would lose what it is asked about again.
#[test]
fn a_filter_is_asked_once_about_each_entry() {
    let dir = temp();
    for i in 0..60 {
        make(dir.path(), &format!("{}/{}/{i}", i % 3, i % 7));
    }
    let expected = visit(&Walk::new(dir.path())).entries.len();
    for order in ORDERS {
        for window in [0, 1, 2, 3, 10, 1000] {
            for threads in [1, 2, 4] {
                let asked: Arc<Mutex<BTreeMap<PathBuf, usize>>> = Arc::default();
                let inside = Arc::clone(&asked);
                let walk = Walk::new(dir.path()).order(order).window(window).threads(threads);
                let walk = walk.filter(move |entry| {
                    *inside.lock().expect("no panic").entry(entry.path()).or_default() += 1;
                    Visit::Keep
                });
                for round in 1..=2 {
                    let seen = if round == 1 { visit(&walk) } else { stream(&walk) };
                    assert_eq!(seen.entries.len(), expected);
                    let asked = asked.lock().expect("no panic");
                    assert_eq!(asked.len(), expected);
                    let again = asked.iter().find(|(_, times)| **times != round);
                    assert_eq!(again, None, "{order:?} window {window} threads {threads}");
                }
            }
        }
    }
}

#[test]
fn a_visitor_skips_and_quits() {
    let dir = tree();
    for order in ORDERS {
        for threads in [1, 3] {
            let walk = Walk::new(dir.path()).order(order).threads(threads);
            let seen = Mutex::new(Vec::new());
            let summary = walk
                .for_each(|entry| {
                    let entry = entry.expect("readable");
                    seen.lock().expect("no panic").push(name_of(&entry.path()).to_owned());
                    if entry.file_name() == "b" { Flow::Skip } else { Flow::Continue }
                })
                .expect("not cancelled");
            let seen = seen.into_inner().expect("no panic");
            assert_eq!((seen.len(), summary.quit), (9, false), "all but c and d");
            assert!(!seen.iter().any(|name| name == "c"));

            let summary = walk.for_each(|_| Flow::Quit).expect("not cancelled");
            assert!(summary.quit && summary.entries == 1, "{summary:?}");
        }
    }
}

#[test]
fn a_mounted_file_system_is_delivered_and_not_read() {
    let walk = Walk::new("/").same_file_system(true).max_depth(2).filter(|entry| {
        let keep = entry.depth() == 0 || entry.path().starts_with("/proc");
        if keep { Visit::Keep } else { Visit::Prune }
    });
    for order in ORDERS {
        let seen = visit(&walk.clone().order(order)).expect_no_errors();
        let expected = [("/".into(), FileType::Dir), ("/proc".into(), FileType::Dir)];
        assert_eq!(seen.entries, expected);
        assert_eq!(seen.summary.skipped.other_file_system, 1);
    }
    let across = visit(&walk.same_file_system(false));
    assert!(across.entries.len() > 10, "there is something in /proc");
}
