//! `treesum verify`: what matches, what does not, and what is refused.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use tidegate_testkit::Seed;

use crate::bad_input::as_nobody;
use crate::program::{command, run, treesum, wait};
use crate::tree::{self, line, tempdir, write};

#[test]
fn what_was_scanned_verifies() {
    let seed = Seed::from_env_or_new("verify");
    let dir = tempdir();
    fs::create_dir(dir.path().join("tree")).unwrap();
    tree::random(&dir.path().join("tree"), &mut seed.rng(), 300);
    treesum(dir.path(), ["scan", "tree", "-o", "manifest"]).expect(0).silent();
    for threads in ["1", "4"] {
        let args = ["verify", "manifest", "--threads", threads];
        let ran = treesum(dir.path(), args).expect(0);
        let ran = ran.says(&["manifest: 300 ok, 0 changed, 0 missing, 0 unreadable"]);
        let all_ok = ran.lines().iter().all(|line| line.ends_with(b": OK"));
        assert!(ran.lines().len() == 300 && all_ok, "{seed}: {}", ran.stdout.escape_ascii());
    }
    let ran = treesum(dir.path(), ["verify", "manifest", "--quiet"]).expect(0).silent();
    assert_eq!(ran.text(), "");
}

#[test]
fn what_differs_is_told_in_the_order_of_the_manifest() {
    let dir = tempdir();
    let names = ["same", "changed", "longer", "gone", "was-file", "a\nb"];
    for name in names {
        write(dir.path(), name, name);
    }
    // Not in the order of a scan.
    let lines = names.map(|name| [line(name.as_bytes(), name.as_bytes()), b"\n".to_vec()]);
    write(dir.path(), "m", lines.concat().concat());
    write(dir.path(), "changed", "chANGED");
    write(dir.path(), "longer", "longer.");
    write(dir.path(), "a\nb", "other");
    fs::remove_file(dir.path().join("gone")).unwrap();
    fs::remove_file(dir.path().join("was-file")).unwrap();
    fs::create_dir(dir.path().join("was-file")).unwrap();
    let ran = treesum(dir.path(), ["verify", "m"]).expect(1);
    assert_eq!(
        ran.text(),
        "same: OK\n\
         changed: FAILED (changed)\n\
         longer: FAILED (changed)\n\
         gone: FAILED (missing)\n\
         was-file: FAILED (unreadable: not a regular file)\n\
         \\a\\nb: FAILED (changed)\n"
    );
    ran.says(&["m: 1 ok, 3 changed, 1 missing, 1 unreadable"]);
    let ran = treesum(dir.path(), ["verify", "m", "--quiet"]).expect(1).silent();
    assert!(!ran.text().contains("OK") && ran.text().lines().count() == 5, "{ran:?}");
}

#[test]
fn an_unreadable_file_is_not_a_changed_one() {
    let dir = tempdir();
    let file = write(dir.path(), "t/locked", "x");
    treesum(dir.path(), ["scan", "t", "-o", "m"]).expect(0);
    fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
    let Some(mut command) = as_nobody(dir.path(), &["verify", "m"]) else { return };
    let ran = run(command.current_dir(dir.path())).expect(1);
    assert!(ran.text().starts_with("t/locked: FAILED (unreadable: Permission denied"), "{ran:?}");
}

#[test]
fn broken_lines_are_named_by_number_and_the_others_are_checked() {
    let dir = tempdir();
    write(dir.path(), "a", "x");
    let good = String::from_utf8(line(b"a", b"x")).unwrap();
    write(dir.path(), "m", format!("{good}\nrubbish\n\n{good}\r\n{}", &good[1..]));
    let ran = treesum(dir.path(), ["verify", "m"]).expect(1);
    assert_eq!(ran.text(), "a: OK\na: OK\n");
    let ran = ran.says(&["m:2: neither `<hash>  <path>`"]).says(&["m:3: an empty line"]);
    let ran = ran.says(&["m:5: the hash does not have 64 digits"]);
    ran.says(&["m: 2 ok, 0 changed, 0 missing, 0 unreadable, 3 broken lines"]);
}

