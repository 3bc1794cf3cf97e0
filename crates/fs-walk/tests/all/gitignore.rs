//! Ignore files, against `git` itself.

use std::process::Command;

use tidegate_fs_walk::{Walk, WalkErrorKind};

use crate::tree::{ORDERS, make, stream, temp, visit};

fn files(root: &std::path::Path, walk: &Walk) -> Vec<String> {
    let mut all = Vec::new();
    for order in ORDERS {
        let walk = walk.clone().order(order).threads(2).gitignore(true).filter(|entry| {
            let is_dir = entry.file_type().is_dir();
            if is_dir { tidegate_fs_walk::Visit::Omit } else { tidegate_fs_walk::Visit::Keep }
        });
        all.push(visit(&walk).expect_no_errors().names(root));
        all.push(stream(&walk).expect_no_errors().names(root));
    }
    let first = all.swap_remove(0);
    assert!(all.iter().all(|names| *names == first));
    first
}

fn write(root: &std::path::Path, path: &str, text: &str) {
    std::fs::write(make(root, path), text).expect("written");
}

fn repository() -> tempfile::TempDir {
    let dir = temp();
    let root = dir.path();
    for path in [
        "target/a",
        "src/lib.rs",
        "src/lib.rs.bak",
        "src/keep.bak",
        "src/deep/target",
        "src/deep/other.bak",
        "src/deep/only/x.log",
        "docs/target/page",
        "docs/secret",
        "logs/today.log",
        "logs/keep.log",
        "excluded/file",
        "build/keep/file",
    ] {
        make(root, path);
    }
    write(
        root,
        ".gitignore",
        "# a comment\n/target\n*.bak\nlogs/*\n!logs/keep.log\nbuild/\n!build/keep/\n[\n",
    );
    write(root, "src/.gitignore", "!keep.bak\n/deep/only/\n");
    write(root, "src/deep/.gitignore", "*\n!other.bak\n!.gitignore\n");
    write(root, "docs/.gitignore", "secret\n");
    write(root, ".git/info/exclude", "excluded\n");
    dir
}

const EXPECTED: [&str; 9] = [
    ".gitignore",
    "docs/.gitignore",
    "docs/target/page",
    "logs/keep.log",
    "src/.gitignore",
    "src/deep/.gitignore",
    "src/deep/other.bak",
    "src/keep.bak",
    "src/lib.rs",
];

#[test]
fn nested_rules_and_the_repository_own_excludes() {
    let dir = repository();
    assert_eq!(files(dir.path(), &Walk::new(dir.path())), EXPECTED);
    let summary = visit(&Walk::new(dir.path()).gitignore(true)).summary;
    assert_eq!(summary.skipped.ignored, 9, "{summary:?}");
    let all = visit(&Walk::new(dir.path()));
    assert!(all.paths().iter().any(|path| path.ends_with(".git/info/exclude")));
}

#[test]
fn git_says_the_same() {
    let dir = repository();
    std::fs::remove_dir_all(dir.path().join(".git")).expect("removed");
    let git = |args: &[&str]| {
        Command::new("git").args(args).current_dir(dir.path()).env("HOME", dir.path()).output()
    };
    git(&["init", "-q"]).expect("this test needs git");
    write(dir.path(), ".git/info/exclude", "excluded\n");
    let listed = git(&["ls-files", "--others", "--exclude-standard"]).expect("git runs").stdout;
    let mut listed: Vec<String> =
        String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect();
    listed.sort();
    assert_eq!(files(dir.path(), &Walk::new(dir.path())), listed);
}

