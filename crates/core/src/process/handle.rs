//! The handle of a process that runs.

use super::{InputPipe, OutputPipe, ProcOutput, Program, WaitError};
use crate::{CancelToken, inspect::Resource};
use std::{
    fmt,
    future::poll_fn,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;

/// A process that runs as a child of a scope; made by [`Proc::spawn`](super::Proc::spawn).
///
/// The scope owns it, and does not end before it does. Dropping the handle kills the process and
/// its tree, if it has not ended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::error::Error;
/// use tidegate_core::{Cx, process::{Proc, Sink}, scope};
///
/// let job = scope("job", async |cx: Cx<Box<dyn Error + Send + Sync>>| {
///     let script = "echo one; echo two; sleep 1000";
///     let mut shell = Proc::new("sh").args(["-c", script]).stdout(Sink::Piped).spawn(&cx)?;
///     let mut lines = shell.stdout().unwrap().lines(1024);
///     while let Some(line) = lines.next().await? {
///         if line.text() == "two" {
///             // SIGTERM to the shell and to `sleep`, and SIGKILL if they ignore that.
///             shell.stop();
///         }
///     }
///     Ok(shell.wait().await?.signal())
/// });
/// assert_eq!(job.await.unwrap(), Some(15));
/// # }
/// ```
#[must_use = "the process is killed when its handle is dropped"]
pub struct Process {
    program: Program,
    pid: u32,
    orders: CancelToken,
    told: Option<oneshot::Receiver<Result<ProcOutput, WaitError>>>,
    resource: Resource,
    stdin: Option<InputPipe>,
    outputs: [Option<OutputPipe>; 2],
}

impl Process {
    pub(super) fn new(
        program: Program,
        pid: u32,
        orders: CancelToken,
        told: oneshot::Receiver<Result<ProcOutput, WaitError>>,
        resource: Resource,
        stdin: Option<InputPipe>,
        outputs: [Option<OutputPipe>; 2],
    ) -> Self {
        Self { program, pid, orders, told: Some(told), resource, stdin, outputs }
    }

    /// What it is called.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its number. When it has ended, another process may have it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Its input, if it is [`Input::Piped`](super::Input::Piped) and was not taken before.
    pub fn stdin(&mut self) -> Option<InputPipe> {
        self.stdin.take()
    }

    /// Its standard output, if it is [`Sink::Piped`](super::Sink::Piped) and was not taken before.
    pub fn stdout(&mut self) -> Option<OutputPipe> {
        self.outputs[0].take()
    }

    /// Its standard error, if it is [`Sink::Piped`](super::Sink::Piped) and was not taken before.
    pub fn stderr(&mut self) -> Option<OutputPipe> {
        self.outputs[1].take()
    }

    /// Asks it and its tree to end, and kills them when the [grace](super::Proc::grace) is over.
    /// Does not wait, and does nothing if it has ended.
    pub fn stop(&self) {
        self.orders.stop("the process is to end");
    }

    /// Kills it and its tree. Does not wait, and does nothing if it has ended.
    pub fn kill(&self) {
        self.orders.cancel("the process is to be killed");
    }

    /// Waits for its end, and that of its tree. An input that nobody took is closed; an output
    /// that nobody took is read and thrown away.
    ///
    /// # Errors
    ///
    /// If it was stopped because the scope was cancelled or its [time](super::Proc::timeout) was
    /// over, wrote too much, or its result was taken by an earlier call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future leaves the process alone, and it can be called again.
    /// Tested by `a_result_is_taken_once_and_a_dropped_wait_loses_nothing`.
    #[track_caller]
    pub fn wait(&mut self) -> impl Future<Output = Result<ProcOutput, WaitError>> + Send {
        self.wait_at(Location::caller())
    }

    /// The same for a caller at that place in the source.
    pub(super) async fn wait_at(
        &mut self,
        at: &'static Location<'static>,
    ) -> Result<ProcOutput, WaitError> {
        self.stdin = None;
        let resource = self.resource.clone();
        resource.waiting_at("process to end", at, poll_fn(|cx| self.poll_told(cx))).await
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Result<ProcOutput, WaitError>> {
        for output in &mut self.outputs {
            if output.as_mut().is_some_and(|output| output.poll_discard(cx).is_ready()) {
                *output = None;
            }
        }
        let program = || self.program.clone();
        let Some(told) = &mut self.told else {
            return Poll::Ready(Err(WaitError::Taken { program: program() }));
        };
        let result = ready!(Pin::new(told).poll(cx));
        let result = result.unwrap_or_else(|_| Err(WaitError::Aborted { program: program() }));
        self.told = None;
        Poll::Ready(result)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders.cancel("the handle of the process was dropped");
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("program", &self.program)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
