//! Running a scope: the body, the grace period and the join.

use super::{
    Cx, JoinReport, Reason, ScopeError,
    failures::{Failures, Shared},
    node::ScopeNode,
};
use crate::{CancelToken, Cause, CauseKind, Name, sync::Arc};
use std::{
    any::Any,
    fmt::{Debug, Display},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How long a cancelled scope waits for its children before it aborts them: 5 s, as
/// Erlang/OTP's supervisors do.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Runs `body` in a new scope and waits for every child it spawned.
///
/// Shorthand for [`Scope::builder(name).run(body)`](Scope::run); inside another scope use
/// [`Cx::scope`], which ties the two together.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidegate_core::ScopeError<std::io::Error>> {
/// let sum = tidegate_core::scope("sum", async |cx| {
///     let left = cx.spawn("left", async { Ok(1) });
///     let right = cx.spawn("right", async { Ok(2) });
///     Ok(left.await.unwrap() + right.await.unwrap())
/// })
/// .await?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As for [`Scope::run`].
///
/// # Cancel safety
///
/// Dropping the future cancels the scope and aborts its children.
#[track_caller]
pub fn scope<T, E, F, Fut>(
    name: impl Into<Name>,
    body: F,
) -> impl Future<Output = Result<T, ScopeError<E>>>
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Scope::builder(name).run(body)
}

/// A scope that is not running yet: a name and its options.
#[derive(Debug)]
#[must_use = "a scope does nothing until it is run"]
pub struct Scope {
    name: Name,
    at: &'static Location<'static>,
    grace: Duration,
    place: Place,
}

/// Where in the tree the new scope stands.
enum Place {
    Root,
    Under(CancelToken),
    In(Arc<ScopeNode>),
}

impl Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("Root"),
            Self::Under(token) => f.debug_tuple("Under").field(token).finish(),
            Self::In(node) => f.debug_tuple("In").field(&node.path()).finish(),
        }
    }
}

impl Scope {
    /// A scope of that name, with a grace period of [`DEFAULT_GRACE`].
    #[track_caller]
    pub fn builder(name: impl Into<Name>) -> Self {
        let at = Location::caller();
        Self { name: name.into(), at, grace: DEFAULT_GRACE, place: Place::Root }
    }

    /// How long children, and the body, may go on after the scope was cancelled before they
    /// are dropped at their next await. [`Duration::MAX`] waits for ever.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Cancels the scope when `token` is cancelled.
    pub fn token(mut self, token: &CancelToken) -> Self {
        self.place = Place::Under(token.clone());
        self
    }

    /// Nests the scope in another: see [`Cx::scope`].
    pub fn parent<E>(mut self, parent: &Cx<E>) -> Self {
        self.place = Place::In(Arc::clone(parent.node()));
        self
    }

    /// Runs `body`, then waits until every child has ended.
    ///
    /// The first child, or body, to return an error or to panic cancels the scope. Children
    /// see that by their [`Cx`]; what has not ended after the grace period is dropped at its
    /// next await and named in the [report](ScopeError::report). Blocking work is waited for
    /// in any case.
    ///
    /// # Errors
    ///
    /// The first error or panic of a child, or the body's error; [`Reason::Cancelled`] if
    /// the scope was cancelled by its parent or its token; [`Reason::Aborted`] if children
    /// ignored the body's own cancellation. An error that came after the first is in the
    /// report.
    ///
    /// # Panics
    ///
    /// A panic of the body is resumed here once every child has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the scope with [`CauseKind::ScopeDropped`] and aborts its
    /// children. A parent scope waits for them; without a parent they end at their next
    /// await, unwatched.
    pub fn run<T, E, F, Fut>(self, body: F) -> impl Future<Output = Result<T, ScopeError<E>>>
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let grace = self.grace;
        let node = self.open();
        async move {
            let node = node.map_err(|cause| {
                let report = JoinReport { also: Vec::new(), more: 0, aborted: Vec::new() };
                ScopeError::new(Reason::Cancelled(cause), report)
            })?;
            drive(node, grace, body).await
        }
    }

    /// Opens a scope that has no parent to refuse it.
    pub(crate) fn root(self) -> OpenScope {
        let token = match self.place {
            Place::Under(token) => token.child(),
            Place::Root | Place::In(_) => CancelToken::new(),
        };
        OpenScope(ScopeNode::root(self.name, self.at, token))
    }

    /// Makes the scope's node; the cause, if its parent admits nothing more.
    fn open(self) -> Result<OpenScope, Cause> {
        let Place::In(parent) = &self.place else { return Ok(self.root()) };
        ScopeNode::nested(self.name, self.at, parent).map(OpenScope).ok_or_else(|| parent.refusal())
    }
}

