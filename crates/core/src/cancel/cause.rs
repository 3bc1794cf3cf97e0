//! Why something was cancelled.

use crate::path::Path;
use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    fmt::{self, Debug, Display, Write as _},
    panic::Location,
    sync::Arc,
};

/// Why a token was stopped or cancelled: what kind of event, where in the program, the error, and
/// what had led to it.
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
/// assert!(cause.to_string().starts_with("the client went away (at "));
/// ```
///
/// # The chain
///
/// A cause that is the consequence of another has it as its [`parent`](Self::parent), and so on
/// to the [`root`](Self::root). A scope links them by itself: when the work that ran it fails in
/// the very poll in which it was told of the failure of the scope, the one is the parent of the
/// other. An error that is handled before is forgotten with that poll. For anything else there is
/// [`because_of`](Self::because_of).
///
/// As text a chain begins with the root, because that is what somebody has to mend, and a link
/// that ends in `: ` and what the one before it has said leaves that out:
///
/// ```
/// use tidegate_core::Cause;
///
/// let root = Cause::error(std::io::Error::other("the disk is full"));
/// let cause = Cause::explicit("no snapshot: the disk is full").because_of(&root);
/// let (first, then) = (cause.root().location().line(), cause.location().line());
/// let file = file!();
/// assert_eq!(
///     cause.to_string(),
///     format!("the disk is full (at {file}:{first}) -> no snapshot (at {file}:{then})"),
/// );
/// assert!(cause.root().downcast_ref::<std::io::Error>().is_some());
/// ```
///
/// A chain has 16 links at most: of a longer one those next to the root are kept, and the last;
/// [`left_out`](Self::left_out) is the number of those between.
#[derive(Clone)]
pub struct Cause(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: CauseKind,
    message: Option<Cow<'static, str>>,
    origin: Option<Path>,
    at: &'static Location<'static>,
    error: Option<Arc<dyn SharedError>>,
    parent: Option<Cause>,
    /// How many links the chain has from here on: never more than `MAX_LINKS`, so that dropping
    /// one may recurse.
    links: usize,
    left_out: usize,
}

const MAX_LINKS: usize = 16;

/// What kind of event stopped or cancelled a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CauseKind {
    /// Somebody called `stop` or `cancel`.
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
        origin: impl Into<Path>,
        at: &'static Location<'static>,
        message: Option<String>,
        error: Option<Arc<dyn SharedError>>,
    ) -> Self {
        Self::build(kind, message.map(Cow::Owned), Some(origin.into()), at, error)
    }

    pub(crate) fn of_scope(
        kind: CauseKind,
        origin: impl Into<Path>,
        at: &'static Location<'static>,
    ) -> Self {
        Self::build(kind, None, Some(origin.into()), at, None)
    }

    fn build(
        kind: CauseKind,
        message: Option<Cow<'static, str>>,
        origin: Option<Path>,
        at: &'static Location<'static>,
        error: Option<Arc<dyn SharedError>>,
    ) -> Self {
        let (parent, links, left_out) = (None, 1, 0);
        Self(Arc::new(Inner { kind, message, origin, at, error, parent, links, left_out }))
    }

    /// The same cause as a consequence of `parent`, in place of the parent that it had. Where
    /// `self` is in use already, it stays as it is there, and is not the [`same`](Self::same).
    #[must_use]
    pub fn because_of(self, parent: &Self) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        // Of a full chain the last link goes, whose own count says how often that was so before.
        let next = parent.parent().filter(|_| parent.0.links == MAX_LINKS);
        let (parent, left_out) = match next {
            Some(next) => (next.clone(), parent.0.left_out + 1),
            None => (parent.clone(), 0),
        };
        inner.links = parent.0.links + 1;
        inner.left_out = left_out;
        inner.parent = Some(parent);
        Self(Arc::new(inner))
    }

    /// What led to it, unless it is the root.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// What it all began with; itself, without a parent.
    #[must_use]
    pub fn root(&self) -> &Self {
        self.chain().last().unwrap_or(self)
    }

    /// From this one on to the root.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |cause| cause.parent())
    }

    /// How many links of the chain are left out between this one and its parent.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.0.left_out
    }

    /// What kind of event it was.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        self.0.kind
    }

    /// The path of the scope or task it began in, such as `/server/conn-7`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_ref().map(Path::text)
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

    /// The error behind it, if there is one, for people: it need not be a
    /// [`std::error::Error`].
    #[must_use]
    pub fn shown_error(&self) -> Option<&(dyn Display + Send + Sync + 'static)> {
        self.0.error.as_deref().map(SharedError::as_display)
    }

    /// What it was given to say, if anything: the text of an explicit cause, or of a panic.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    pub(crate) fn shared_error(&self) -> Option<&Arc<dyn SharedError>> {
        self.0.error.as_ref()
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

