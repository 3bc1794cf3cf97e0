//! What is printed for a tree, in which order.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use tidegate_testkit::Seed;

use crate::program::treesum;
use crate::tree::{self, expected, line, tempdir, write};

#[test]
fn lines_come_in_the_byte_order_of_their_paths_for_every_number_of_threads() {
    let seed = Seed::from_env_or_new("scan order");
    let dir = tempdir();
    for (name, content) in [("d.x", "1"), ("d/x", "2"), ("d0", "3"), ("d/x.y/z", "4"), ("d/x-", "")]
    {
        write(dir.path(), name, content);
    }
    tree::random(dir.path(), &mut seed.rng(), 600);
    let expected = expected(dir.path(), ".");
    for threads in ["1", "2", "3", "8"] {
        let ran = treesum(dir.path(), ["scan", ".", "--threads", threads]).expect(0).silent();
        assert!(
            ran.lines() == expected,
            "{threads} threads, {seed}: {}",
            ran.stdout.escape_ascii()
        );
        let ran = treesum(dir.path(), ["scan", ".", "--unordered", "--threads", threads]);
        let ran = ran.expect(0).silent();
        let mut lines = ran.lines();
        lines.sort_unstable();
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        assert!(lines == sorted, "unordered, {threads} threads, {seed}");
    }
}

#[test]
fn paths_are_printed_as_find_prints_them() {
    let dir = tempdir();
    let content = write(dir.path(), "a/b", "x");
    let absolute = dir.path().to_str().unwrap();
    for (root, printed) in [
        (".", "./a/b".to_owned()),
        ("./", "./a/b".to_owned()),
        ("a", "a/b".to_owned()),
        ("a/", "a/b".to_owned()),
        ("a//", "a//b".to_owned()),
        ("./a", "./a/b".to_owned()),
        ("a/../a", "a/../a/b".to_owned()),
        (absolute, content.to_str().unwrap().to_owned()),
    ] {
        let ran = treesum(dir.path(), ["scan", root]).expect(0);
        assert_eq!(ran.lines(), [line(printed.as_bytes(), b"x")], "{root}");
    }
}

#[test]
fn paths_are_scanned_one_after_the_other_however_often_they_are_named() {
    let dir = tempdir();
    for name in ["a/1", "a/2", "b/1"] {
        write(dir.path(), name, name);
    }
    let ran = treesum(dir.path(), ["scan", "b", "a", "b", "a"]).expect(0);
    let order = ["b/1", "a/1", "a/2", "b/1", "a/1", "a/2"];
    assert_eq!(ran.lines(), order.map(|name| line(name.as_bytes(), name.as_bytes())));
}

#[test]
fn an_empty_tree_is_an_error() {
    let dir = tempdir();
    fs::create_dir_all(dir.path().join("empty/below")).unwrap();
    let ran = treesum(dir.path(), ["scan", "empty"]).expect(1);
    assert_eq!(ran.stderr, "treesum: empty: no file below it\n");
    assert!(ran.stdout.is_empty());
}

#[test]
fn hidden_files_are_left_out_on_request() {
    let dir = tempdir();
    for name in [".h/a", "v/.b", "v/c"] {
        write(dir.path(), name, "");
    }
    let all = [".h/a", "v/.b", "v/c"].map(|name| line(format!("./{name}").as_bytes(), b""));
    assert_eq!(treesum(dir.path(), ["scan", "."]).expect(0).lines(), all);
    assert_eq!(treesum(dir.path(), ["scan", ".", "--no-hidden", "--hidden"]).lines(), all);
    let ran = treesum(dir.path(), ["scan", ".", "--no-hidden"]).expect(0);
    assert_eq!(ran.lines(), all[2..]);
}

#[test]
fn gitignore_files_are_obeyed_on_request() {
    let dir = tempdir();
    write(dir.path(), ".gitignore", "*.o\n/target/\n!keep.o\n");
    for name in ["a.o", "keep.o", "src/b.o", "src/c", "target/d", "src/target/e"] {
        write(dir.path(), name, "");
    }
    let ran = treesum(dir.path(), ["scan", ".", "--gitignore", "--no-hidden"]).expect(0);
    let kept =
        ["keep.o", "src/c", "src/target/e"].map(|name| line(format!("./{name}").as_bytes(), b""));
    assert_eq!(ran.lines(), kept);
    assert_eq!(treesum(dir.path(), ["scan", ".", "--no-hidden"]).lines().len(), 6);
}

