//! The only place that writes to standard output and standard error.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use crate::progress::Progress;

/// Bytes gathered before a write to standard output.
const STDOUT_BUFFER: usize = 64 << 10;

/// Where messages go.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    progress: Progress,
}

impl Console {
    /// Draws the progress line if `progress` is wanted and lines of output do not disturb it:
    /// stderr is a terminal, and the output does not go to one.
    pub(crate) fn new(progress: bool, output_is_stdout: bool) -> Self {
        let apart = !output_is_stdout || !io::stdout().is_terminal();
        Self { progress: Progress::new(progress && apart && io::stderr().is_terminal()) }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// One line on stderr, `treesum: <message>`, in one write.
    pub(crate) fn message(&self, message: impl fmt::Display) {
        self.raw(&format!("treesum: {message}\n"));
    }

    /// Text on stderr as it is.
    pub(crate) fn raw(&self, text: &str) {
        // Nobody is left to be told if stderr is closed.
        self.progress.aside(|| drop(io::stderr().lock().write_all(text.as_bytes())));
    }
}

/// Standard output, written in large pieces.
///
/// Rust's own handle flushes at each newline even into a pipe; this one goes to the descriptor.
pub(crate) struct Stdout {
    writer: BufWriter<File>,
}

impl Stdout {
    pub(crate) fn open() -> io::Result<Self> {
        let fd: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self { writer: BufWriter::with_capacity(STDOUT_BUFFER, File::from(fd)) })
    }
}

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