/// An open scope. Dropping it before the scope has closed orphans the children.
pub(crate) struct OpenScope(Arc<ScopeNode>);

impl OpenScope {
    pub(crate) fn node(&self) -> &Arc<ScopeNode> {
        &self.0
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            let cause = Cause::of_scope(CauseKind::ScopeDropped, self.0.path(), self.0.location());
            self.0.token().cancel(cause);
            self.0.abort();
            self.0.orphaned();
        }
    }
}

/// Drives an open scope to its end.
pub(crate) async fn drive<T, E, F, Fut>(
    open: OpenScope,
    grace: Duration,
    body: F,
) -> Result<T, ScopeError<E>>
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let node = open.node();
    let shared = Shared::new(Arc::clone(node));
    let mut overdue = pin!(overdue(node.token(), grace));
    let body = {
        // The body is dropped before the join: children may wait for what it holds.
        let cx = Cx(Arc::clone(&shared));
        let mut body = pin!(async { body(cx).await });
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
            Ok(Poll::Ready(result)) => Poll::Ready(Ended::Itself(result)),
            Ok(Poll::Pending) => overdue.as_mut().poll(cx).map(|()| Ended::Overdue),
            Err(payload) => Poll::Ready(Ended::Panicked(payload)),
        })
        .await
    };
    let mut is_overdue = false;
    let mut panic = None;
    let mut value = None;
    match body {
        Ended::Itself(Ok(ready)) => value = Some(ready),
        Ended::Itself(Err(error)) => drop(shared.failed(node.info(), error)),
        Ended::Panicked(payload) => {
            shared.body_panicked(node.info(), &*payload);
            panic = Some(payload);
        }
        Ended::Overdue => {
            is_overdue = true;
            node.abort();
            node.note_aborted(node.info());
        }
    }
    node.body_ended();
    poll_fn(|cx| {
        let closed = node.poll_closed(cx);
        if closed.is_pending() && !is_overdue && overdue.as_mut().poll(cx).is_ready() {
            is_overdue = true;
            node.abort();
        }
        closed
    })
    .await;
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
    finish(node, &shared, value)
}

/// How a body ended.
enum Ended<T, E> {
    Itself(Result<T, E>),
    Panicked(Box<dyn Any + Send>),
    Overdue,
}

/// Ends when the scope has been cancelled for as long as the grace period.
async fn overdue(token: &CancelToken, grace: Duration) {
    token.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// What a closed scope returns. An error that a child returned is never dropped: if nothing
/// else explains why the scope ended, it is the reason.
fn finish<T, E>(
    node: &ScopeNode,
    shared: &Shared<E>,
    value: Option<T>,
) -> Result<T, ScopeError<E>> {
    let Failures { first, mut also, more } = shared.take_failures();
    let aborted = node.take_aborted();
    let reason = if let Some(first) = first {
        Some(first)
    } else if let Some(cause) = node.token().inherited_cause() {
        Some(Reason::Cancelled(cause))
    } else if also.is_empty() {
        (value.is_none() || !aborted.is_empty()).then_some(Reason::Aborted)
    } else {
        Some(also.remove(0))
    };
    // Whatever was tied to the scope by a token of its own ends with it, too.
    let ended = Cause::of_scope(CauseKind::ScopeClosed, node.path(), node.location());
    node.token().cancel(ended);
    match (reason, value) {
        (None, Some(value)) => Ok(value),
        (reason, _) => {
            let report = JoinReport { also, more, aborted };
            Err(ScopeError::new(reason.unwrap_or(Reason::Aborted), report))
        }
    }
}
