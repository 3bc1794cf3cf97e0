//! Runs the program under test, never longer than a minute.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_treesum");

/// A program that is still running after this long hangs.
const HANG: Duration = Duration::from_secs(60);

/// How a run ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The lines of standard output as bytes, without their ends.
    pub(crate) fn lines(&self) -> Vec<&[u8]> {
        let mut lines: Vec<_> = self.stdout.split(|&byte| byte == b'\n').collect();
        assert_eq!(lines.pop(), Some(&b""[..]), "the last line has an end");
        lines
    }

    /// Asserts the exit code, and that every message names the program on one line.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:?}");
        for line in self.stderr.lines() {
            assert!(line.starts_with("treesum: "), "{line:?} of {}", self.stderr);
        }
        self
    }

    /// Asserts that exactly one message holds all of `parts`.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        let says = |line: &&str| parts.iter().all(|part| line.contains(part));
        let found = self.stderr.lines().filter(says).count();
        assert_eq!(found, 1, "{parts:?} in {}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn silent(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }
}

/// A command with the program and these arguments, standard input closed.
pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    wrapped(BINARY, args)
}

pub(crate) fn wrapped<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the program in `dir` to its end.
pub(crate) fn treesum<A: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = A>) -> Ran {
    run(command(args).current_dir(dir))
}

/// Runs a command to its end, and kills it if it hangs.
pub(crate) fn run(command: &mut Command) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let status = wait(&mut child, HANG);
    let stderr = String::from_utf8(stderr.join().unwrap()).unwrap();
    Ran { status, stdout: stdout.join().unwrap(), stderr }
}

/// Reads a pipe to its end on a thread of its own.
pub(crate) fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    let read = move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    };
    std::thread::Builder::new().spawn(read).unwrap()
}

/// Waits for the end, and kills what has not ended in time.
pub(crate) fn wait(child: &mut Child, within: Duration) -> ExitStatus {
    // There is no descriptor for one whose end was seen already.
    if let Some(status) = child.try_wait().unwrap() {
        return status;
    }
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let timeout = within.try_into().unwrap();
    if rustix::event::poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&timeout)).unwrap() == 0 {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("still running after {within:?}");
    }
    child.wait().unwrap()
}

/// Asks until the answer is yes, or the time is over.
pub(crate) fn poll(within: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let end = now() + within;
    loop {
        if ask() {
            return true;
        }
        if now() > end {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "an interval between two looks, no deadline"
        )]
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[expect(clippy::disallowed_methods, reason = "real time of another process is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
