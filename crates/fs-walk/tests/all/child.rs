//! Tests that need a process of their own: for its limits, its user, or its threads.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const VARIABLE: &str = "TIDEGATE_FS_WALK_CHILD";

/// How many times as long as usual things may take, for programs that are slow on purpose.
const SLOWNESS: &str = "TIDEGATE_SLOWNESS";

/// Runs `body` in a new process that runs only the test `name` of this binary.
pub(crate) fn in_child(name: &str, setup: impl FnOnce(&mut Command), body: impl FnOnce()) {
    if std::env::var_os(VARIABLE).is_some_and(|running| running == *name) {
        return body();
    }
    let exe = std::env::current_exe().expect("this binary");
    let mut command = Command::new(exe);
    command.args([name, "--exact", "--nocapture"]).env(VARIABLE, name);
    setup(&mut command);
    let output = command.output().expect("started");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "it ran nothing:\n{out}\n{err}");
    // What the stress lane counts.
    let told = err.lines().filter(|line| line.starts_with("stress: "));
    told.for_each(tell);
}

#[expect(clippy::print_stderr, reason = "where testkit tells it")]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// States (`R`, `S`, ..) of the threads of a walk in this process.
pub(crate) fn walk_threads() -> Vec<char> {
    let mut states = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").expect("tasks") {
        let task = task.expect("a task").path();
        // A thread may end while this looks at it.
        let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { continue };
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        if stat[open..close].starts_with("(tidegate-walk") {
            states.extend(stat[close + 2..].chars().next());
        }
    }
    states
}

/// Asserts that the threads of a walk were joined: what the kernel still shows of them ends soon.
pub(crate) fn assert_no_threads() {
    time_to_no_threads();
}

/// How long it takes until no thread of a walk is left; panics after 5 s.
pub(crate) fn time_to_no_threads() -> Duration {
    wait_until("no thread of a walk is left", || walk_threads().is_empty())
}

/// Half of the rounds took less; one slow round on a busy machine proves nothing.
#[track_caller]
pub(crate) fn assert_median_below(limit: Duration, mut took: Vec<Duration>) {
    let times = std::env::var(SLOWNESS).map_or(1, |times| times.parse().expect("a number"));
    took.sort();
    assert!(took[took.len() / 2] < limit * times, "{took:?}");
}

/// Waits for a condition that other threads bring about; panics after 5 s.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(5), "{what}: not after 5 s");
        std::thread::yield_now();
    }
    start.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn open_fds() -> usize {
    // One of them is the one that reads this.
    std::fs::read_dir("/proc/self/fd").expect("descriptors").count() - 1
}

pub(crate) fn limit_fds(limit: u64) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Nofile, limit).expect("lowering a limit is allowed");
}

/// Copies this binary to where any user can run it.
pub(crate) fn public_copy(dir: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = dir.join("test-binary");
    std::fs::copy(std::env::current_exe().expect("this binary"), &copy).expect("copied");
    for path in [dir, copy.as_path()] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("public");
    }
    copy
}
