//! What to run, and within which bounds.

use super::{ProcOutput, Process, Program, RunError, SpawnError, StopSignal, start::start};
use crate::{Cx, Name};
use std::{
    ffi::OsString,
    fmt::{self, Debug, Display},
    panic::Location,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Where a process reads from.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Input {
    /// Nothing: it is at its end.
    #[default]
    Null,
    /// These bytes, written while the output is read, so that neither blocks the other. What the
    /// process does not read is dropped.
    Bytes(Arc<[u8]>),
    /// What the caller [writes](Process::stdin).
    Piped,
    /// What this program reads from. With [`Tree::Child`] only: a process group in the background
    /// is suspended when it reads from a terminal.
    Inherit,
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Input {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Piped => f.write_str("Piped"),
            Self::Inherit => f.write_str("Inherit"),
        }
    }
}

/// Where an output of a process goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sink {
    /// Into memory, up to [`Proc::max_output`].
    #[default]
    Capture,
    /// To the caller, who [reads](Process::stdout) it as it comes.
    Piped,
    /// To where this program writes.
    Inherit,
    /// Nowhere.
    Null,
}

/// What is done about a process that writes more than [`Proc::max_output`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It is killed, and there is an [error](super::WaitError::TooMuchOutput): what looks whole
    /// is whole.
    #[default]
    Kill,
    /// It runs on, what it writes is read, and [counted](ProcOutput::dropped) instead of kept.
    Truncate,
}

/// What is signalled, and killed, with a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tree {
    /// Nothing else. It stays in the process group of this program, so that Ctrl-C at a terminal
    /// reaches it, too. What it starts may outlive it.
    Child,
    /// Its process group, which it is put into and which what it starts is in, too, unless that
    /// leaves it. No process can avoid a signal to its group.
    #[default]
    Group,
    /// Its process group, and on Linux all descendants that have left it, by `setsid` for
    /// instance: found by what `/proc` tells of their parents, groups and sessions, and by the
    /// name of an environment variable that the process is given.
    ///
    /// Not found are those that the variable was taken from, or that have written over it, once
    /// their parents are gone; and those of another user, if `/proc` hides them. Only
    /// a container or a cgroup leaves no such hole.
    ///
    /// It costs a look at every process of the system for each stop and each end.
    Descendants,
}

impl Tree {
    pub(super) fn has_group(self) -> bool {
        !matches!(self, Self::Child)
    }
}

/// A program to run as a part of a scope, and the bounds of what it may take.
///
/// Nothing is checked, and nothing started, before [`run`](Self::run) or [`spawn`](Self::spawn);
/// one `Proc` may be run many times.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tidegate_core::{Cx, process::{Proc, RunError}, scope};
///
/// let sorted = scope("sort", async |cx: Cx<RunError>| {
///     let output = Proc::new("sort").arg("-r").stdin("a\nc\nb\n").run(&cx).await?;
///     assert!(output.success());
///     Ok(output.into_stdout())
/// });
/// assert_eq!(sorted.await.unwrap(), b"c\nb\na\n");
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `run` or `spawn`"]
pub struct Proc {
    pub(super) program: OsString,
    pub(super) name: Option<Name>,
    pub(super) args: Vec<OsString>,
    pub(super) clears_env: bool,
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) directory: Option<PathBuf>,
    pub(super) stdin: Input,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
    pub(super) stop_signal: StopSignal,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) wait_delay: Duration,
    pub(super) max_output: usize,
    pub(super) overflow: Overflow,
    pub(super) tree: Tree,
}

