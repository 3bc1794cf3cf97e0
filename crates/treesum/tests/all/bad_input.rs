//! Every bad input of the list: one clear line that names the path, an exit code, nothing lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::program::{BINARY, command, run, treesum, wrapped};
use crate::tree::{line, tempdir, write};

/// The program as a user without rights, with a copy that this user can read; none where that
/// cannot be done, with the reason printed. Whoever is not root has no such rights anyway.
pub(crate) fn as_nobody(dir: &Path, args: &[&str]) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(command(args));
    }
    let binary = dir.join("treesum-copy");
    fs::copy(BINARY, &binary).unwrap();
    let mut all = vec!["--reuid=65534", "--regid=65534", "--clear-groups"];
    all.push(binary.to_str().unwrap());
    let probe = wrapped("setpriv", all.iter().copied().chain(["--version"])).output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: cannot run as another user: {probe:?}");
        return None;
    }
    all.extend(args);
    Some(wrapped("setpriv", all))
}

#[test]
fn usage_errors_exit_with_2() {
    let dir = tempdir();
    for args in [
        &[][..],
        &["scan"],
        &["verify"],
        &["scan", "--nonsense", "."],
        &["scan", "--threads", "0", "."],
        &["scan", "--format", "md5", "."],
        &["scan", "--max-depth", "-1", "."],
        &["sum", "."],
        &["scan", ""],
    ] {
        let ran = treesum(dir.path(), args);
        assert_eq!(ran.code(), Some(2), "{args:?}: {ran:?}");
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_missing_path_is_named_and_the_others_are_scanned() {
    let dir = tempdir();
    write(dir.path(), "a/1", "x");
    let ran = treesum(dir.path(), ["scan", "gone", "a"]).expect(1);
    let ran = ran.says(&["treesum: gone: No such file or directory"]);
    assert_eq!(ran.lines(), [line(b"a/1", b"x")]);
    treesum(dir.path(), ["scan", "a/1/below"]).expect(1).says(&["a/1/below: Not a directory"]);
}

#[test]
fn what_is_no_directory_is_named_if_it_was_asked_for() {
    let dir = tempdir();
    write(dir.path(), "file", "x");
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    for path in ["file", "dangling", "/dev/null"] {
        let ran = treesum(dir.path(), ["scan", path]).expect(1);
        assert_eq!(ran.stderr, format!("treesum: {path}: not a directory\n"));
        assert!(ran.stdout.is_empty());
    }
}

/// A tree that is not mounted, or a name that was mistyped, must not cost the manifest of old.
#[test]
fn a_path_that_cannot_be_scanned_leaves_the_old_manifest() {
    let dir = tempdir();
    write(dir.path(), "file", "x");
    write(dir.path(), "full/file", "x");
    fs::create_dir_all(dir.path().join("empty/below")).unwrap();
    for (paths, told) in [
        (&["gone"][..], "gone: No such file or directory (os error 2)"),
        (&["empty"], "empty: no file below it"),
        (&["file"], "file: not a directory"),
        (&["full", "gone"], "gone: No such file or directory (os error 2)"),
    ] {
        write(dir.path(), "m", "the old one");
        let args = [&["scan", "-o", "m", "--quiet"], paths].concat();
        let ran = treesum(dir.path(), args).expect(1);
        assert_eq!(ran.stderr, format!("treesum: {told}\ntreesum: m: not written\n"));
        assert_eq!(fs::read(dir.path().join("m")).unwrap(), b"the old one", "{paths:?}");
    }
    // One of several may be empty: what there is was found.
    treesum(dir.path(), ["scan", "full", "empty", "-o", "m"]).expect(0).silent();
}

#[test]
fn unreadable_files_and_directories_are_named_and_the_rest_goes_on() {
    let dir = tempdir();
    let tree = dir.path().join("tree");
    for name in ["a", "locked-dir/inside", "locked-file", "z"] {
        write(&tree, name, name);
    }
    let lock = |name: &str, mode| {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    lock("locked-dir", 0);
    lock("locked-file", 0);
    let Some(mut command) = as_nobody(dir.path(), &["scan", "tree"]) else { return };
    let ran = run(command.current_dir(dir.path())).expect(1);
    assert_eq!(ran.lines(), [line(b"tree/a", b"a"), line(b"tree/z", b"z")]);
    let ran = ran.says(&["tree/locked-dir: Permission denied"]);
    let ran = ran.says(&["tree/locked-file: Permission denied"]);
    ran.says(&["2 of 3 files hashed, 2 could not be read"]);

    lock("", 0o311);
    let Some(mut command) = as_nobody(dir.path(), &["scan", "tree"]) else { return };
    let ran = run(command.current_dir(dir.path())).expect(1);
    assert!(ran.stdout.is_empty());
    ran.says(&["treesum: tree: Permission denied"]);
    lock("", 0o755);
    lock("locked-dir", 0o755);
    // For whoever removes the tree.
    lock("", 0o755);
    lock("locked-dir", 0o755);
}

#[test]
fn names_cannot_break_a_message_into_lines() {
    let dir = tempdir();
    let ran = treesum(dir.path(), ["scan", "a\nb\u{1b}[31m", "--quiet"]).expect(1);
    assert_eq!(ran.stderr.lines().count(), 1, "{:?}", ran.stderr);
    ran.says(&["treesum: a\\nb\\u{1b}[31m: "]);
}

#[test]
fn a_full_disk_ends_standard_output_with_a_message() {
    let dir = tempdir();
    write(dir.path(), "a", "x");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = command(["scan", "."]);
    let output = command.current_dir(dir.path()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("treesum: standard output: No space left"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn few_descriptors_give_every_file_or_a_message() {
    let dir = tempdir();
    for i in 0..40 {
        write(dir.path(), format!("{i}/a/b/c/d/e/f/g/h/i/j/file"), "x");
    }
    for limit in ["--nofile=16", "--nofile=20", "--nofile=24"] {
        let args = [limit, BINARY, "scan", ".", "--quiet"];
        let ran = run(wrapped("prlimit", args).current_dir(dir.path()));
        let (lines, messages) = (ran.lines().len(), ran.stderr.lines().count());
        let all = ran.code() == Some(0) && lines == 40;
        // A message may stand for a directory with several files in it.
        let told = ran.code() == Some(1) && messages > 0 && lines + messages <= 40;
        assert!(all || told, "{limit}: {lines} lines, {ran:?}");
    }
}
