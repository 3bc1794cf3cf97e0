//! System calls that fail: every entry is delivered, or an error names what is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::StreamExt;

use super::*;
use crate::entry::FileType;
use crate::error::WalkErrorKind;
use crate::sys::faults::Plan;
use crate::sys::{Call, Errno};

/// 7 directories with 3 files each, two levels deep.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for sub in ["", "a", "a/x", "a/y", "b", "b/x", "c"] {
        let sub = dir.path().join(sub);
        std::fs::create_dir_all(&sub).expect("a directory");
        for file in ["1", "2", "3"] {
            std::fs::write(sub.join(file), b"").expect("a file");
        }
    }
    dir
}

const ENTRIES: usize = 7 + 21;

#[derive(Debug, Default)]
struct Seen {
    entries: BTreeSet<PathBuf>,
    errors: Vec<WalkError>,
}

fn walk(root: &Path, sys: crate::sys::Sys) -> Walk {
    Walk::new(root).with(|config| config.sys = sys)
}

fn visit(walk: &Walk) -> Seen {
    let seen = Mutex::new(Seen::default());
    let summary = walk.for_each(|entry| {
        let mut seen = seen.lock().expect("no panic");
        match entry {
            Ok(entry) => assert!(seen.entries.insert(entry.path()), "{entry:?} twice"),
            Err(error) => seen.errors.push(error),
        }
        Flow::Continue
    });
    let seen = seen.into_inner().expect("no panic");
    let summary = summary.expect("not cancelled");
    assert_eq!(summary.errors, seen.errors.len() as u64);
    seen
}

/// A way to fail calls.
type Rule = fn(Plan) -> Plan;

/// With each order and number of threads, after the rule did its work.
fn each_way(rule: Rule, check: impl Fn(&Path, &Walk, Seen)) {
    let dir = tree();
    for order in [Order::Any, Order::Sorted] {
        for threads in [1, 3] {
            let (sys, plan) = rule(Plan::new()).into_sys();
            let walk = walk(dir.path(), sys).order(order).threads(threads);
            let seen = visit(&walk);
            assert!(plan.hits() > 0, "the fault was never met: {order:?} {threads}");
            check(dir.path(), &walk, seen);
        }
    }
}

/// Exactly one error, of this kind, about this path below the root; `missing` entries with it.
#[track_caller]
fn one_loss(
    rule: Rule,
    path: &str,
    missing: usize,
    is_kind: impl Fn(&WalkErrorKind) -> bool + Copy,
) {
    each_way(rule, |root, _, seen| {
        let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
        assert_eq!(error.path(), root.join(path), "{error}");
        assert!(is_kind(error.kind()), "{error:?}");
        assert_eq!(seen.entries.len(), ENTRIES - missing, "{error}");
    });
}

#[test]
fn a_directory_that_cannot_be_opened_costs_what_is_below_it() {
    let rule: Rule = |plan| plan.fail(Call::OpenDir, "a", 0, 1, Errno::ACCESS);
    one_loss(rule, "a", 3 + 2 * 4, |kind| matches!(kind, WalkErrorKind::Open(_)));
    let rule: Rule = |plan| plan.fail(Call::OpenDir, "c", 0, 1, Errno::NOENT);
    one_loss(rule, "c", 3, |kind| matches!(kind, WalkErrorKind::Vanished));
    // It became a link, or a file, since it was listed.
    for rule in [(|plan| plan.fail(Call::OpenDir, "c", 0, 1, Errno::LOOP)) as Rule, |plan| {
        plan.fail(Call::OpenDir, "c", 0, 1, Errno::NOTDIR)
    }] {
        one_loss(rule, "c", 3, |kind| matches!(kind, WalkErrorKind::Vanished));
    }
}

