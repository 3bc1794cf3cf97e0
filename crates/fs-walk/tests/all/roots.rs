//! What may be given as a root.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use tidegate_fs_walk::{FileType, Follow, Order, Walk, WalkErrorKind};

use crate::child::{in_child, public_copy};
use crate::tree::{ORDERS, Seen, make, stream, temp, visit};

fn all_ways(walk: &Walk) -> Vec<Seen> {
    let mut all = Vec::new();
    for order in ORDERS {
        let walk = walk.clone().order(order);
        all.extend([visit(&walk), stream(&walk)]);
    }
    all
}

#[test]
fn a_file_is_its_only_entry() {
    let dir = temp();
    let file = make(dir.path(), "file");
    for seen in all_ways(&Walk::new(&file)) {
        assert_eq!(seen.expect_no_errors().entries, [(file.clone(), FileType::File)]);
    }
    let fifo = dir.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR).expect("a FIFO");
    for seen in all_ways(&Walk::new(&fifo)) {
        assert_eq!(seen.expect_no_errors().entries, [(fifo.clone(), FileType::Fifo)]);
    }
}

#[test]
fn missing_and_empty_and_too_long_roots_are_one_error_each() {
    let dir = temp();
    let missing = dir.path().join("missing\n");
    for (root, message) in [
        (missing.clone(), "missing\\n\": No such file"),
        (PathBuf::new(), "cannot open \"\": No such file"),
        (PathBuf::from("x".repeat(5000)), "File name too long"),
        (PathBuf::from("x".repeat(300)), "File name too long"),
        (PathBuf::from("nul\0"), "Invalid argument"),
    ] {
        for seen in all_ways(&Walk::new(&root)) {
            assert!(seen.entries.is_empty());
            let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
            assert_eq!((error.path(), error.depth()), (root.as_path(), 0));
            assert!(matches!(error.kind(), WalkErrorKind::Open(_)), "{error:?}");
            let line = error.to_string();
            assert!(line.contains(message) && !line.contains('\n'), "{line}");
        }
    }
    // The other roots do not suffer.
    let walk = Walk::new(&missing).add_root(dir.path());
    for seen in all_ways(&walk) {
        assert_eq!((seen.entries.len(), seen.errors.len()), (1, 1));
    }
}

/// Each is kept as it was written. In a process of its own, for the working directory.
#[test]
fn dots_and_slashes() {
    in_child(
        "roots::dots_and_slashes",
        |_| {},
        || {
            let dir = temp();
            make(dir.path(), "top/in/file");
            std::env::set_current_dir(dir.path().join("top/in")).expect("a directory");
            for (root, file) in [
                (".", "./file"),
                ("./", "./file"),
                ("..", "../in/file"),
                ("../in//", "../in//file"),
                ("../../top/", "../../top/in/file"),
            ] {
                for seen in all_ways(&Walk::new(root)) {
                    let paths = seen.expect_no_errors().paths();
                    assert!(paths.iter().any(|path| path.as_os_str() == root), "{root}: {paths:?}");
                    assert!(paths.iter().any(|path| path.as_os_str() == file), "{root}: {paths:?}");
                }
            }
            let names = Walk::new("in/../../in/").max_depth(0);
            assert_eq!(visit(&names).errors.len(), 1, "there is no `in` in `in`");
            let slash = visit(&Walk::new("/").max_depth(1)).expect_no_errors();
            assert!(slash.paths().contains(&PathBuf::from("/proc")), "one slash: {slash:?}");
        },
    );
}

#[test]
fn roots_come_in_their_order_and_as_often_as_they_are_given() {
    let dir = temp();
    for path in ["b/1", "a/1"] {
        make(dir.path(), path);
    }
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    let walk = Walk::new(&b).add_root(&a).add_root(&b).order(Order::Sorted);
    let expected = [b.clone(), b.join("1"), a.clone(), a.join("1"), b.clone(), b.join("1")];
    assert_eq!(visit(&walk).paths(), expected);
    assert_eq!(stream(&walk).paths(), expected);
    assert_eq!(visit(&walk.order(Order::Any)).entries.len(), 6);
}

