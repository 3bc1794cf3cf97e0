//! Runs the built program: a child neither outlives its limit nor the program that started it.
#![expect(
    clippy::unwrap_used,
    reason = "only functions marked as tests are exempt, and these help them"
)]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use xtask::{
    clock,
    process::{Cmd, End, Runner},
};

const LEASH: &str = env!("CARGO_BIN_EXE_xtask");

fn runner(dir: &tempfile::TempDir) -> Runner {
    Runner::new(PathBuf::from(LEASH), dir.path().to_path_buf())
}

fn run(script: &str, limit: Duration) -> (End, String, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let started = clock::now();
    let end = runner(&dir).run(&Cmd::new("sh").args(["-c", script]), &log, limit).unwrap();
    (end, fs::read_to_string(path).unwrap(), clock::now().duration_since(started))
}

/// Whether the process runs; a zombie does not.
fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started: Instant = clock::now();
    while !holds() {
        assert!(clock::now().duration_since(started) < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn output_and_exit_status_come_through() {
    assert_eq!(run("echo out; echo err >&2", LONG).0, End::Success);
    let (end, output, _) = run("echo out; echo err >&2; exit 3", LONG);
    assert_eq!((end, output.as_str()), (End::Failure(3), "out\nerr\n"));
    assert_eq!(run("kill -TERM $$", LONG).0, End::Failure(128 + 15));
}

#[test]
fn a_program_that_does_not_exist_is_a_failure_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = fs::File::create(&path).unwrap();
    let end = runner(&dir).run(&Cmd::new("no-such-program-of-tidegate"), &log, LONG).unwrap();
    assert_eq!(end, End::Failure(127));
    assert!(fs::read_to_string(path).unwrap().contains("no-such-program-of-tidegate"));
}

#[test]
fn the_limit_kills_the_whole_group() {
    let (end, output, took) =
        run("sleep 1000 & echo $!; echo $$; wait", Duration::from_millis(500));
    assert_eq!(end, End::Killed);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let pids: Vec<&str> = output.lines().collect();
    assert_eq!(pids.len(), 2, "{output}");
    for pid in pids {
        wait_until("the group is killed", || !alive(pid));
    }
}

#[test]
fn what_a_child_leaves_behind_is_killed() {
    let (end, output, _) = run("sleep 1000 >/dev/null 2>&1 & echo $!", LONG);
    assert_eq!(end, End::Success);
    wait_until("the orphan is killed", || !alive(output.trim()));
}

#[test]
fn the_child_does_not_outlive_its_owner() {
    let mut leash = Command::new(LEASH)
        .args(["leash", "--", "sh", "-c", "echo $$; exec sleep 1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(leash.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert!(alive(line.trim()));
    // What happens to the pipe when the owner is killed.
    drop(leash.stdin.take());
    assert_eq!(leash.wait().unwrap().code(), Some(137));
    wait_until("the child is killed", || !alive(line.trim()));
}

#[test]
fn an_unknown_lane_is_a_usage_error() {
    let status = Command::new(LEASH).arg("nope").stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
