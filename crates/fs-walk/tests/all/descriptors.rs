//! Few descriptors and long paths.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Mutex;

use futures::StreamExt;
use tidegate_fs_walk::{Entry, FileType, Flow, Order, Walk, WalkErrorKind};

use crate::child::{in_child, limit_fds, open_fds};
use crate::tree::{
    ORDERS, Random, block_on, chain, oracle, random_tree, remove_chain, stream, temp, visit,
};

const LEVELS: usize = 3000;
const DIR: &str = "directory0";

/// The entries of a chain are told apart by depth and kind.
fn assert_whole_chain(what: &str, entries: impl Iterator<Item = (usize, FileType)>) {
    let found: BTreeSet<_> = entries.collect();
    assert_eq!(found.len(), 2 * LEVELS + 1, "{what}");
    assert!(found.contains(&(LEVELS, FileType::File)) && found.contains(&(LEVELS, FileType::Dir)));
}

/// walkdir#23, fd#1322: paths of 33 kB, where the system takes 4 kB.
#[test]
fn trees_deeper_than_path_max_are_walked_whole() {
    let dir = temp();
    chain(dir.path(), LEVELS, DIR);
    for order in ORDERS {
        for threads in [1, 3] {
            let what = format!("{order:?} {threads}");
            let walk = Walk::new(dir.path()).order(order).threads(threads).max_open_dirs(8);
            let seen = Mutex::new(Vec::new());
            let summary = walk.for_each(|entry| {
                let entry = entry.expect("readable");
                if entry.depth() == LEVELS {
                    let len = dir.path().as_os_str().len() + LEVELS * (DIR.len() + 1);
                    assert!(entry.path().as_os_str().len() > len - DIR.len());
                }
                seen.lock().expect("no panic").push((entry.depth(), entry.file_type()));
                Flow::Continue
            });
            assert_eq!(summary.expect("not cancelled").errors, 0);
            assert_whole_chain(&what, seen.into_inner().expect("no panic").into_iter());
            let entries: Vec<_> = block_on(walk.stream().collect());
            let entries = entries.into_iter().map(|entry| entry.expect("readable"));
            assert_whole_chain(&what, entries.map(|entry| (entry.depth(), entry.file_type())));
        }
    }
    remove_chain(dir.path(), DIR);
}

/// Every entry is held until the end, so nearly every directory is closed and opened again.
#[test]
fn entries_below_path_max_open_after_their_directories_were_closed() {
    in_child(
        "descriptors::entries_below_path_max_open_after_their_directories_were_closed",
        |_| {},
        || {
            let dir = temp();
            chain(dir.path(), LEVELS, DIR);
            let before = open_fds();
            let walk = Walk::new(dir.path()).max_open_dirs(64).order(Order::Sorted).threads(2);
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let mut most = 0;
            let entries: Vec<Entry> = runtime.block_on(async {
                let mut stream = walk.stream();
                let mut entries = Vec::new();
                while let Some(entry) = stream.next().await {
                    entries.push(entry.expect("readable"));
                    most = most.max(open_fds());
                }
                assert!(stream.summary().evictions > 1000, "{:?}", stream.summary());
                entries
            });
            // The budget, the root, and for each thread a directory and a step on the way to one;
            // the runtime has its own three.
            assert!(most <= before + 64 + 1 + 2 * 3 + 3, "{most} descriptors, {before} before");
            assert_whole_chain("held", entries.iter().map(|e| (e.depth(), e.file_type())));
            let mut opened = 0;
            for entry in entries.iter().filter(|entry| entry.file_type().is_file()) {
                let mut file = entry.open().expect("opens");
                assert_eq!((file.len(), file.read(&mut [0]).expect("readable")), (0, 0));
                opened += 1;
            }
            assert_eq!(opened, LEVELS);
            let last = entries.iter().max_by_key(|entry| entry.depth()).expect("some");
            assert_eq!(last.metadata().expect("there").ino(), last.ino());
            drop(entries);
            assert!(open_fds() <= before + 3, "everything is closed");
            remove_chain(dir.path(), DIR);
        },
    );
}

