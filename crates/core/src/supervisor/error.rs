//! How building, running and controlling a supervisor can fail.

use super::{ChildSpec, Event, Exit, Limit};
use crate::{Cause, Name, cancel::SharedError, sync::Arc};
use std::fmt::{self, Debug, Display};

/// The children of a supervisor do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two children have this name.
    #[error("two children are called {0}")]
    Duplicate(Name),
    /// A child comes after one that there is not.
    #[error("{child} comes after {after}, which there is not")]
    UnknownAfter {
        /// The child that says so.
        child: Name,
        /// The one that is missing.
        after: Name,
    },
    /// Each of these comes after the next, and the last after the first.
    #[error("children come after each other in a circle: {}", Circle(.0))]
    Cycle(Vec<Name>),
    /// A significant child that is permanent never ends for good.
    #[error("{0} is significant, but permanent: it never ends for good")]
    SignificantPermanent(Name),
    /// A significant child of a supervisor that never looks at them.
    #[error("{0} is significant, but auto-shutdown is never")]
    SignificantIgnored(Name),
    /// More children than [allowed](super::SupervisorBuilder::max_children).
    #[error("more than {max} children")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

struct Circle<'a>(&'a [Name]);

impl Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.0 {
            write!(f, "{name} -> ")?;
        }
        self.0.first().map_or(Ok(()), |first| write!(f, "{first}"))
    }
}

/// A [`Handle`](super::Handle) could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The supervisor does not run, or is ending.
    #[error("the supervisor does not run")]
    NotRunning,
    /// There is no such child.
    #[error("there is no child {0}")]
    Unknown(String),
    /// The path goes on below a child that is no supervisor.
    #[error("{0} is no supervisor")]
    NotASupervisor(String),
    /// A child that has not ended cannot be deleted: terminate it first.
    #[error("{0} has not ended: terminate it first")]
    NotEnded(Name),
    /// A child that another one comes after cannot be deleted.
    #[error("{child} comes after {after}: delete that first")]
    Needed {
        /// The other one.
        child: Name,
        /// The one to be deleted.
        after: Name,
    },
    /// The new child does not fit to the others.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A child could not be added; with the child.
#[derive(Debug)]
pub struct AddError {
    reason: ControlError,
    spec: Box<ChildSpec>,
}

impl AddError {
    pub(super) fn new(reason: ControlError, spec: ChildSpec) -> Self {
        Self { reason, spec: Box::new(spec) }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &ControlError {
        &self.reason
    }

    /// The child.
    pub fn into_spec(self) -> ChildSpec {
        *self.spec
    }
}

impl Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot add {}: {}", self.spec.name(), self.reason)
    }
}

impl std::error::Error for AddError {}

/// Why a supervisor ended that was not asked to, or was cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// A child was to be started again once too often. The others were stopped.
    #[error("gave up on {0}")]
    GaveUp(Box<Fatal>),
    /// A [significant](ChildSpec::significant) child that is not started again failed, and the
    /// others were stopped.
    #[error("ended with {0}")]
    Significant(Box<Fatal>),
    /// It was cancelled from outside, and has stopped its children.
    #[error("cancelled: {0}")]
    Cancelled(Cause),
    /// It runs already, or what it ran has not ended yet.
    #[error("the supervisor runs already")]
    Running,
}

impl SupervisorError {
    /// What made it end, if that was a child.
    #[must_use]
    pub fn fatal(&self) -> Option<&Fatal> {
        match self {
            Self::GaveUp(fatal) | Self::Significant(fatal) => Some(fatal),
            Self::Cancelled(_) | Self::Running => None,
        }
    }
}

/// The last end of the child that made a supervisor end, and what led to it.
pub struct Fatal {
    pub(super) path: String,
    pub(super) exit: Exit,
    pub(super) limit: Option<Limit>,
    pub(super) error: Option<Arc<dyn SharedError>>,
    pub(super) history: Vec<Event>,
}

impl Fatal {
    /// The path of the child, such as `/server/db/conn`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How it ended.
    #[must_use]
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// What was used up, if the supervisor gave up.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The error of the child, if it returned one of type `E`; that of a nested supervisor is a
    /// [`SupervisorError`].
    #[must_use]
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        self.error.as_deref()?.as_any().downcast_ref()
    }

    /// What the supervisor did until then, oldest first: the end of its history, the stop of the
    /// other children included.
    #[must_use]
    pub fn history(&self) -> &[Event] {
        &self.history
    }
}

impl Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(limit) = self.limit {
            write!(f, " ({limit})")?;
        }
        write!(f, ": {}", self.exit)
    }
}

impl Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fatal")
            .field("path", &self.path)
            .field("exit", &self.exit)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
