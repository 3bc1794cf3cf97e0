//! Signals: a bounded end, an honest report, no half manifest.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::iter;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::manifest_file::names;
use crate::program::{command, drain, now, poll, treesum, wait};
use crate::tree::{line, tempdir, write};

/// Within this, a program that can drain has drained; one that cannot is given up after 2 s.
const DRAIN: Duration = Duration::from_millis(1500);
/// With some time on top for a busy machine.
const GIVEN_UP: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn start(dir: &Path, args: &[&str]) -> Child {
    let mut command = command(args);
    command.current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A tree with a small file and one that takes a minute to hash; in this order if sorted.
fn endless_tree(dir: &Path) {
    write(dir, "tree/a", "x");
    File::create(dir.join("tree/huge")).unwrap().set_len(200 << 30).unwrap();
}

/// Waits until the program has the huge file open.
fn reading_the_huge_file(child: &Child) {
    let fds = format!("/proc/{}/fd", child.id());
    let open = || {
        let targets = fs::read_dir(&fds).unwrap().flatten().map(|fd| fs::read_link(fd.path()));
        targets.flatten().any(|target| target.ends_with("tree/huge"))
    };
    assert!(poll(PATIENCE, open), "the huge file is never read");
}

/// The end after a signal at `since`: interrupted, within `within`; what was said on stderr.
fn interrupted(child: &mut Child, since: Instant, within: Duration) -> String {
    let stderr = drain(child.stderr.take().unwrap());
    let status = wait(child, PATIENCE);
    let took = now() - since;
    assert_eq!(status.code(), Some(130), "{}", stderr.join().unwrap().escape_ascii());
    assert!(took < within, "took {took:?}");
    String::from_utf8(stderr.join().unwrap()).unwrap()
}

#[test]
fn an_interrupted_scan_says_what_is_done_and_what_is_not() {
    let dir = tempdir();
    endless_tree(dir.path());
    for kind in [Signal::INT, Signal::TERM] {
        let mut child = start(dir.path(), &["scan", "tree", "--threads", "2"]);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = Vec::new();
        stdout.read_until(b'\n', &mut first).unwrap();
        assert_eq!(first, [line(b"tree/a", b"x"), b"\n".to_vec()].concat());
        reading_the_huge_file(&child);
        let since = now();
        signal(&child, kind);
        let text = interrupted(&mut child, since, DRAIN);
        assert_eq!(text, "treesum: interrupted: 2 files found, 1 hashed, 0 failed; not done: 1\n");
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
}

#[test]
fn a_scan_says_what_it_does_and_goes_on() {
    let dir = tempdir();
    endless_tree(dir.path());
    let mut child = start(dir.path(), &["scan", "tree", "--threads", "2"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    reading_the_huge_file(&child);
    for asked in [Signal::USR1, Signal::QUIT] {
        signal(&child, asked);
        let mut picture = String::new();
        while !picture.contains("reading ") {
            assert!(stderr.read_line(&mut picture).unwrap() > 0, "{picture}");
        }
        let lines: Vec<_> = picture.lines().collect();
        assert!(lines[0].starts_with("/treesum: scope "), "{picture}");
        assert!(lines.iter().any(|line| line.contains("hash: blocking running for ")), "{picture}");
        assert_eq!(lines.last(), Some(&"reading tree/huge"), "{picture}");
    }
    signal(&child, Signal::INT);
    assert_eq!(wait(&mut child, PATIENCE).code(), Some(130));
}

#[test]
fn an_interrupted_scan_leaves_the_old_manifest_and_nothing_else() {
    let dir = tempdir();
    endless_tree(dir.path());
    write(dir.path(), "out/m", "the old one");
    // With one thread, these wait behind the huge file; with two, they are done before the signal.
    for i in 0..300 {
        write(dir.path(), format!("tree/later/{i}"), "x");
    }
    for (kind, threads) in [(Signal::INT, "1"), (Signal::TERM, "1"), (Signal::INT, "2")] {
        let args = ["scan", "tree", "-o", "out/m", "--threads", threads];
        let mut child = start(dir.path(), &args);
        reading_the_huge_file(&child);
        let since = now();
        signal(&child, kind);
        let text = interrupted(&mut child, since, DRAIN);
        assert!(text.starts_with("treesum: interrupted: "), "{text}");
        assert!(!text.contains("not done: 0"), "{text}");
        assert_eq!(fs::read(dir.path().join("out/m")).unwrap(), b"the old one", "{threads}");
        assert_eq!(names(&dir.path().join("out")), ["m"]);
    }
}

#[test]
fn a_killed_scan_leaves_the_old_manifest_and_what_looks_like_none() {
    let dir = tempdir();
    endless_tree(dir.path());
    write(dir.path(), "out/m", "the old one");
    let mut child = start(dir.path(), &["scan", "tree", "-o", "out/m"]);
    reading_the_huge_file(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(dir.path().join("out/m")).unwrap(), b"the old one");
    for name in names(&dir.path().join("out")) {
        assert!(name == "m" || name.starts_with(".tidegate-"), "{name}");
    }
    // What is left is not taken for a file of the tree, and not in the way.
    write(dir.path(), "out/new", "x");
    treesum(&dir.path().join("out"), ["scan", ".", "-o", "m"]).expect(0).silent();
    let expected = [line(b"./new", b"x"), b"\n".to_vec()].concat();
    assert_eq!(fs::read(dir.path().join("out/m")).unwrap(), expected);
}

#[test]
fn an_interrupted_verification_says_so() {
    let dir = tempdir();
    endless_tree(dir.path());
    let manifest = [line(b"tree/a", b"x"), b"\n".to_vec(), line(b"tree/huge", b"")].concat();
    write(dir.path(), "m", manifest);
    let mut child = start(dir.path(), &["verify", "m"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "tree/a: OK\n");
    reading_the_huge_file(&child);
    let since = now();
    signal(&child, Signal::INT);
    let text = interrupted(&mut child, since, DRAIN);
    let told = "treesum: m: 1 ok, 0 changed, 0 missing, 0 unreadable\n\
                treesum: interrupted: 2 files found, 1 hashed, 0 failed; not done: 1\n";
    assert!(text.starts_with(told), "{text}");
}

/// Starts a scan whose output nobody reads, and waits until it cannot write any more.
fn blocked(dir: &Path) -> Child {
    let child = start(dir, &["scan", "tree"]);
    full(child.stdout.as_ref().unwrap());
    child
}

/// Waits until a pipe that nobody reads takes no more.
fn full(pipe: impl AsFd) {
    let mut last = 0;
    let mut stuck_since = now();
    // A pipe holds 64 KiB: it is full when nothing has been added to it for a while.
    let full = || {
        let filled = rustix::io::ioctl_fionread(&pipe).unwrap();
        if filled != last {
            (last, stuck_since) = (filled, now());
        }
        filled > 60_000 && now() - stuck_since > Duration::from_millis(200)
    };
    assert!(poll(PATIENCE, full), "the pipe is never full");
}

fn long_tree(dir: &Path) {
    for i in 0..5000 {
        write(dir, format!("tree/{i:064}"), "");
    }
}

#[test]
fn a_scan_that_cannot_write_ends_all_the_same() {
    let dir = tempdir();
    long_tree(dir.path());
    let mut child = blocked(dir.path());
    let since = now();
    signal(&child, Signal::INT);
    let text = interrupted(&mut child, since, GIVEN_UP);
    assert!(text.contains("treesum: interrupted: "), "{text}");
    assert!(text.contains("treesum: still running: task /treesum/work"), "{text}");
}

#[test]
fn a_full_standard_error_does_not_keep_the_program_alive() {
    let dir = tempdir();
    let (reader, writer) = io::pipe().unwrap();
    // Each complaint is shorter than the last words, which cannot slip in behind them.
    let missing = iter::repeat_n("x", 5000);
    let mut command = command(iter::once("scan").chain(missing));
    let mut child = command.current_dir(dir.path()).stderr(writer).spawn().unwrap();
    // It holds an end of the pipe that the program writes to.
    drop(command);
    full(&reader);
    let since = now();
    signal(&child, Signal::INT);
    let status = wait(&mut child, PATIENCE);
    let took = now() - since;
    assert_eq!(status.code(), Some(130));
    assert!(took < GIVEN_UP, "took {took:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempdir();
    long_tree(dir.path());
    let mut child = blocked(dir.path());
    let since = now();
    // Signals that arrive together count as one: repeat until the end.
    let ended = poll(PATIENCE, || {
        signal(&child, Signal::INT);
        child.try_wait().unwrap().is_some()
    });
    assert!(ended);
    // One signal alone would have taken the grace of a second and more.
    let text = interrupted(&mut child, since, Duration::from_millis(900));
    assert!(text.contains("treesum: interrupted: "), "{text}");
}