#[test]
fn paths_that_lead_outside_are_refused_unless_allowed() {
    let dir = tempdir();
    write(dir.path(), "sub/a", "x");
    let absolute = write(dir.path(), "b", "y");
    let absolute = absolute.to_str().unwrap();
    let mut manifest = line(b"a", b"x");
    for path in ["../b", "./x/../a", absolute] {
        manifest.push(b'\n');
        manifest.extend(line(path.as_bytes(), b"y"));
    }
    write(dir.path(), "sub/m", manifest);
    let ran = treesum(&dir.path().join("sub"), ["verify", "m"]).expect(1);
    assert_eq!(ran.text(), "a: OK\n");
    let ran = ran.says(&["m:2: ../b: a path with `..` is refused"]);
    let ran = ran.says(&["m:3: ./x/../a: a path with `..` is refused"]);
    let ran = ran.says(&[&format!("m:4: {absolute}: an absolute path is refused")]);
    ran.says(&["1 ok", "3 refused"]);

    let ran = treesum(&dir.path().join("sub"), ["verify", "m", "--allow-outside"]).expect(1);
    let expected = format!("a: OK\n../b: OK\n./x/../a: FAILED (missing)\n{absolute}: OK\n");
    assert_eq!(ran.text(), expected);
}

#[test]
fn a_manifest_that_cannot_be_read_is_named() {
    let dir = tempdir();
    treesum(dir.path(), ["verify", "none"]).expect(1).says(&["treesum: none: No such file"]);
    treesum(dir.path(), ["verify", "."]).expect(1).says(&["treesum: .: Is a directory"]);
    write(dir.path(), "json", "{\"path\":\"a\"}\n");
    treesum(dir.path(), ["verify", "json", "-q"]).expect(1).says(&["json:1: a JSON line"]);
}

#[test]
fn a_path_longer_than_the_kernel_takes_is_scanned_and_verified() {
    let dir = tempdir();
    let name = "d".repeat(200);
    tree::chain(dir.path(), &name, 60, |level, at| {
        if level % 20 == 0 {
            tree::write_at(at, "file", b"deep");
        }
    });
    let ran = treesum(dir.path(), ["scan", ".", "-o", "m"]).expect(0).silent();
    assert!(ran.stdout.is_empty());
    let manifest = fs::read(dir.path().join("m")).unwrap();
    assert_eq!(manifest.iter().filter(|&&byte| byte == b'\n').count(), 3);
    assert!(manifest.len() > (20 + 40 + 60) * 200);
    treesum(dir.path(), ["verify", "m"]).expect(0).says(&["m: 3 ok"]);
    tree::remove_chain(dir.path(), &name);
}

#[test]
fn a_line_is_checked_while_the_next_one_is_still_to_come() {
    let dir = tempdir();
    write(dir.path(), "a", "x");
    write(dir.path(), "b", "x");
    let mut command = command(["verify", "-"]);
    command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut manifest = child.stdin.take().unwrap();
    let mut verdicts = BufReader::new(child.stdout.take().unwrap()).lines();
    for name in ["a", "b"] {
        let line = [&line(name.as_bytes(), b"x")[..], b"\n"].concat();
        manifest.write_all(&line).unwrap();
        assert_eq!(verdicts.next().unwrap().unwrap(), format!("{name}: OK"));
    }
    drop(manifest);
    assert!(verdicts.next().is_none());
    assert_eq!(wait(&mut child, Duration::from_secs(30)).code(), Some(0));
}

/// Together they are far more than may be on their way at once.
#[test]
fn lines_of_megabytes_pass_one_after_the_other() {
    let dir = tempdir();
    let mut manifest = Vec::new();
    for letter in b'a'..=b't' {
        let path = [&[letter], &b"/x"[..]].concat().repeat(1_300_000);
        manifest.extend(line(&path, b""));
        manifest.push(b'\n');
    }
    write(dir.path(), "m", manifest);
    let ran = treesum(dir.path(), ["verify", "m"]).expect(1);
    assert_eq!(ran.lines().len(), 20);
}

#[test]
fn a_manifest_without_lines_proves_nothing() {
    let dir = tempdir();
    write(dir.path(), "m", "");
    for manifest in ["m", "/dev/null", "-"] {
        let ran = treesum(dir.path(), ["verify", manifest]).expect(1);
        ran.says(&[&format!("{manifest}: no lines to verify")]);
    }
}