impl Proc {
    /// Runs `program`: a path, or a name to look for in `PATH`. No shell is involved.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            name: None,
            args: Vec::new(),
            clears_env: false,
            env: Vec::new(),
            directory: None,
            stdin: Input::default(),
            stdout: Sink::default(),
            stderr: Sink::default(),
            stop_signal: StopSignal::default(),
            timeout: None,
            grace: Duration::from_secs(4),
            wait_delay: Duration::from_secs(1),
            max_output: 8 << 20,
            overflow: Overflow::default(),
            tree: Tree::default(),
        }
    }

    /// What errors, events and the inspection call it, before its program. The default is the
    /// last part of the path of its program.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::{Cx, process::{Proc, RunError}, scope};
    ///
    /// let check = Proc::new("false").name("health check");
    /// let job = scope("job", async |cx: Cx<RunError>| check.run(&cx).await);
    /// let failed = job.await.unwrap().check().unwrap_err();
    /// assert_eq!(failed.to_string(), "health check (\"false\") failed with exit status: 1");
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the others are those of this program.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes an environment variable away.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Takes all environment variables away, those set before this call, too.
    pub fn env_clear(mut self) -> Self {
        self.env.clear();
        self.clears_env = true;
        self
    }

    /// Where it starts. A relative path to a program is relative to that. The default is where
    /// this program is.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Where it reads from: text or bytes, or an [`Input`]. The default is nothing.
    pub fn stdin(mut self, input: impl Into<Input>) -> Self {
        self.stdin = input.into();
        self
    }

    /// Where its standard output goes. The default is [`Sink::Capture`].
    pub fn stdout(mut self, sink: Sink) -> Self {
        self.stdout = sink;
        self
    }

    /// Where its standard error goes. The default is [`Sink::Capture`].
    pub fn stderr(mut self, sink: Sink) -> Self {
        self.stderr = sink;
        self
    }

    /// The signal that asks it to end. The default is SIGTERM.
    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// How long it may run. After that it is asked to end, and killed when the
    /// [grace](Self::grace) is over, as if the scope had been cancelled; what comes of it is
    /// [`WaitError::TimedOut`](super::WaitError::TimedOut). The default is for ever.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use tidegate_core::{Cx, process::{Proc, RunError, WaitError}, scope};
    ///
    /// let short = Proc::new("sleep").arg("1000").timeout(Duration::from_millis(100));
    /// let job = scope("job", async |cx: Cx<RunError>| short.run(&cx).await);
    /// let error = job.await.unwrap_err();
    /// let Some(RunError::Wait(WaitError::TimedOut { cause, output, .. })) = error.error() else {
    ///     panic!("{error}");
    /// };
    /// assert!(cause.to_string().starts_with("/job/sleep ran out of time: it had 100ms"));
    /// assert_eq!(output.signal(), Some(15));
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long it may take to end once it was asked to; after that it is killed. The default
    /// is 4 s: less than a [scope's own](crate::DEFAULT_GRACE), because a scope whose grace is
    /// over aborts what is left of it, and then the output of a process is lost.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long, after it has ended, what it started may hold its outputs open: then that is
    /// killed, as far as it is of the [tree](Self::tree), and what it writes later is lost. Go's
    /// `WaitDelay`. The default is 1 s.
    pub fn wait_delay(mut self, delay: Duration) -> Self {
        self.wait_delay = delay;
        self
    }

    /// How many bytes of each output are captured. The default is 8 MiB.
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// What is done if it writes more than that. The default is to kill it.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// What is signalled and killed with it. The default is its process group.
    pub fn tree(mut self, tree: Tree) -> Self {
        self.tree = tree;
        self
    }

    /// Starts it, and waits for its end: [`spawn`](Self::spawn) and [`Process::wait`].
    ///
    /// It exits with a code of its own, which is not looked at: see [`ProcOutput::check`]. An
    /// output that is [`Sink::Piped`] is read and thrown away, an input that is is empty.
    ///
    /// # Errors
    ///
    /// If it does not start, is stopped because the scope is cancelled or its
    /// [time](Self::timeout) is over, or writes too much.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without I/O. Without time, the scope ends with a panic
    /// when it comes to a [timeout](Self::timeout), a [grace](Self::grace) or a
    /// [delay](Self::wait_delay).
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. If the future is dropped after that, the process
    /// and its tree are killed, and the scope waits until they are reaped. Tested by
    /// `a_run_that_is_dropped_at_any_poll_leaves_nothing`.
    #[track_caller]
    pub fn run<E>(&self, cx: &Cx<E>) -> impl Future<Output = Result<ProcOutput, RunError>> + Send
    where
        E: Display + Debug + Send + Sync + 'static,
    {
        let at = Location::caller();
        async move { Ok(start(self, cx, at)?.wait_at(at).await?) }
    }

    /// Starts it as a child of the scope, which does not end before the process and its tree do.
    /// It does not count towards the [limit](crate::Scope::limit) of the scope.
    ///
    /// # Errors
    ///
    /// If it does not start: nothing of it is left then.
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run); nothing of it is left then, either.
    #[track_caller]
    pub fn spawn<E>(&self, cx: &Cx<E>) -> Result<Process, SpawnError>
    where
        E: Display + Debug + Send + Sync + 'static,
    {
        start(self, cx, Location::caller())
    }

    pub(super) fn label(&self) -> Program {
        Program::new(&self.program, self.name.clone())
    }
}