/// The whole chain, from the root on.
impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links: Vec<_> = self.chain().collect();
        let mut before = String::new();
        for (index, link) in links.into_iter().rev().enumerate() {
            if index > 0 {
                f.write_str(" -> ")?;
            }
            if link.0.left_out > 0 {
                write!(f, "{} more -> ", link.0.left_out)?;
            }
            before = link.0.write(f, &before)?;
        }
        Ok(())
    }
}

impl Inner {
    /// Writes this link; `before` is what the link before it had to say. Returns what this one has
    /// to say.
    fn write(&self, f: &mut fmt::Formatter<'_>, before: &str) -> Result<String, fmt::Error> {
        let told = self.told()?;
        let origin = self.origin.iter().map(Path::text);
        let what = match self.kind {
            CauseKind::Explicit if told.is_empty() => "no reason was given",
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
        };
        let subject = origin.chain([what]).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        f.write_str(&subject.join(" "))?;
        let new = match new_in(&told, before) {
            // Something is to be said, though it was before.
            "" if subject.is_empty() => &told,
            new => new,
        };
        if !new.is_empty() {
            let separator = match self.kind {
                CauseKind::Explicit => "",
                CauseKind::Signal => " ",
                _ => ": ",
            };
            write!(f, "{separator}{new}")?;
        }
        // A signal comes from without.
        if self.kind != CauseKind::Signal {
            write!(f, " (at {}:{})", self.at.file(), self.at.line())?;
        }
        Ok(told)
    }

    fn told(&self) -> Result<String, fmt::Error> {
        let mut told = self.message.as_deref().unwrap_or_default().to_owned();
        if let Some(error) = &self.error {
            let separator = if told.is_empty() { "" } else { ": " };
            // Not by `to_string`, which panics if the error does not write itself.
            write!(told, "{separator}{error}")?;
        }
        Ok(told)
    }
}

/// What `told` says that the link before it did not. An error that wraps that of the link, as a `?`
/// makes one, repeats it at its end; a text that has it anywhere else is whole, since to leave it
/// out would tear the rest.
fn new_in<'a>(told: &'a str, before: &str) -> &'a str {
    match told.strip_suffix(before) {
        Some("") => "",
        Some(new) if !before.is_empty() => new.strip_suffix(": ").unwrap_or(told),
        _ => told,
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
            .field("parent", &self.0.parent)
            .finish()
    }
}

// Without a source: the text has the whole chain, which a report that walks the sources would say
// twice. For programs there are `parent` and `chain`.
impl Error for Cause {}

