//! What happens to the children of a supervisor, as its history and its observer see it.

use crate::Name;
use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// One change in the life of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(super) child: Name,
    pub(super) incarnation: u64,
    pub(super) at: Instant,
    pub(super) uptime: Duration,
    pub(super) kind: EventKind,
}

/// What happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was added at run time.
    Added,
    /// It was started, for the first time or again.
    Started,
    /// It said that it is up; only of children that [do](super::ChildSpec::starting).
    Up,
    /// It was asked to end.
    Stopping(StopReason),
    /// It ended, and everything in its scope.
    Ended(Exit),
    /// It will be started again.
    Restarting {
        /// The delay of its backoff.
        after: Duration,
        /// How many others are started with it, as the strategy says. Those that end with it and
        /// do not come back, because they are temporary or were terminated, do not count.
        others: usize,
    },
    /// It was told to end by [`Handle::terminate`](super::Handle::terminate), and is not
    /// started again.
    Terminated,
    /// The supervisor has forgotten it.
    Removed,
    /// It was to be started again once too often: the supervisor ends.
    GaveUp(Limit),
}

/// Why a child was asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked for it by the [`Handle`](super::Handle).
    ByHand,
    /// Another child has ended, and the [`Strategy`](super::Strategy) starts this one again
    /// with it.
    Sibling {
        /// The other child.
        child: Name,
        /// How that ended.
        exit: Exit,
    },
    /// It did not say in time that it is up, or cannot any more.
    NotReady,
    /// The supervisor ends.
    Shutdown,
}

/// What made a supervisor give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// More restarts within the period than the
    /// [intensity](super::SupervisorBuilder::intensity) allows.
    Intensity,
    /// The [backoff](super::SupervisorBuilder::backoff) of the child has no more delays.
    Backoff,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    kind: ExitKind,
    text: Option<Arc<str>>,
}

/// What kind of end it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitKind {
    /// It returned `Ok`.
    Finished,
    /// It returned an error, or a task in its scope did.
    Failed,
    /// It panicked, or a task in its scope did.
    Panicked,
    /// Its own deadline was over.
    Cancelled,
    /// It, or a task in its scope, was dropped: after its grace period, or with the runtime.
    Aborted,
    /// It did not say that it is up.
    NotReady,
}

impl Event {
    /// Which child.
    #[must_use]
    pub fn child(&self) -> &Name {
        &self.child
    }

    /// Which of its lives: a number that no other child of the supervisor has, either; 0 before
    /// the first.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How long the supervisor had been running by then, in this run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.uptime
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}

impl Exit {
    pub(super) fn finished() -> Self {
        Self { kind: ExitKind::Finished, text: None }
    }

    pub(super) fn new(kind: ExitKind, text: impl Into<Arc<str>>) -> Self {
        Self { kind, text: Some(text.into()) }
    }

    /// What kind of end it was.
    #[must_use]
    pub fn kind(&self) -> ExitKind {
        self.kind
    }

    /// Whether it was anything but `Ok`: what has a transient child started again.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.kind != ExitKind::Finished
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text.as_deref().unwrap_or("finished"))
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intensity => "too many restarts",
            Self::Backoff => "no restarts are left",
        })
    }
}

impl Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByHand => f.write_str("asked to by hand"),
            Self::Sibling { child, exit } => write!(f, "restarted with {child}: {exit}"),
            Self::NotReady => f.write_str("it is not up"),
            Self::Shutdown => f.write_str("the supervisor ends"),
        }
    }
}

/// Begins with the [uptime](Event::uptime), to a millisecond: `+2.500s conn started (#2)`.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s {}", self.uptime.as_secs_f64(), Timeless(self))
    }
}

/// An event without its time, for whoever tells it in another way.
pub(super) struct Timeless<'a>(pub(super) &'a Event);

impl Display for Timeless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { child, incarnation, kind, .. } = self.0;
        match kind {
            EventKind::Added => write!(f, "{child} added"),
            EventKind::Started => write!(f, "{child} started (#{incarnation})"),
            EventKind::Up => write!(f, "{child} up (#{incarnation})"),
            EventKind::Stopping(reason) => write!(f, "{child} stopping: {reason}"),
            EventKind::Ended(exit) => write!(f, "{child} ended (#{incarnation}): {exit}"),
            EventKind::Restarting { after, others: 0 } => {
                write!(f, "{child} restarting after {after:?}")
            }
            EventKind::Restarting { after, others } => {
                write!(f, "{child} restarting after {after:?}, with {others} more")
            }
            EventKind::Terminated => write!(f, "{child} terminated"),
            EventKind::Removed => write!(f, "{child} removed"),
            EventKind::GaveUp(limit) => write!(f, "gave up on {child}: {limit}"),
        }
    }
}
