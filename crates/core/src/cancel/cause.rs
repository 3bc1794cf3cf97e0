//! Why something was cancelled.

use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    fmt::{self, Debug, Display},
    panic::Location,
    sync::Arc,
};

/// Why a token was cancelled: what kind of event, where in the program, and the error.
///
/// Cheap to clone: every token that inherits a cause shares it.
///
/// ```
/// use tidegate_core::{CancelToken, Cause, CauseKind};
///
/// let token = CancelToken::new();
/// token.cancel("the client went away");
/// let cause = token.cause().unwrap();
/// assert_eq!(cause.kind(), CauseKind::Explicit);
/// assert!(cause.to_string().starts_with("cancelled: the client went away"));
/// ```
#[derive(Clone)]
pub struct Cause(Arc<Inner>);

struct Inner {
    kind: CauseKind,
    message: Option<Cow<'static, str>>,
    origin: Option<String>,
    at: &'static Location<'static>,
    error: Option<Arc<dyn SharedError>>,
}

/// What kind of event cancelled a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CauseKind {
    /// Somebody called `cancel`.
    Explicit,
    /// A child of a scope, or its body, returned an error.
    ChildFailed,
    /// A child of a scope, or its body, panicked.
    ChildPanicked,
    /// The future of a scope was dropped before it ended.
    ScopeDropped,
    /// The scope had ended already.
    ScopeClosed,
    /// The time of a scope was over.
    DeadlineExceeded,
    /// The scope has what it was opened for: see [`AfterSuccess`](crate::AfterSuccess::Finish).
    Finished,
    /// The process was told to stop by a signal.
    Signal,
    /// A [supervisor](crate::supervisor) stops a child to start it again; the origin is the
    /// child that makes it do so.
    Restart,
    /// A [supervisor](crate::supervisor) ends by itself, or one of its children by hand; the
    /// origin is which.
    Shutdown,
}

impl Cause {
    /// A cause of the given kind; the caller's place in the source is kept.
    #[must_use]
    #[track_caller]
    pub fn new(kind: CauseKind) -> Self {
        Self::build(kind, None, None, Location::caller(), None)
    }

    /// A cause of kind [`CauseKind::Explicit`] with a message for people.
    #[must_use]
    #[track_caller]
    pub fn explicit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::build(CauseKind::Explicit, Some(message.into()), None, Location::caller(), None)
    }

    /// A cause of kind [`CauseKind::Explicit`] that carries an error, for
    /// [`downcast_ref`](Self::downcast_ref) to find again.
    #[must_use]
    #[track_caller]
    pub fn error<E: Display + Debug + Send + Sync + 'static>(error: E) -> Self {
        Self::build(CauseKind::Explicit, None, None, Location::caller(), Some(Arc::new(error)))
    }

    #[track_caller]
    pub(crate) fn signal(message: &'static str) -> Self {
        let at = Location::caller();
        Self::build(CauseKind::Signal, Some(message.into()), None, at, None)
    }

    pub(crate) fn of_child(
        kind: CauseKind,
        origin: String,
        at: &'static Location<'static>,
        message: Option<String>,
        error: Option<Arc<dyn SharedError>>,
    ) -> Self {
        Self::build(kind, message.map(Cow::Owned), Some(origin), at, error)
    }

    pub(crate) fn of_scope(
        kind: CauseKind,
        origin: String,
        at: &'static Location<'static>,
    ) -> Self {
        Self::build(kind, None, Some(origin), at, None)
    }

    fn build(
        kind: CauseKind,
        message: Option<Cow<'static, str>>,
        origin: Option<String>,
        at: &'static Location<'static>,
        error: Option<Arc<dyn SharedError>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, message, origin, at, error }))
    }

    /// What kind of event it was.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        self.0.kind
    }

    /// The path of the scope or task it began in, such as `/server/conn-7`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// Where in the source: the call that cancelled, or the place the task was spawned at.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// The error behind it, if there is one and it has type `E`.
    #[must_use]
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        self.0.error.as_deref()?.as_any().downcast_ref()
    }

    /// Whether both are the same event, as a token and its children report it.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<&'static str> for Cause {
    #[track_caller]
    fn from(message: &'static str) -> Self {
        Self::explicit(message)
    }
}

impl From<String> for Cause {
    #[track_caller]
    fn from(message: String) -> Self {
        Self::explicit(message)
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str("cancelled: ")?;
        if let Some(origin) = &inner.origin {
            write!(f, "{origin} ")?;
        }
        f.write_str(match inner.kind {
            CauseKind::Explicit => "",
            CauseKind::ChildFailed => "failed",
            CauseKind::ChildPanicked => "panicked",
            CauseKind::ScopeDropped => "was dropped",
            CauseKind::ScopeClosed => "had ended",
            CauseKind::DeadlineExceeded => "ran out of time",
            CauseKind::Finished => "has finished",
            CauseKind::Signal => "signal",
            CauseKind::Restart => "restarts",
            CauseKind::Shutdown => "shuts down",
        })?;
        let told = inner.message.is_some() || inner.error.is_some();
        let mut separator = match inner.kind {
            CauseKind::Explicit => "",
            CauseKind::Signal => " ",
            _ => ": ",
        };
        if let Some(message) = &inner.message {
            write!(f, "{separator}{message}")?;
            separator = ": ";
        }
        if let Some(error) = &inner.error {
            write!(f, "{separator}{error}")?;
        }
        if inner.kind == CauseKind::Signal {
            return Ok(());
        }
        let space = if inner.kind == CauseKind::Explicit && !told { "" } else { " " };
        write!(f, "{space}(at {}:{})", inner.at.file(), inner.at.line())
    }
}

impl Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cause")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("origin", &self.0.origin)
            .field("at", &format_args!("{}:{}", self.0.at.file(), self.0.at.line()))
            .field("error", &self.0.error)
            .finish()
    }
}

impl Error for Cause {}

/// Any error a scope can carry, `anyhow::Error` and boxed ones included, which is why this
/// asks for less than [`Error`].
pub(crate) trait SharedError: Display + Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<E: Display + Debug + Send + Sync + 'static> SharedError for E {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line() {
        let line = line!() + 1;
        let explicit = Cause::explicit("no more work");
        assert_eq!(
            explicit.to_string(),
            format!("cancelled: no more work (at {}:{line})", file!())
        );
        let failed = Cause::of_child(
            CauseKind::ChildFailed,
            "/srv/db".into(),
            explicit.location(),
            None,
            Some(Arc::new("io timeout".to_owned())),
        );
        assert_eq!(
            failed.to_string(),
            format!("cancelled: /srv/db failed: io timeout (at {}:{line})", file!())
        );
        assert_eq!(Cause::signal("SIGTERM").to_string(), "cancelled: signal SIGTERM");
    }

    #[test]
    fn keeps_the_type_of_the_error() {
        let cause = Cause::error(std::io::Error::other("boom"));
        assert_eq!(cause.downcast_ref::<std::io::Error>().unwrap().to_string(), "boom");
        assert!(cause.to_string().starts_with("cancelled: boom (at "), "{cause}");
        assert!(cause.downcast_ref::<String>().is_none());
        assert!(cause.same(&cause.clone()));
        assert!(!cause.same(&Cause::error("boom")));
    }
}