#[test]
fn a_read_error_is_delivered_and_what_was_read_before_is_kept() {
    each_way(
        |plan| plan.fail(Call::ReadDir, "", 1, 1, Errno::IO),
        |root, _, seen| {
            // The second call is the one that would have said that the root is at its end.
            let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
            assert_eq!(error.path(), root);
            assert!(matches!(error.kind(), WalkErrorKind::Read(_)), "{error:?}");
            assert_eq!(seen.entries.len(), ENTRIES);
        },
    );
    each_way(
        |plan| plan.fail(Call::ReadDir, "", 0, usize::MAX, Errno::IO),
        |_, _, seen| assert_eq!((seen.entries.len(), seen.errors.len()), (1, 1)),
    );
}

#[test]
fn an_interrupted_read_goes_on() {
    each_way(
        |plan| plan.fail(Call::ReadDir, "", 1, 3, Errno::INTR),
        |_, _, seen| assert_eq!((seen.entries.len(), seen.errors.len()), (ENTRIES, 0)),
    );
}

/// XFS without `ftype`, and some network file systems, never say what an entry is.
#[test]
fn unknown_types_are_asked_for() {
    each_way(
        |plan| plan.fail(Call::EntryType, "", 0, usize::MAX, Errno::IO),
        |_, walk, seen| {
            assert_eq!((seen.entries.len(), seen.errors.len()), (ENTRIES, 0));
            let files = Mutex::new(0);
            walk.for_each(|entry| {
                if entry.expect("readable").file_type() == FileType::File {
                    *files.lock().expect("no panic") += 1;
                }
                Flow::Continue
            })
            .expect("not cancelled");
            assert_eq!(files.into_inner().expect("no panic"), 21);
        },
    );
}

#[test]
fn an_unknown_type_that_stays_unknown_is_an_error_about_the_entry() {
    let rule: Rule = |plan| {
        plan.fail(Call::EntryType, "c", 0, 1, Errno::IO).fail(Call::StatAt, "c", 0, 1, Errno::IO)
    };
    one_loss(rule, "c", 4, |kind| matches!(kind, WalkErrorKind::Stat(_)));
    let rule: Rule = |plan| {
        plan.fail(Call::EntryType, "c", 0, 1, Errno::IO).fail(Call::StatAt, "c", 0, 1, Errno::NOENT)
    };
    one_loss(rule, "c", 4, |kind| matches!(kind, WalkErrorKind::Vanished));
    let rule: Rule = |plan| {
        plan.fail(Call::EntryType, "c", 0, 1, Errno::IO).fail(Call::StatAt, "c", 0, 1, Errno::STALE)
    };
    one_loss(rule, "c", 4, |kind| matches!(kind, WalkErrorKind::Vanished));
}

#[test]
fn a_short_shortage_of_descriptors_costs_nothing() {
    for errno in [Errno::MFILE, Errno::NFILE] {
        let dir = tree();
        for order in [Order::Any, Order::Sorted] {
            let (sys, plan) = Plan::new().fail(Call::OpenDir, "", 2, 5, errno).into_sys();
            let seen = visit(&walk(dir.path(), sys).order(order).threads(2));
            assert_eq!((seen.entries.len(), seen.errors.len(), plan.hits()), (ENTRIES, 0, 5));
        }
    }
}

#[test]
fn a_shortage_that_stays_is_an_error_for_each_lost_subtree() {
    let is_shortage = |kind: &WalkErrorKind| matches!(kind, WalkErrorKind::TooManyFds(_));
    one_loss(
        |plan| plan.fail(Call::OpenDir, "b", 0, usize::MAX, Errno::MFILE),
        "b",
        3 + 4,
        is_shortage,
    );
    each_way(
        |plan| plan.fail(Call::OpenDir, "", 1, usize::MAX, Errno::MFILE),
        |root, _, seen| {
            let mut lost: Vec<_> = seen.errors.iter().map(WalkError::path).collect();
            lost.sort();
            assert_eq!(lost, ["a", "b", "c"].map(|name| root.join(name)));
            assert_eq!(seen.entries.len(), 7);
        },
    );
}