/// Any error a scope can carry, `anyhow::Error` and boxed ones included, which is why this
/// asks for less than [`Error`].
pub(crate) trait SharedError: Display + Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_display(&self) -> &(dyn Display + Send + Sync + 'static);
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<E: Display + Debug + Send + Sync + 'static> SharedError for E {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_display(&self) -> &(dyn Display + Send + Sync + 'static) {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(origin: &str, error: &str) -> Cause {
        let (kind, at) = (CauseKind::ChildFailed, Location::caller());
        Cause::of_child(kind, origin.to_owned(), at, None, Some(Arc::new(error.to_owned())))
    }

    /// Without the places.
    fn text(cause: &Cause) -> String {
        let text = cause.to_string();
        let mut parts = text.split(" (at ");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once(')').unwrap().1)
    }

    #[test]
    fn reads_as_one_line() {
        let line = line!() + 1;
        let explicit = Cause::explicit("no more work");
        assert_eq!(explicit.to_string(), format!("no more work (at {}:{line})", file!()));
        assert_eq!(text(&failed("/srv/db", "io timeout")), "/srv/db failed: io timeout");
        assert_eq!(Cause::signal("SIGTERM").to_string(), "signal SIGTERM");
        assert_eq!(text(&Cause::new(CauseKind::Explicit)), "no reason was given");
        assert_eq!(text(&Cause::new(CauseKind::DeadlineExceeded)), "ran out of time");
    }

    #[test]
    fn a_chain_reads_from_the_root_and_repeats_nothing() {
        let root = failed("/srv/db/conn-7", "io timeout");
        let db = failed("/srv/db", "conn-7: io timeout").because_of(&root);
        let srv = failed("/srv", "no database").because_of(&db);
        let app = Cause::explicit("no database, no service").because_of(&srv);
        assert_eq!(
            text(&app),
            "/srv/db/conn-7 failed: io timeout -> /srv/db failed: conn-7 -> /srv failed: no database \
             -> no database, no service"
        );
        assert!(app.root().same(&root) && app.parent().unwrap().same(&srv));
        assert_eq!(app.chain().count(), 4);
        assert!(root.parent().is_none() && root.root().same(&root));
        let relinked = srv.clone().because_of(&root);
        assert!(srv.parent().unwrap().same(&db), "what is in use stays as it is");
        assert!(relinked.parent().unwrap().same(&root) && !relinked.same(&srv));
    }

    #[test]
    fn a_link_keeps_what_it_says_around_the_text_before_it() {
        let chain = |told: &str| text(&failed("/b", told).because_of(&failed("/a", "timeout")));
        let before = "/a failed: timeout -> /b failed";
        for (told, left) in [
            ("timeout", ""),
            ("no rows: timeout", ": no rows"),
            ("no rows (timeout), retries: 3", ": no rows (timeout), retries: 3"),
            ("timeout: of 3 replicas", ": timeout: of 3 replicas"),
            ("a connect timeout", ": a connect timeout"),
        ] {
            assert_eq!(chain(told), format!("{before}{left}"));
        }
        let said = Cause::explicit("no rows: timeout").because_of(&failed("/a", "timeout"));
        assert_eq!(text(&said), "/a failed: timeout -> no rows");
        let same = Cause::explicit("timeout").because_of(&failed("/a", "timeout"));
        assert_eq!(text(&same), "/a failed: timeout -> timeout", "nothing else would be left");
    }

    #[test]
    fn a_chain_is_bounded_and_counts_what_it_leaves_out() {
        const LEN: usize = if cfg!(miri) { 50 } else { 10_000 };
        let mut cause = failed("/0", "it broke");
        for n in 1..LEN {
            cause = failed(&format!("/{n}"), &format!("{n}")).because_of(&cause);
            assert_eq!(cause.chain().count(), MAX_LINKS.min(n + 1));
            let left_out: usize = cause.chain().map(Cause::left_out).sum();
            assert_eq!(cause.chain().count() + left_out, n + 1);
        }
        assert_eq!(cause.root().origin(), Some("/0"));
        let text = text(&cause);
        let begin = "/0 failed: it broke -> /1 failed: 1 -> /2 failed: 2 -> ";
        assert!(text.starts_with(begin), "{text}");
        let (more, last) = (LEN - MAX_LINKS, LEN - 1);
        let end = format!("-> /14 failed: 14 -> {more} more -> /{last} failed: {last}");
        assert!(text.ends_with(&end), "{text}");
    }

    #[test]
    fn an_error_that_does_not_write_itself_panics_nobody() {
        struct Mute;
        impl Display for Mute {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        impl Debug for Mute {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        let mut text = String::new();
        assert!(write!(text, "{}", Cause::error(Mute)).is_err());
    }

    #[test]
    fn keeps_the_type_of_the_error() {
        let cause = Cause::error(std::io::Error::other("boom"));
        assert_eq!(cause.downcast_ref::<std::io::Error>().unwrap().to_string(), "boom");
        assert!(cause.to_string().starts_with("boom (at "), "{cause}");
        assert_eq!(cause.shown_error().unwrap().to_string(), "boom");
        assert_eq!(cause.message(), None);
        let said = Cause::explicit("enough");
        assert_eq!(said.message(), Some("enough"));
        assert!(said.shown_error().is_none());
        assert!(cause.downcast_ref::<String>().is_none());
        assert!(cause.same(&cause.clone()));
        assert!(!cause.same(&Cause::error("boom")));
    }
}
