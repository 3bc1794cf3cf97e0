//! How a scope or a task can end badly.

use super::JoinReport;
use crate::{
    Cause, Name, TaskPanic,
    inspect::{Doing, Rough, Tick, Wait, WorkState},
    path::Path,
    sync::Arc,
};
use std::{
    any::Any,
    fmt::{self, Debug, Display},
    panic::Location,
    time::Duration,
};

/// Which piece of work: its path, and where in the source it was spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    path: Path,
    name: Name,
    at: &'static Location<'static>,
    kind: WorkKind,
}

/// What kind of work a scope owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkKind {
    /// A spawned future.
    Task,
    /// Blocking work on a thread: it can be told to stop, but not be aborted.
    Blocking,
    /// A nested scope, or the body of one.
    Scope,
}

impl TaskInfo {
    pub(crate) fn new(
        path: Path,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
    ) -> Self {
        Self { path, name, at, kind }
    }

    pub(crate) fn whole_path(&self) -> &Path {
        &self.path
    }

    /// The names from the root down, such as `/server/conn-7`; see [`Cx::path`](super::Cx::path).
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.text()
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// What kind of work it is.
    #[must_use]
    pub fn kind(&self) -> WorkKind {
        self.kind
    }
}

impl Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (spawned at {}:{})", self.path(), self.at.file(), self.at.line())
    }
}

/// Work that did not end by itself, and what it did when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler(Arc<StragglerInfo>);

#[derive(Debug, PartialEq, Eq)]
struct StragglerInfo {
    task: TaskInfo,
    age: Option<Duration>,
    doing: Option<Doing>,
}

impl Straggler {
    pub(crate) fn new(task: TaskInfo, age: Option<Duration>, doing: Option<Doing>) -> Self {
        Self(Arc::new(StragglerInfo { task, age, doing }))
    }

    /// Work that was dropped; it began at `began`.
    pub(super) fn aborted(task: TaskInfo, began: Tick, doing: Option<Doing>) -> Self {
        Self::new(task, Tick::now().since(began), doing)
    }

    /// Which work it is.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        &self.0.task
    }

    /// How old it was, if there was a [`Watch`](crate::inspect::Watch) when it began.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.age
    }

    /// What it did; of work that was aborted, what it did before. None, if its runtime dropped it
    /// before a thread had begun with it.
    #[must_use]
    pub fn state(&self) -> Option<WorkState> {
        self.0.doing.as_ref().map(|doing| doing.state)
    }

    /// For how long it had been in a poll, or in its blocking code.
    #[must_use]
    pub fn running_for(&self) -> Option<Duration> {
        self.0.doing.as_ref()?.running_for
    }

    /// What it had said that it [waits](crate::inspect::waiting) for.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        self.0.doing.as_ref().map_or(&[], |doing| &doing.waits)
    }
}

impl Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StragglerInfo { task, age, doing } = &*self.0;
        let kind = match task.kind {
            WorkKind::Task => "task",
            WorkKind::Blocking => "blocking",
            WorkKind::Scope => "scope",
        };
        write!(f, "{kind} {task}")?;
        if let Some(doing) = doing {
            write!(f, ", {doing}")?;
        }
        match age {
            Some(age) => write!(f, ", {} old", Rough(*age)),
            None => Ok(()),
        }
    }
}

/// An error that a child, or the body of a scope, returned.
#[derive(Debug)]
pub struct Failure<E> {
    pub(super) task: TaskInfo,
    pub(super) error: Arc<E>,
}

impl<E> Failure<E> {
    /// Which child; the path of the scope itself, if it was the body.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        &self.task
    }

    /// The error.
    #[must_use]
    pub fn error(&self) -> &E {
        &self.error
    }

    /// The error by value; shared, because the task's handle and the causes of cancelled
    /// siblings may hold it, too. [`ScopeError::into_error`] shows what to do with that.
    #[must_use]
    pub fn into_shared(self) -> Arc<E> {
        self.error
    }
}

impl<E> Clone for Failure<E> {
    fn clone(&self) -> Self {
        Self { task: self.task.clone(), error: Arc::clone(&self.error) }
    }
}

