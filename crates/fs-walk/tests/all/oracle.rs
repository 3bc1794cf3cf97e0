//! The walk against a naive recursion.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use tidegate_fs_walk::{Order, Walk};

use crate::tree::{
    ORDERS, Random, Seen, THREADS, in_order, oracle, random_tree, seed, stream, temp, visit,
};

#[test]
fn random_trees_are_found_as_by_a_naive_recursion() {
    let seed = seed("oracle");
    let mut entries = 0;
    for round in 0..200 {
        let dir = temp();
        let mut random = Random::new(seed.wrapping_add(round));
        let size = random.below(80);
        random_tree(dir.path(), &mut random, size);
        let expected = oracle(dir.path());
        let expected_order = in_order(&expected);
        entries += expected.len();
        for threads in THREADS {
            for order in ORDERS {
                let walk = Walk::new(dir.path()).threads(threads).order(order);
                // Budgets of descriptors change how entries are reached, and nothing else.
                let walk = if round % 3 == 0 { walk.max_open_dirs(1) } else { walk };
                let walk = if round % 5 == 0 { walk.window(3) } else { walk };
                let streamed = stream(&walk);
                let what = format!("seed {} threads {threads} {order:?}", seed.wrapping_add(round));
                assert_parents_first(&streamed, &what);
                for seen in [visit(&walk), streamed] {
                    let seen = seen.expect_no_errors();
                    assert_eq!(seen.found(), expected, "{what}");
                    if order == Order::Sorted {
                        assert_eq!(seen.paths(), expected_order, "{what}");
                    }
                }
            }
        }
    }
    println!("200 trees, {entries} entries, 16 walks each");
}

#[track_caller]
fn assert_parents_first(seen: &Seen, what: &str) {
    let mut before = HashSet::new();
    for (path, _) in &seen.entries {
        let parent = path.parent().expect("a parent");
        assert!(
            before.is_empty() || before.contains(parent),
            "{what}: {} too early",
            path.display()
        );
        before.insert(path.as_path());
    }
}

#[test]
fn a_stream_delivers_a_directory_before_its_contents() {
    let dir = temp();
    random_tree(dir.path(), &mut Random::new(5), 4000);
    for round in 0..20 {
        let seen = stream(&Walk::new(dir.path()).threads(2 + round % 3)).expect_no_errors();
        assert_parents_first(&seen, &format!("round {round}"));
    }
}

#[test]
fn names_of_all_bytes() {
    let dir = temp();
    for byte in (1..=255).filter(|byte| *byte != b'/' && *byte != b'.') {
        fs::write(dir.path().join(OsStr::from_bytes(&[byte])), b"").expect("a file");
        let name = [b'n', byte, 0xFF, b'\n'];
        fs::create_dir(dir.path().join(OsStr::from_bytes(&name))).expect("a directory");
    }
    let expected = oracle(dir.path());
    assert_eq!(expected.len(), 1 + 2 * 253);
    for order in ORDERS {
        let seen = visit(&Walk::new(dir.path()).order(order)).expect_no_errors();
        assert_eq!(seen.found(), expected);
    }
    let seen = stream(&Walk::new(dir.path()).order(Order::Sorted)).expect_no_errors();
    assert_eq!(seen.paths(), in_order(&expected));
}

#[test]
fn a_directory_of_20_000_entries() {
    let dir = temp();
    for i in 0..20_000 {
        fs::write(dir.path().join(format!("some-file-{i:x}")), b"").expect("a file");
    }
    for i in 0..50 {
        fs::create_dir(dir.path().join(format!("some-file-{i:x}-dir"))).expect("a directory");
        fs::write(dir.path().join(format!("some-file-{i:x}-dir/x")), b"").expect("a file");
    }
    let expected = oracle(dir.path());
    for threads in [1, 3] {
        let walk = Walk::new(dir.path()).threads(threads);
        assert_eq!(visit(&walk).expect_no_errors().found(), expected);
        assert_eq!(stream(&walk).expect_no_errors().found(), expected);
        for window in [0, 1, 100_000] {
            let walk = walk.clone().order(Order::Sorted).window(window);
            assert_eq!(visit(&walk).expect_no_errors().paths(), in_order(&expected));
        }
    }
}

/// `a` the directory comes where `a/` does, between `a.txt` and `a0`.
#[test]
fn sorted_is_the_order_of_whole_paths() {
    let dir = temp();
    for name in ["a/x", "a/a", "a.txt", "a-b", "a0", "b", "a/.h", "Z/", "a/b/c"] {
        crate::tree::make(dir.path(), name);
    }
    let seen = visit(&Walk::new(dir.path()).order(Order::Sorted).min_depth(1));
    let paths: Vec<String> = seen
        .paths()
        .iter()
        .map(|path| path.strip_prefix(dir.path()).expect("below").to_string_lossy().into_owned())
        .collect();
    let expected = ["Z", "a-b", "a.txt", "a", "a/.h", "a/a", "a/b", "a/b/c", "a/x", "a0", "b"];
    assert_eq!(paths, expected);
}

#[test]
fn hard_links_are_entries_of_their_own() {
    let dir = temp();
    let one = crate::tree::make(dir.path(), "one");
    fs::hard_link(&one, dir.path().join("two")).expect("a hard link");
    let seen = visit(&Walk::new(dir.path()));
    assert_eq!(seen.names(dir.path()), ["", "one", "two"]);
}