#[test]
fn many_roots_do_not_exhaust_descriptors() {
    in_child(
        "roots::many_roots_do_not_exhaust_descriptors",
        |_| {},
        || {
            let dir = temp();
            let mut walk = Walk::new(make(dir.path(), "0/x/y/"));
            for i in 1..300 {
                walk = walk.add_root(make(dir.path(), &format!("{i}/x/y/")));
            }
            crate::child::limit_fds(24);
            for order in ORDERS {
                let walk = walk.clone().order(order).threads(2);
                assert_eq!(visit(&walk).expect_no_errors().entries.len(), 300);
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("one");
                let all: Vec<_> = runtime.block_on(futures::StreamExt::collect(walk.stream()));
                assert_eq!(all.iter().filter(|entry| entry.is_ok()).count(), 300);
            }
        },
    );
}

#[test]
fn links_as_roots() {
    let dir = temp();
    make(dir.path(), "real/file");
    let [to_dir, to_file, to_nothing] =
        ["to_dir", "to_file", "to_nothing"].map(|name| dir.path().join(name));
    symlink("real", &to_dir).expect("a link");
    symlink("real/file", &to_file).expect("a link");
    symlink("nothing", &to_nothing).expect("a link");
    for (follow, dir_type, file_type, entries) in [
        (Follow::Never, FileType::Symlink, FileType::Symlink, 1),
        (Follow::Roots, FileType::Dir, FileType::File, 2),
        (Follow::All, FileType::Dir, FileType::File, 2),
    ] {
        for seen in all_ways(&Walk::new(&to_dir).follow_links(follow)) {
            let seen = seen.expect_no_errors();
            assert_eq!(seen.entries.len(), entries, "{follow:?}");
            assert_eq!(seen.entries[0], (to_dir.clone(), dir_type));
        }
        let seen = visit(&Walk::new(&to_file).follow_links(follow)).expect_no_errors();
        assert_eq!(seen.entries, [(to_file.clone(), file_type)]);
        let seen = visit(&Walk::new(&to_nothing).follow_links(follow)).expect_no_errors();
        assert_eq!(seen.entries, [(to_nothing.clone(), FileType::Symlink)]);
    }
    // With a slash at its end a path is not the link, to the system.
    let slash = dir.path().join("to_dir/");
    let seen = visit(&Walk::new(slash).follow_links(Follow::Never)).expect_no_errors();
    assert_eq!(seen.entries.len(), 2);
    assert_eq!(
        Walk::new(&to_dir).for_each(|_| tidegate_fs_walk::Flow::Continue).expect("ok").dirs,
        1
    );
}

/// As root nothing is unreadable, so the child gives up being root.
#[test]
fn unreadable_directories_are_errors_and_the_rest_goes_on() {
    const NAME: &str = "roots::unreadable_directories_are_errors_and_the_rest_goes_on";
    const TREE: &str = "TIDEGATE_FS_WALK_TREE";
    let dir = temp();
    let copy = public_copy(dir.path());
    for path in ["tree/locked/below", "tree/open/file", "tree/zz"] {
        make(dir.path(), path);
    }
    let locked = dir.path().join("tree/locked");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("locked");
    in_child(
        NAME,
        |command| {
            let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let env: Vec<_> = command
                .get_envs()
                .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                .collect();
            *command = std::process::Command::new(&copy);
            command.args(args).envs(env).env(TREE, dir.path().join("tree"));
            command.env("TMPDIR", "/tmp");
            if rustix::process::geteuid().is_root() {
                command.uid(65534).gid(65534);
            }
        },
        || {
            let tree = PathBuf::from(std::env::var_os(TREE).expect("set by the parent"));
            for order in ORDERS {
                let walk = Walk::new(&tree).order(order);
                for seen in [visit(&walk), stream(&walk)] {
                    let names = seen.names(&tree);
                    assert_eq!(names, ["", "locked", "open", "open/file", "zz"]);
                    assert_denied(&seen, &tree.join("locked"));
                }
            }
            let seen = visit(&Walk::new(tree.join("locked")));
            assert_denied(&seen, &tree.join("locked"));
        },
    );
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o755)).expect("unlocked");
}

fn assert_denied(seen: &Seen, path: &Path) {
    let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
    assert_eq!(error.path(), path);
    let denied = error.io_error().map(std::io::Error::kind);
    assert_eq!(denied, Some(std::io::ErrorKind::PermissionDenied), "{error}");
}
