//! Symbolic links: followed or not, in loops, to nowhere.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tidegate_fs_walk::{FileType, Follow, Order, Walk, WalkErrorKind};

use crate::tree::{ORDERS, make, stream, temp, visit};

#[test]
fn links_inside_a_tree_are_followed_only_on_request() {
    let dir = temp();
    make(dir.path(), "real/file");
    for (target, name) in [
        ("real", "to_dir"),
        ("real/file", "to_file"),
        ("nothing", "to_nothing"),
        ("/dev/null", "z"),
    ] {
        symlink(target, dir.path().join(name)).expect("a link");
    }
    for order in ORDERS {
        let walk = Walk::new(dir.path()).order(order);
        let seen = visit(&walk).expect_no_errors();
        assert_eq!(seen.summary.symlinks, 4);
        for seen in [
            visit(&walk.clone().follow_links(Follow::All)),
            stream(&walk.follow_links(Follow::All)),
        ] {
            let found = seen.expect_no_errors().found();
            let expected = [
                ("", FileType::Dir),
                ("real", FileType::Dir),
                ("real/file", FileType::File),
                ("to_dir", FileType::Dir),
                ("to_dir/file", FileType::File),
                ("to_file", FileType::File),
                ("to_nothing", FileType::Symlink),
                ("z", FileType::CharDevice),
            ];
            let expected = expected.map(|(name, kind)| (dir.path().join(name), kind));
            // Joining an empty name adds a slash, which is no part of a root as it was given.
            let expected =
                expected.into_iter().map(|(path, kind)| (path.components().collect(), kind));
            assert_eq!(found, expected.collect());
        }
    }
}

#[test]
fn loops_are_errors_that_name_the_ancestor() {
    let dir = temp();
    make(dir.path(), "a/b/file");
    let link = dir.path().join("a/b/up");
    symlink("../../a", &link).expect("a link");
    symlink(".", dir.path().join("self")).expect("a link");
    symlink("knot", dir.path().join("knot")).expect("a link");
    for order in ORDERS {
        for threads in [1, 3] {
            let walk = Walk::new(dir.path()).order(order).threads(threads);
            let mut seen = visit(&walk.follow_links(Follow::All));
            assert_eq!(seen.names(dir.path()), ["", "a", "a/b", "a/b/file"]);
            seen.errors.sort_by_key(|error| error.path().to_owned());
            let [up, knot, own] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
            let ancestor = |error: &tidegate_fs_walk::WalkError| match error.kind() {
                WalkErrorKind::Loop { ancestor } => Some(ancestor.clone()),
                _ => None,
            };
            assert_eq!((up.path(), ancestor(up)), (link.as_path(), Some(dir.path().join("a"))));
            assert_eq!(ancestor(own), Some(dir.path().to_owned()), "{own}");
            assert!(matches!(knot.kind(), WalkErrorKind::Stat(_)), "{knot}");
        }
    }
}

/// Two links to one directory are no loop; what they lead to is walked by each way.
#[test]
fn only_ancestors_make_a_loop() {
    let dir = temp();
    make(dir.path(), "x/file");
    for name in ["p/one", "p/two", "q"] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        symlink(dir.path().join("x"), path).expect("a link");
    }
    let walk = Walk::new(dir.path()).follow_links(Follow::All).order(Order::Sorted);
    let names =
        ["", "p", "p/one", "p/one/file", "p/two", "p/two/file", "q", "q/file", "x", "x/file"];
    assert_eq!(visit(&walk).expect_no_errors().names(dir.path()), names);
}

#[test]
fn sys_with_links_followed_ends_at_a_depth() {
    let walk = Walk::new("/sys/class").max_depth(3);
    let inside = visit(&walk).entries.len();
    let seen = visit(&walk.follow_links(Follow::All));
    let root = std::path::Path::new("/sys/class").components().count();
    let depth = |path: &PathBuf| path.components().count() - root;
    let deepest = seen.paths().iter().map(depth).max();
    assert_eq!(deepest, Some(3), "links were followed, and not beyond");
    assert!(seen.found().len() > inside, "{} entries, {inside} without links", seen.entries.len());
}

/// `bun#36043`: a legal chain of links longer than the 40 the system follows in one path.
#[test]
fn a_path_of_more_than_40_links_is_walked_step_by_step() {
    let dir = temp();
    let mut level = dir.path().to_owned();
    for i in 0..50 {
        std::fs::create_dir(dir.path().join(format!("d{i}"))).expect("a directory");
    }
    for i in 0..50 {
        let next = dir.path().join(format!("d{}", (i + 1) % 50));
        if i < 49 {
            symlink(next, dir.path().join(format!("d{i}/link"))).expect("a link");
        }
        level.push("link");
    }
    std::fs::write(dir.path().join("d49/end"), b"x").expect("a file");
    let walk = Walk::new(dir.path().join("d0")).follow_links(Follow::All);
    let seen = visit(&walk).expect_no_errors();
    let end: PathBuf = dir.path().join("d0").join("link/".repeat(49)).join("end");
    assert!(seen.found().contains_key(&end));
}

#[test]
fn a_file_behind_a_link_opens_only_if_links_are_followed() {
    let dir = temp();
    make(dir.path(), "file");
    symlink("file", dir.path().join("link")).expect("a link");
    for (follow, opens) in [(Follow::Never, false), (Follow::All, true)] {
        let walk = Walk::new(dir.path()).follow_links(follow);
        let summary = walk.for_each(|entry| {
            let entry = entry.expect("readable");
            if entry.file_name() == "link" {
                assert_eq!(entry.open().is_ok(), opens, "{follow:?}");
                assert_eq!(entry.is_followed_link(), opens);
                let kind = if opens { FileType::File } else { FileType::Symlink };
                assert_eq!(entry.metadata().expect("there").file_type(), kind);
            }
            tidegate_fs_walk::Flow::Continue
        });
        assert_eq!(summary.expect("not cancelled").entries, 3);
    }
}