#[test]
fn nofile_16_gives_every_entry() {
    in_child(
        "descriptors::nofile_16_gives_every_entry",
        |_| {},
        || {
            let wide = temp();
            random_tree(wide.path(), &mut Random::new(7), 2000);
            let expected = oracle(wide.path());
            let deep = temp();
            chain(deep.path(), 500, DIR);
            limit_fds(16);
            for order in ORDERS {
                for threads in [1, 2, 8] {
                    let what = format!("{order:?} {threads}");
                    let walk = Walk::new(wide.path()).order(order).threads(threads);
                    assert_eq!(visit(&walk).expect_no_errors().found(), expected, "{what}");
                    assert_eq!(stream(&walk).expect_no_errors().found(), expected, "{what}");
                    let walk = Walk::new(deep.path()).order(order).threads(threads);
                    assert_eq!(visit(&walk).expect_no_errors().entries.len(), 1001, "{what}");
                    assert_eq!(stream(&walk).expect_no_errors().entries.len(), 1001, "{what}");
                }
            }
            remove_chain(deep.path(), DIR);
        },
    );
}

/// With files held open until nothing is left, what is lost is named.
#[test]
fn without_any_descriptor_each_lost_subtree_is_an_error() {
    in_child(
        "descriptors::without_any_descriptor_each_lost_subtree_is_an_error",
        |_| {},
        || {
            let dir = temp();
            for i in 0..5 {
                crate::tree::make(dir.path(), &format!("{i}/a/b"));
            }
            limit_fds(16);
            let walk = Walk::new(dir.path()).threads(2);
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            for order in ORDERS {
                let seen = visit(&walk.clone().order(order));
                assert_eq!(seen.entries.len(), 1, "the root is seen by stat alone");
                let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
                assert!(matches!(error.kind(), WalkErrorKind::TooManyFds(_)), "{error}");
                assert_eq!(error.path(), dir.path());
            }
            // One for the root, two for a step from one directory to the next.
            hoard.truncate(hoard.len() - 3);
            for order in ORDERS {
                let seen = visit(&walk.clone().order(order)).expect_no_errors();
                assert_eq!(seen.entries.len(), 16, "{order:?}");
            }
            drop(hoard);
        },
    );
}

/// The end of the walk is not the end of its entries: they make room for what they open.
#[test]
fn entries_that_outlive_the_walk_make_room_when_descriptors_run_out() {
    in_child(
        "descriptors::entries_that_outlive_the_walk_make_room_when_descriptors_run_out",
        |_| {},
        || {
            let dir = temp();
            for i in 0..20 {
                let file = crate::tree::make(dir.path(), &format!("{i}/file"));
                std::fs::write(file, "content").expect("written");
            }
            limit_fds(40);
            for order in ORDERS {
                let walk = Walk::new(dir.path()).max_open_dirs(8).threads(2).order(order);
                let entries: Vec<_> = block_on(walk.stream().collect());
                let mut hoard = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    hoard.push(file);
                }
                let mut opened = 0;
                for entry in entries.iter().map(|entry| entry.as_ref().expect("readable")) {
                    if entry.file_type().is_file() {
                        assert_eq!(entry.open().expect("a directory is closed for it").len(), 7);
                        opened += 1;
                    }
                }
                assert_eq!(opened, 20);
            }
        },
    );
}

#[test]
fn a_budget_without_bounds_is_a_budget() {
    let dir = temp();
    crate::tree::make(dir.path(), "a/b/c");
    for order in ORDERS {
        let walk = Walk::new(dir.path()).order(order).max_open_dirs(usize::MAX);
        assert_eq!(visit(&walk).expect_no_errors().entries.len(), 4);
        let held: Vec<_> = block_on(walk.stream().collect());
        assert_eq!(held.len(), 4);
    }
}

/// ompi#14257 and the prototype's own trap: whatever runs out, entries and errors together
/// account for the whole tree.
#[test]
fn any_number_of_descriptors_accounts_for_the_whole_tree() {
    in_child(
        "descriptors::any_number_of_descriptors_accounts_for_the_whole_tree",
        |_| {},
        || {
            let dir = temp();
            random_tree(dir.path(), &mut Random::new(3), 300);
            let expected = oracle(dir.path());
            let base = u64::try_from(open_fds()).expect("few");
            limit_fds(base + 12);
            let mut hoard = Vec::new();
            for free in (0..6).rev() {
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    hoard.push(file);
                }
                hoard.truncate(hoard.len() - free);
                for order in ORDERS {
                    let seen = visit(&Walk::new(dir.path()).order(order).threads(3));
                    let lost = |path: &std::path::Path| {
                        seen.errors
                            .iter()
                            .any(|error| path != error.path() && path.starts_with(error.path()))
                    };
                    let found = seen.found();
                    for path in expected.keys() {
                        assert!(
                            found.contains_key(path) || lost(path),
                            "{free} free: {path:?} is missing"
                        );
                    }
                    assert!(free < 3 || seen.errors.is_empty(), "{free} free: {:?}", seen.errors);
                }
            }
        },
    );
}
