//! What a process leaves.

use super::{Ended, Program, error::Failed};
use std::{borrow::Cow, fmt, os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// One of the outputs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// What was captured of an output.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) bytes: Vec<u8>,
    pub(super) dropped: u64,
}

/// A process that was there when the program that had started it had ended, and was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub(super) pid: u32,
    pub(super) name: String,
}

impl Leftover {
    /// Its number, which another process may have by now.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name, of which the system keeps 15 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a process left when it ended: its status and its output.
#[derive(Clone)]
pub struct ProcOutput {
    pub(super) program: Program,
    pub(super) status: ExitStatus,
    pub(super) ended: Ended,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) pipes_held: bool,
    pub(super) leftovers: Vec<Leftover>,
}

impl ProcOutput {
    /// The program, and what it was called.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// How it exited.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its exit code, unless a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Whether it ended by itself, or was stopped or killed.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// What it wrote to its standard output, if that was captured: the first bytes, up to
    /// [`max_output`](super::Proc::max_output).
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        &self.stdout.bytes
    }

    /// The same as text; bytes that are not UTF-8 are replaced by U+FFFD.
    #[must_use]
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout.bytes)
    }

    /// The same, by value.
    #[must_use]
    pub fn into_stdout(self) -> Vec<u8> {
        self.stdout.bytes
    }

    /// What it wrote to its standard error, if that was captured, as for standard output.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.stderr.bytes
    }

    /// The same as text; bytes that are not UTF-8 are replaced by U+FFFD.
    #[must_use]
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr.bytes)
    }

    /// How many bytes it wrote to that output beyond what there is of it here.
    #[must_use]
    pub fn dropped(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout.dropped,
            Stream::Stderr => self.stderr.dropped,
        }
    }

    /// Whether another process held one of the outputs for longer than
    /// [`wait_delay`](super::Proc::wait_delay) after this one had ended: what that one wrote
    /// later is lost.
    #[must_use]
    pub fn pipes_held(&self) -> bool {
        self.pipes_held
    }

    /// What was still there of the tree, and was killed, as far as it was seen: no more than 64
    /// of them, and without [`Tree::Descendants`](super::Tree::Descendants) only what took its
    /// time to die. Empty on systems other than Linux.
    #[must_use]
    pub fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }

    /// Itself, if it exited with code 0.
    ///
    /// # Errors
    ///
    /// An error that names the program and its status, and quotes the last line that it wrote to
    /// its standard error, otherwise.
    pub fn check(self) -> Result<Self, Failed> {
        if self.success() { Ok(self) } else { Err(Failed(Box::new(self))) }
    }

    /// The end of the last line of standard error, for an error message.
    pub(super) fn last_words(&self) -> String {
        const MAX: usize = 200;
        let text = self.stderr.bytes.trim_ascii_end();
        let line = text.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.is_empty() {
            return String::new();
        }
        let (dots, end) = match line.len().checked_sub(MAX) {
            Some(from @ 1..) => ("...", &line[from..]),
            _ => ("", line),
        };
        format!(": {dots}{}", String::from_utf8_lossy(end))
    }
}

impl fmt::Debug for ProcOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcOutput")
            .field("program", &self.program)
            .field("status", &self.status)
            .field("ended", &self.ended)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("pipes_held", &self.pipes_held)
            .field("leftovers", &self.leftovers)
            .finish()
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("bytes", &self.bytes.len())
            .field("dropped", &self.dropped)
            .finish()
    }
}