/// A directory that cannot be told apart from another is not opened again.
#[test]
fn a_directory_evicted_without_its_identity_is_an_error_and_not_a_guess() {
    let dir = tree();
    let (sys, plan) = Plan::new().fail(Call::Fstat, "", 0, usize::MAX, Errno::IO).into_sys();
    let walk = walk(dir.path(), sys).max_open_dirs(0).threads(1);
    let seen = visit(&walk);
    assert!(plan.hits() > 0);
    assert!(!seen.errors.is_empty());
    for error in &seen.errors {
        assert!(matches!(error.kind(), WalkErrorKind::Vanished), "{error:?}");
    }
    let below = |path: &Path| seen.entries.iter().filter(|e| e.starts_with(path)).count();
    for error in &seen.errors {
        assert_eq!(below(error.path()), 1, "{error}: the entry, and nothing below it");
    }
}

#[test]
fn a_directory_that_cannot_be_opened_again_is_an_error() {
    let dir = tree();
    let (sys, plan) = Plan::new().fail(Call::ReopenDir, "a", 0, 1, Errno::ACCESS).into_sys();
    let seen = visit(&walk(dir.path(), sys).max_open_dirs(0).threads(1));
    assert_eq!(plan.hits(), 1);
    let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
    assert!(error.path().starts_with(dir.path().join("a")), "{error}");
    assert_eq!(seen.entries.len(), ENTRIES - 3);
}

#[test]
fn a_file_opens_after_a_short_shortage() {
    let dir = tree();
    let (sys, plan) = Plan::new().fail(Call::OpenFile, "1", 0, 3, Errno::MFILE).into_sys();
    let opened = Mutex::new(0);
    walk(dir.path(), sys)
        .for_each(|entry| {
            let entry = entry.expect("readable");
            if entry.file_type().is_file() {
                assert_eq!(entry.open().expect("opens").len(), 0);
                *opened.lock().expect("no panic") += 1;
            }
            Flow::Continue
        })
        .expect("not cancelled");
    assert_eq!((opened.into_inner().expect("no panic"), plan.hits()), (21, 3));
}

/// An open that does not wait fails on a file with a lease; only one that waits breaks the lease.
#[test]
fn a_file_with_a_lease_is_opened_by_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["leased", "swapped"] {
        std::fs::write(dir.path().join(name), b"content").expect("written");
    }
    let plan = Plan::new().fail(Call::OpenFile, "", 0, usize::MAX, Errno::WOULDBLOCK);
    let (sys, plan) = plan.into_sys();
    let summary = walk(dir.path(), sys).min_depth(1).for_each(|entry| {
        let entry = entry.expect("readable");
        if entry.file_name() == "leased" {
            assert_eq!(entry.open().expect("opens").len(), 7);
        } else {
            std::fs::remove_file(entry.path()).expect("removed");
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, entry.path(), mode).expect("a FIFO");
            // A hang here would be an open that waits for a writer.
            assert!(entry.open().is_err());
        }
        Flow::Continue
    });
    assert_eq!((summary.expect("not cancelled").entries, plan.hits()), (2, 2));
}

/// The n-th call of every kind fails, for every n: nothing is ever lost in silence.
#[test]
fn whatever_call_fails_the_tree_is_accounted_for() {
    let dir = tree();
    std::os::unix::fs::symlink("../b", dir.path().join("a/link")).expect("a link");
    std::fs::write(dir.path().join("b/.gitignore"), "/2\n").expect("written");
    for call in [
        Call::OpenDir,
        Call::ReopenDir,
        Call::ReadDir,
        Call::Fstat,
        Call::StatAt,
        #[cfg(feature = "gitignore")]
        Call::OpenFile,
    ] {
        let mut failed = 0;
        for errno in [Errno::IO, Errno::NOENT, Errno::ACCESS, Errno::NOTDIR, Errno::MFILE] {
            for variant in 0..4 {
                // A followed link that leads nowhere is delivered as a link.
                if (call, errno, variant) == (Call::StatAt, Errno::NOENT, LINKS) {
                    continue;
                }
                for skip in 0..12 {
                    failed += assert_accounted(dir.path(), call, errno, variant, skip);
                }
            }
        }
        assert!(failed > 10, "{call:?} failed {failed} times");
    }
}

const LINKS: usize = 1;

