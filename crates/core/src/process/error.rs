//! How a process can fail to start, and to end well.

use super::{ProcOutput, Program, Stream};
use crate::Cause;
use std::{io, path::PathBuf, time::Duration};

/// Why a process was not started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name of the program is empty.
    #[error("cannot run a program without a name")]
    NoProgram,
    /// Something has a NUL byte in it, which the system takes for its end.
    #[error("cannot run {program}: a NUL byte in {place}")]
    NulByte {
        /// The program that was to run.
        program: Program,
        /// In what, such as `argument 2`.
        place: String,
    },
    /// A variable with an empty name, or with `=` in it.
    #[error("cannot run {program}: {name:?} is no name of an environment variable")]
    VariableName {
        /// The program that was to run.
        program: Program,
        /// The name.
        name: String,
    },
    /// There is no such program.
    #[error("cannot run {program}: no such program")]
    NotFound {
        /// The program that was to run.
        program: Program,
    },
    /// The file is there, but what is to run it is not: the interpreter in its first line, or
    /// its dynamic linker.
    #[error("cannot run {program}: its interpreter or dynamic linker is missing")]
    NoInterpreter {
        /// The program that was to run.
        program: Program,
    },
    /// The file may not be executed, or is none that can be.
    #[error("cannot run {program}: it is not executable ({source})")]
    NotExecutable {
        /// The program that was to run.
        program: Program,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot start in its directory.
    #[error("cannot run {program} in {directory:?}: {source}")]
    Directory {
        /// The program that was to run.
        program: Program,
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The scope was cancelled before.
    #[error("did not run {program}: cancelled: {cause}")]
    Cancelled {
        /// The program that was to run.
        program: Program,
        /// Why.
        cause: Cause,
    },
    /// This system cannot do what was asked for.
    #[error("cannot run {program}: this system has no {what}")]
    Unsupported {
        /// The program that was to run.
        program: Program,
        /// What it lacks.
        what: &'static str,
    },
    /// The system refused something, for instance because there are too many processes or open
    /// descriptors.
    #[error("cannot run {program}: cannot {doing}: {source}")]
    System {
        /// The program that was to run.
        program: Program,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Why there is no result of a process, or none to rely on. It has ended, and so has its tree,
/// except where it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The scope was cancelled while it ran, and it was stopped. What it had written until then
    /// looks whole and need not be, even if it exited with success.
    #[error("{program} was stopped: {cause}")]
    Cancelled {
        /// The program.
        program: Program,
        /// Why.
        cause: Cause,
        /// What there is of it.
        output: Box<ProcOutput>,
    },
    /// Its [time](super::Proc::timeout) was over while it ran, and it was stopped. What it had
    /// written until then looks whole and need not be, even if it exited with success.
    #[error("{program} was stopped: {cause}")]
    TimedOut {
        /// The program.
        program: Program,
        /// How long it could run.
        timeout: Duration,
        /// The same for people, with the path of the process, and where it was started.
        cause: Cause,
        /// What there is of it.
        output: Box<ProcOutput>,
    },
    /// It wrote more than [`max_output`](super::Proc::max_output), and was killed.
    #[error("{program} was killed: it wrote more than {max} bytes to {stream}")]
    TooMuchOutput {
        /// The program.
        program: Program,
        /// To which of its outputs.
        stream: Stream,
        /// How many bytes there could be.
        max: usize,
        /// What there is of it.
        output: Box<ProcOutput>,
    },
    /// The scope was aborted, or its runtime was shut down: the tree was killed at once, and the
    /// output is lost.
    #[error("{program} was killed: its scope was aborted")]
    Aborted {
        /// The program.
        program: Program,
    },
    /// It was killed and does not die: it hangs in the kernel, for instance on a file system that
    /// does not answer, or has become another user's. A thread waits for it, so that it does not
    /// stay a zombie.
    #[error("{program} (process {pid}) was killed, and does not die")]
    Stuck {
        /// The program.
        program: Program,
        /// Its number.
        pid: u32,
    },
    /// The system refused something. With `ECHILD`, other code of this program has waited for
    /// children that are not its own, or ignores SIGCHLD: nothing can be signalled safely then,
    /// so that what is left of the tree lives on.
    #[error("lost {program}: cannot {doing}: {source}")]
    System {
        /// The program.
        program: Program,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier call has returned the result.
    #[error("the result of {program} was taken before")]
    Taken {
        /// The program.
        program: Program,
    },
}

impl WaitError {
    /// What there is of the output, if any.
    #[must_use]
    pub fn output(&self) -> Option<&ProcOutput> {
        match self {
            Self::Cancelled { output, .. }
            | Self::TimedOut { output, .. }
            | Self::TooMuchOutput { output, .. } => Some(output),
            _ => None,
        }
    }
}

/// Why a process did not start, or has no result to rely on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It has no result to rely on.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// A process that ended without success, made by [`ProcOutput::check`].
#[derive(Debug, thiserror::Error)]
#[error("{} failed with {}{}", .0.program(), .0.status(), .0.last_words())]
pub struct Failed(pub(super) Box<ProcOutput>);

impl Failed {
    /// What it left.
    #[must_use]
    pub fn output(&self) -> &ProcOutput {
        &self.0
    }

    /// The same, by value.
    #[must_use]
    pub fn into_output(self) -> ProcOutput {
        *self.0
    }
}