#[test]
fn rules_reach_a_root_from_its_parents_up_to_the_repository() {
    let dir = temp();
    write(dir.path(), ".gitignore", "lib.rs\n");
    let repository = repository();
    let inside = dir.path().join("inside");
    std::fs::rename(repository.path(), &inside).expect("moved");
    let src = inside.join("src");
    // What is above the repository does not count; what is in it does.
    assert_eq!(
        files(&src, &Walk::new(&src)),
        [".gitignore", "deep/.gitignore", "deep/other.bak", "keep.bak", "lib.rs"]
    );
    let deep = src.join("deep");
    assert_eq!(files(&deep, &Walk::new(&deep)), [".gitignore", "other.bak"]);
    let docs = inside.join("docs");
    assert_eq!(files(&docs, &Walk::new(&docs)), [".gitignore", "target/page"]);
    // An ignored directory as a root is what was asked for.
    let target = inside.join("target");
    assert_eq!(files(&target, &Walk::new(&target)), ["a"]);
}

#[test]
fn a_nested_repository_starts_afresh() {
    let dir = temp();
    write(dir.path(), ".gitignore", "*.log\n");
    make(dir.path(), ".git/");
    make(dir.path(), "a.log");
    make(dir.path(), "nested/a.log");
    make(dir.path(), "nested/sub/b.log");
    make(dir.path(), "nested/sub/c.txt");
    make(dir.path(), "nested/.git/");
    write(dir.path(), "nested/.gitignore", "*.txt\n");
    let expected = [".gitignore", "nested/.gitignore", "nested/a.log", "nested/sub/b.log"];
    assert_eq!(files(dir.path(), &Walk::new(dir.path())), expected);
}

#[test]
fn rules_hold_without_a_repository_and_strange_ignore_files_are_no_rules() {
    let dir = temp();
    write(dir.path(), "x/.gitignore", "*.log\n");
    make(dir.path(), "x/a.log");
    make(dir.path(), "x/b");
    make(dir.path(), "y/.gitignore/");
    make(dir.path(), "y/c");
    make(dir.path(), "z/d");
    std::os::unix::fs::symlink("../x/.gitignore", dir.path().join("z/.gitignore")).expect("a link");
    make(dir.path(), "z/e.log");
    let fifo = make(dir.path(), "f/g").with_file_name(".gitignore");
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo, rustix::fs::Mode::RUSR).expect("a FIFO");
    let expected =
        ["f/.gitignore", "f/g", "x/.gitignore", "x/b", "y/c", "z/.gitignore", "z/d", "z/e.log"];
    assert_eq!(files(dir.path(), &Walk::new(dir.path())), expected);
}

/// What is to stay unseen is delivered then, so the walk says why.
#[test]
fn a_line_that_is_no_pattern_is_an_error_and_the_others_hold() {
    let dir = temp();
    for name in ["a", "b", "c"] {
        make(dir.path(), name);
    }
    for (text, problem) in [
        (&b"a\n{x\nb\n"[..], "line 2 is no pattern: "),
        (b"a\n\nb\n\xFF\n\xFF\n", "line 4 is no pattern: not UTF-8"),
    ] {
        let path = dir.path().join(".gitignore");
        std::fs::write(&path, text).expect("written");
        for order in ORDERS {
            let walk = Walk::new(dir.path()).order(order).gitignore(true);
            for seen in [visit(&walk), stream(&walk)] {
                assert_eq!(seen.names(dir.path()), ["", ".gitignore", "c"]);
                let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
                assert!(matches!(error.kind(), WalkErrorKind::IgnoreFile(_)), "{error:?}");
                assert_eq!(error.path(), path);
                assert!(error.to_string().contains(problem), "{error}");
            }
        }
    }
}

#[test]
fn an_ignore_file_without_bounds_is_an_error() {
    let dir = temp();
    let path = make(dir.path(), ".gitignore");
    let file = std::fs::File::create(&path).expect("created");
    file.set_len(5 << 20).expect("grown");
    make(dir.path(), "a");
    let seen = visit(&Walk::new(dir.path()).gitignore(true));
    assert_eq!(seen.names(dir.path()), ["", ".gitignore", "a"]);
    let [error] = &seen.errors[..] else { panic!("{:?}", seen.errors) };
    assert_eq!(error.path(), path);
}
