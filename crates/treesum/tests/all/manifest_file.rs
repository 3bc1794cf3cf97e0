//! `-o FILE`: whole or not at all, and never itself among the files it lists.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::bad_input::as_nobody;
use crate::program::{BINARY, command, run, treesum, wrapped};
use crate::tree::{line, tempdir, write};

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| name(entry).unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_file_holds_what_would_have_been_printed() {
    let dir = tempdir();
    for name in ["tree/a", "tree/b"] {
        write(dir.path(), name, name);
    }
    let printed = treesum(dir.path(), ["scan", "tree"]).expect(0).stdout;
    let ran = treesum(dir.path(), ["scan", "tree", "-o", "m"]).expect(0).silent();
    assert!(ran.stdout.is_empty());
    assert_eq!(fs::read(dir.path().join("m")).unwrap(), printed);
    let before = fs::metadata(dir.path().join("m")).unwrap().ino();
    treesum(dir.path(), ["scan", "tree", "--output", "./m"]).expect(0).silent();
    assert_ne!(
        fs::metadata(dir.path().join("m")).unwrap().ino(),
        before,
        "replaced, not rewritten"
    );
    assert_eq!(fs::read(dir.path().join("m")).unwrap(), printed);
    assert_eq!(names(dir.path()), ["m", "tree"]);
}

#[test]
fn a_manifest_in_the_tree_lists_everything_but_itself() {
    let dir = tempdir();
    for name in ["a", "sub/manifest", "z"] {
        write(dir.path(), name, name);
    }
    let mut expected = Vec::new();
    for name in ["a", "sub/manifest", "z"] {
        expected.extend(line(format!("./{name}").as_bytes(), name.as_bytes()));
        expected.push(b'\n');
    }
    for order in [&[][..], &["--unordered", "--threads", "1"]] {
        for round in ["written", "replaced"] {
            let args = ["scan", ".", "-o", "manifest"].iter().chain(order);
            treesum(dir.path(), args).expect(0).silent();
            let mut lines = fs::read(dir.path().join("manifest")).unwrap();
            if !order.is_empty() {
                let mut sorted: Vec<_> = lines.split_inclusive(|&byte| byte == b'\n').collect();
                sorted.sort_by_key(|line| line[66..].to_vec());
                lines = sorted.concat();
            }
            assert!(lines == expected, "{round}: {}", lines.escape_ascii());
        }
        fs::remove_file(dir.path().join("manifest")).unwrap();
    }
}

#[test]
fn a_link_that_is_followed_to_the_manifest_is_left_out() {
    let dir = tempdir();
    write(dir.path(), "a", "x");
    write(dir.path(), "m", "the old one");
    symlink("m", dir.path().join("link")).unwrap();
    treesum(dir.path(), ["scan", ".", "--follow", "-o", "m"]).expect(0).silent();
    assert_eq!(fs::read(dir.path().join("m")).unwrap(), [&line(b"./a", b"x")[..], b"\n"].concat());
    treesum(dir.path(), ["verify", "m"]).expect(0);
}

#[test]
fn a_file_that_standard_output_goes_to_is_left_out() {
    let dir = tempdir();
    write(dir.path(), "a", "x");
    write(dir.path(), "z", "y");
    let sums = File::create(dir.path().join("sums")).unwrap();
    let mut command = command(["scan", ".", "--unordered"]);
    let status = command.current_dir(dir.path()).stdout(sums).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let ran = treesum(dir.path(), ["verify", "sums"]).expect(0);
    assert_eq!(ran.lines().len(), 2, "{ran:?}");
}

#[test]
fn unreadable_files_are_missing_from_a_manifest_that_is_written_all_the_same() {
    let dir = tempdir();
    write(dir.path(), "t/a", "x");
    let locked = write(dir.path(), "t/locked", "x");
    fs::set_permissions(locked, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let Some(mut command) = as_nobody(dir.path(), &["scan", "t", "-o", "m"]) else { return };
    run(command.current_dir(dir.path())).expect(1).says(&["t/locked: Permission denied"]);
    let expected = [line(b"t/a", b"x"), b"\n".to_vec()].concat();
    assert_eq!(fs::read(dir.path().join("m")).unwrap(), expected);
}

#[test]
fn an_output_that_cannot_be_made_is_named_before_anything_is_scanned() {
    let dir = tempdir();
    write(dir.path(), "a/1", "x");
    treesum(dir.path(), ["scan", "a", "-o", "no/such/dir"]).expect(1).says(&["no/such/dir"]);
    treesum(dir.path(), ["scan", "a", "-o", "."]).expect(1).says(&["\".\""]);
    fs::create_dir(dir.path().join("d")).unwrap();
    treesum(dir.path(), ["scan", "a", "-o", "d"]).expect(1).says(&["\"d\""]);
    treesum(dir.path(), ["scan", "a", "-o", "/dev/null"]).expect(1).says(&["/dev/null"]);
    assert!(names(&dir.path().join("d")).is_empty());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if let Some(mut command) = as_nobody(dir.path(), &["scan", "a", "-o", "m"]) {
        run(command.current_dir(dir.path())).expect(1).says(&["\"m\"", "Permission denied"]);
    }
    assert!(!dir.path().join("m").exists());
}

/// Runs the program where the output does not fit; `wrapper` comes before the program.
fn does_not_fit(dir: &Path, wrapper: &[&str], reason: &str) {
    let old = fs::read(dir.join("out/m")).unwrap();
    let args = wrapper.iter().chain(&[BINARY, "scan", "tree", "-o", "out/m"]);
    let ran = run(wrapped("env", args).current_dir(dir)).expect(1);
    let ran = ran.says(&["out/m", reason]);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert_eq!(fs::read(dir.join("out/m")).unwrap(), old, "the old manifest is untouched");
    assert_eq!(names(&dir.join("out")), ["m"], "and nothing else is left");
}

#[test]
fn a_file_that_does_not_fit_leaves_the_old_one() {
    let dir = tempdir();
    for i in 0..3000 {
        write(dir.path(), format!("tree/{i}"), "");
    }
    write(dir.path(), "out/m", "the old one");
    // A limit of the file size stands for the full disk where nothing may be mounted.
    let limit = ["--ignore-signal=XFSZ", "prlimit", "--fsize=100000"];
    does_not_fit(dir.path(), &limit, "File too large");

    let out = dir.path().join("out");
    let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
    let mounted = wrapped("mount", mount).arg(&out).output();
    if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("without a full disk: cannot mount: {mounted:?}");
        return;
    }
    write(dir.path(), "out/m", "the old one");
    let result = std::panic::catch_unwind(|| does_not_fit(dir.path(), &[], "No space left"));
    assert!(wrapped("umount", [&out]).status().unwrap().success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