/// Why a child has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError<E> {
    /// It returned an error; its scope has it too.
    #[error("task failed: {0}")]
    Failed(Arc<E>),
    /// It panicked.
    #[error(transparent)]
    Panicked(TaskPanic),
    /// It was never started, because its scope admitted nothing more.
    #[error("task not started: {0}")]
    Cancelled(Cause),
    /// It was dropped before it ended: by its scope after the grace period, or because the
    /// runtime was shut down.
    #[error("task aborted before it ended")]
    Aborted,
    /// It is awaited by itself, or by the body of a scope that it runs: that would wait for
    /// ever.
    #[error("task awaits itself")]
    Itself,
}

impl<E> TaskError<E> {
    /// Why the child was not started, if that is so.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Cancelled(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Why a scope ended without its value.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason<E> {
    /// A child, or the body, returned this error first.
    Failed(Failure<E>),
    /// A child panicked first.
    Panicked(TaskPanic),
    /// The scope was cancelled from outside.
    Cancelled(Cause),
    /// There was nothing to run: see [`Scope::first_ok`](super::Scope::first_ok).
    Empty,
    /// Work, maybe the body itself, had to be aborted after the grace period, and nothing
    /// else explains the end; the report names it.
    Aborted,
}

// As for `ScopeError`, `E` need not be an error itself.
impl<E: Debug + Display> std::error::Error for Reason<E> {}

impl<E: Display> Display for Reason<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "{} failed: {}", failure.task, failure.error),
            Self::Panicked(panic) => Display::fmt(panic, f),
            Self::Cancelled(cause) => write!(f, "cancelled: {cause}"),
            Self::Empty => f.write_str("there was nothing to run"),
            Self::Aborted => f.write_str("work ignored the cancellation and was aborted"),
        }
    }
}

/// What one failure does to the rest: that of a child to its scope, or, in the crates that run
/// items or connections, that of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// It cancels the scope, which returns the first error; 16 that come after it are in the
    /// report, and the number of more.
    #[default]
    FailFast,
    /// Nothing: the others run to their end. The scope returns the error that came first,
    /// with the others in its report, and the number of those for which there was no room. An
    /// error or panic of the body cancels the scope all the same, and is kept in any case. If
    /// the scope is cancelled from outside, that is the reason, and all errors are in the report.
    Collect {
        /// How many errors to keep; a scope keeps one at least.
        max: usize,
    },
}

/// How many errors a scope keeps if it was not told; the rest are counted.
pub(super) const KEPT: usize = 16;

impl OnError {
    /// [`Collect`](Self::Collect) with room for 16 errors: enough to see what is wrong, and bounded.
    ///
    /// ```
    /// use tidegate_core::OnError;
    ///
    /// assert_eq!(OnError::collect(), OnError::Collect { max: 16 });
    /// ```
    #[must_use]
    pub const fn collect() -> Self {
        Self::Collect { max: KEPT }
    }
}

/// What a payload of a panic is.
pub(super) type Payload = Box<dyn Any + Send>;

/// What the panic of a child does to its scope; the body's goes on in the caller in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnPanic {
    /// It is a failure as an error is, which says what panicked, and where.
    #[default]
    AsError,
    /// The same, until every child has ended; then it goes on in the caller of the scope, unless
    /// another failure came first: that is returned, with the panic in its report. As in a program
    /// without tasks.
    Raise,
    /// The process is aborted at once, after it was said which work it was: for programs that do
    /// not trust their state after a panic.
    Abort,
}

/// A scope ended without its value: the first reason, and what else went wrong.
///
/// As text it is the reason, then how many more failed before and after the scope was cancelled,
/// then what had to be aborted. The rest is in the [report](Self::report).
#[derive(Debug)]
pub struct ScopeError<E> {
    reason: Reason<E>,
    report: Box<JoinReport<E>>,
}

impl<E> ScopeError<E> {
    pub(super) fn new(reason: Reason<E>, report: JoinReport<E>) -> Self {
        Self { reason, report: Box::new(report) }
    }