#[test]
fn max_depth_counts_levels_below_the_path() {
    let dir = tempdir();
    for name in ["0", "a/1", "a/b/2"] {
        write(dir.path(), name, "");
    }
    for (depth, files) in [("1", 1), ("2", 2), ("3", 3), ("9", 3)] {
        let ran = treesum(dir.path(), ["scan", ".", "--max-depth", depth]).expect(0);
        assert_eq!(ran.lines().len(), files, "depth {depth}");
    }
    treesum(dir.path(), ["scan", ".", "--max-depth", "0"]).expect(1).says(&[".: no file"]);
}

#[test]
fn links_are_followed_only_on_request_and_loops_are_cut() {
    let dir = tempdir();
    write(dir.path(), "real/file", "x");
    symlink("real", dir.path().join("link")).unwrap();
    symlink("real/file", dir.path().join("to-file")).unwrap();
    symlink("..", dir.path().join("real/up")).unwrap();
    let plain = treesum(dir.path(), ["scan", "."]).expect(0).silent();
    assert_eq!(plain.lines(), [line(b"./real/file", b"x")]);

    let ran = treesum(dir.path(), ["scan", ".", "--follow", "--quiet"]).expect(1);
    let followed = ["./link/file", "./real/file", "./to-file"];
    assert_eq!(ran.lines(), followed.map(|name| line(name.as_bytes(), b"x")));
    let ran = ran.says(&["./real/up: leads back to"]).says(&["./link/up: leads back to"]);
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);

    // A link that is named itself is followed, as by `find -H`.
    let ran = treesum(dir.path(), ["scan", "link"]).expect(0);
    assert_eq!(ran.lines(), [line(b"link/file", b"x")]);
}

#[test]
fn json_lines_hold_every_name_without_loss() {
    let dir = tempdir();
    let names: [&[u8]; 3] = [b"plain", b"with\nline \"and\" \\", b"\xff\xfe"];
    for name in names {
        write(dir.path(), std::ffi::OsStr::from_bytes(name), "12345");
    }
    let ran = treesum(dir.path(), ["scan", ".", "--format", "json"]).expect(0).silent();
    let lines: Vec<serde_json::Value> =
        ran.lines().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["path"], "./plain");
    assert_eq!(lines[1]["path"], "./with\nline \"and\" \\");
    assert_eq!(lines[2]["path"], serde_json::Value::Null);
    assert_eq!(lines[2]["path_hex"], "2e2ffffe");
    for line in lines {
        assert_eq!(line["size"], 5);
        assert_eq!(line["blake3"], blake3::hash(b"12345").to_hex().as_str());
    }
}

#[test]
fn stats_name_every_stage_and_the_bottleneck() {
    let dir = tempdir();
    for name in 0..20 {
        write(dir.path(), name.to_string(), [7; 1000]);
    }
    let ran = treesum(dir.path(), ["scan", ".", "--stats"]);
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    for stage in ["walk ", "hash ", "write "] {
        let row = ran.stderr.lines().find(|line| line.starts_with(stage));
        assert!(row.is_some_and(|row| row.contains(" 20 ")), "{stage}: {}", ran.stderr);
    }
    assert!(ran.stderr.contains("read and hashed 20000 bytes in "), "{}", ran.stderr);
    assert!(ran.stderr.contains("bottleneck: "), "{}", ran.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_the_scan_quietly() {
    let dir = tempdir();
    for name in 0..3000 {
        write(dir.path(), name.to_string(), "");
    }
    let mut command = crate::program::command(["scan", "."]);
    let child = command.current_dir(dir.path()).stderr(std::process::Stdio::piped());
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let stderr = crate::program::drain(child.stderr.take().unwrap());
    let status = crate::program::wait(&mut child, std::time::Duration::from_secs(30));
    assert_eq!(status.code(), Some(141));
    assert_eq!(stderr.join().unwrap(), b"");
}