/// Returns how many calls failed.
fn assert_accounted(root: &Path, call: Call, errno: Errno, variant: usize, skip: usize) -> usize {
    let variation = |walk: Walk| {
        let walk = walk.order(if skip % 2 == 0 { Order::Any } else { Order::Sorted });
        let walk = walk.max_open_dirs(skip % 3).threads(1 + skip % 2);
        match variant {
            0 => walk.same_file_system(true),
            LINKS => walk.follow_links(Follow::All),
            #[cfg(feature = "gitignore")]
            2 => walk.gitignore(true),
            _ => walk,
        }
    };
    let all = visit(&variation(Walk::new(root))).entries;
    assert!(all.len() >= ENTRIES, "{}", all.len());
    let (sys, plan) = Plan::new().fail(call, "", skip, 1, errno).into_sys();
    let walk = variation(walk(root, sys));
    let seen = if skip % 4 < 2 { visit(&walk) } else { collect(&walk) };
    for path in all.difference(&seen.entries) {
        let named = seen.errors.iter().any(|error| path.starts_with(error.path()));
        assert!(named, "{call:?} {errno} {variant} {skip}: {} is missing", path.display());
    }
    plan.hits()
}

fn collect(walk: &Walk) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut seen = Seen::default();
    for item in runtime.block_on(walk.stream().collect::<Vec<_>>()) {
        match item {
            Ok(entry) => assert!(seen.entries.insert(entry.path()), "{entry:?} twice"),
            Err(error) => seen.errors.push(error),
        }
    }
    seen
}

/// Even a non-blocking open of a FIFO or a device may have effects on the other side.
#[test]
fn what_is_no_regular_file_is_refused_without_a_system_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("a FIFO");
    let (sys, plan) = Plan::new().fail(Call::OpenFile, "", 0, usize::MAX, Errno::IO).into_sys();
    let summary = walk(dir.path(), sys).for_each(|entry| {
        let error = entry.expect("readable").open().expect_err("no regular file");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        Flow::Continue
    });
    assert_eq!((summary.expect("not cancelled").entries, plan.hits()), (2, 0));
}

#[cfg(feature = "gitignore")]
#[test]
fn a_shortage_of_descriptors_never_delivers_what_an_ignore_file_names() {
    let dir = tree();
    for sub in ["", "a", "b/x"] {
        std::fs::write(dir.path().join(sub).join(".gitignore"), "/2\n").expect("written");
    }
    for order in [Order::Any, Order::Sorted] {
        for (times, lost) in [(3, false), (usize::MAX, true)] {
            let plan = Plan::new().fail(Call::OpenFile, ".gitignore", 0, times, Errno::MFILE);
            let (sys, plan) = plan.into_sys();
            let seen = visit(&walk(dir.path(), sys).order(order).gitignore(true).threads(2));
            assert!(plan.hits() >= 3);
            for ignored in ["2", "a/2", "b/x/2"] {
                assert!(!seen.entries.contains(&dir.path().join(ignored)), "{order:?}: {ignored}");
            }
            if lost {
                let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
                assert!(matches!(error.kind(), WalkErrorKind::TooManyFds(_)), "{error:?}");
                assert_eq!((error.path(), seen.entries.len()), (dir.path(), 1));
            } else {
                assert_eq!((seen.errors.len(), seen.entries.len()), (0, ENTRIES));
            }
        }
    }
}

/// Opening it may start an automounter, or fail where nothing is to be read.
#[test]
fn a_mounted_file_system_is_not_even_opened() {
    for order in [Order::Any, Order::Sorted] {
        let plan = Plan::new().fail(Call::OpenDir, "proc", 0, usize::MAX, Errno::ACCESS);
        let (sys, plan) = plan.into_sys();
        let walk = walk(Path::new("/"), sys).same_file_system(true).order(order);
        let walk = walk.filter(|entry| match entry.file_name().to_str() {
            Some("/" | "proc") => Visit::Keep,
            _ => Visit::Prune,
        });
        let seen = visit(&walk);
        assert_eq!((seen.entries.len(), seen.errors.len(), plan.hits()), (2, 0, 0), "{seen:?}");
    }
}