    /// What is left of a report once it is known whether there is an error.
    pub(crate) fn of<T>(
        (result, report): (Result<T, Reason<E>>, JoinReport<E>),
    ) -> Result<T, Self> {
        result.map_err(|reason| Self::new(reason, report))
    }

    /// What came first.
    #[must_use]
    pub fn reason(&self) -> &Reason<E> {
        &self.reason
    }

    /// The same, by value, without the report.
    #[must_use]
    pub fn into_reason(self) -> Reason<E> {
        self.reason
    }

    /// What came first, and what else went wrong, by value.
    #[must_use]
    pub fn into_parts(self) -> (Reason<E>, JoinReport<E>) {
        (self.reason, *self.report)
    }

    /// What came first, then the errors and panics after it that were kept.
    pub fn reasons(&self) -> impl Iterator<Item = &Reason<E>> {
        std::iter::once(&self.reason).chain(&self.report.rest.also)
    }

    /// What else went wrong until the last child had ended.
    #[must_use]
    pub fn report(&self) -> &JoinReport<E> {
        &self.report
    }

    /// The error that came first, if it was an error.
    #[must_use]
    pub fn error(&self) -> Option<&E> {
        match &self.reason {
            Reason::Failed(failure) => Some(failure.error()),
            _ => None,
        }
    }

    /// The same, by value: to go on with `?` in a function that returns the same error as the work
    /// in the scope, or else the whole, in which nothing is lost. It is shared, since handles of
    /// tasks and causes may have it, too; a thread may still be about to drop one of these when the
    /// scope has ended. What else went wrong is dropped: look at the [report](Self::report) before.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{io, sync::Arc};
    /// use tidegate_core::{Cx, ScopeError, scope};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// enum Error {
    ///     #[error("cannot read: {0}")]
    ///     Read(#[from] io::Error),
    ///     #[error(transparent)]
    ///     Shared(Arc<Error>),
    ///     #[error(transparent)]
    ///     Scope(Box<ScopeError<Error>>),
    /// }
    ///
    /// impl From<ScopeError<Error>> for Error {
    ///     fn from(error: ScopeError<Error>) -> Self {
    ///         match error.into_error() {
    ///             Ok(error) => Arc::try_unwrap(error).unwrap_or_else(Self::Shared),
    ///             // A panic or a cancellation, for instance.
    ///             Err(error) => Self::Scope(Box::new(error)),
    ///         }
    ///     }
    /// }
    ///
    /// async fn load() -> Result<u64, Error> {
    ///     let bytes = scope("load", async |cx: Cx<Error>| {
    ///         cx.spawn("index", async { Err::<(), _>(io::Error::other("bad sector").into()) });
    ///         Ok(7)
    ///     });
    ///     Ok(bytes.await?)
    /// }
    ///
    /// assert_eq!(load().await.unwrap_err().to_string(), "cannot read: bad sector");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// This one, if what came first was no error.
    pub fn into_error(self) -> Result<Arc<E>, Self> {
        match self.reason {
            Reason::Failed(failure) => Ok(failure.into_shared()),
            _ => Err(self),
        }
    }

    /// Why it ended so, with the chain of what had led to it: the cause that it was cancelled
    /// for from outside, or that of its first failure. None, if there was nothing to run, or work
    /// had to be aborted and nothing else explains the end.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match &self.reason {
            Reason::Cancelled(cause) => Some(cause),
            _ => self.report.cause(),
        }
    }
}

impl<E: Display> Display for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.reason, f)?;
        let (early, late) = (self.report.rest.early(), self.report.rest.late);
        if early > 0 {
            write!(f, "; {early} more failed")?;
        }
        if late > 0 {
            write!(f, "; {late} more failed after it was cancelled")?;
        }
        if !self.report.rest.aborted.is_empty() {
            for (n, straggler) in self.report.rest.aborted.iter().enumerate() {
                write!(f, "{} {straggler}", if n == 0 { "; aborted:" } else { "," })?;
            }
        }
        Ok(())
    }
}

// `E` need not be an error itself: `anyhow::Error`, `Box<dyn Error>` and `String` are none. The text
// has what it says, and [`ScopeError::error`] gives it.
impl<E: Debug + Display> std::error::Error for ScopeError<E> {}
