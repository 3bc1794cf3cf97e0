//! What a scope is opened with, and by whom it is run.

use super::{
    Cx, JoinReport, OnError, OnPanic, Reason, ScopeError,
    drive::{OpenScope, drive},
    node::{Plan, ScopeNode},
    policy::{Own, Policy, Rule},
};
use crate::{Budget, CancelToken, Cause, Name, sync::Arc};
use std::{
    fmt::{Debug, Display},
    future::Future,
    marker::PhantomData,
    panic::Location,
    time::Duration,
};
use tokio::time::Instant;

/// How long a cancelled scope waits for its children before it aborts them: 5 s, as
/// Erlang/OTP's supervisors do.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Runs `body` in a new scope and waits for every child it spawned.
///
/// Shorthand for [`Scope::builder(name).run(body)`](Scope::run); inside another scope use
/// [`Cx::scope`], which ties the two together.
///
/// ```
/// use tidegate_core::Cx;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidegate_core::ScopeError<Error>> {
/// let sum = tidegate_core::scope("sum", async |cx: Cx<Error>| {
///     let left = cx.spawn("left", async { Ok(1) });
///     let right = cx.spawn("right", async { Ok(2) });
///     Ok(left.await? + right.await?)
/// })
/// .await?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
///
/// A `?` on a task needs an error that can be made of a [`TaskError`](super::TaskError): a
/// boxed one, as here, or an own enum with a `#[from] TaskError<Self>` variant. If the task
/// failed the scope has its error already and returns that one; the body's comes after it.
/// An `unwrap` does as well: the panic comes after the error that caused it.
///
/// # Errors
///
/// As for [`Scope::run`].
///
/// # Panics
///
/// As for [`Scope::run`].
///
/// # Cancel safety
///
/// As for [`Scope::run`].
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
///
/// It can be cancelled from one place at most, by a [`token`](Self::token) or by a
/// [`parent`](Self::parent), and does not compile with both:
///
/// ```compile_fail
/// # fn nested(cx: &tidegate_core::Cx<String>, token: &tidegate_core::CancelToken) {
/// let scope = tidegate_core::Scope::builder("nested").parent(cx).token(token);
/// # }
/// ```
///
/// To have both, call [`CancelToken::run`] in the body.
#[derive(Debug)]
#[must_use = "a scope does nothing until it is run"]
pub struct Scope<P = Unplaced> {
    pub(super) plan: Plan,
    grace: Duration,
    time: Time,
    place: Place,
    placed: PhantomData<P>,
}

/// Marks a [`Scope`] that may still be given a token or a parent.
#[derive(Clone, Copy, Debug)]
pub enum Unplaced {}

/// Marks a [`Scope`] that has a token or a parent.
#[derive(Clone, Copy, Debug)]
pub enum Placed {}

/// How much time the scope has.
#[derive(Clone, Copy, Debug)]
enum Time {
    From(Budget),
    Until(Instant),
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
        Self {
            plan: Plan::new(name),
            grace: DEFAULT_GRACE,
            time: Time::From(Budget::UNLIMITED),
            place: Place::Root,
            placed: PhantomData,
        }
    }

    /// Cancels the scope when `token` is cancelled.
    pub fn token(self, token: &CancelToken) -> Scope<Placed> {
        self.place(Place::Under(token.clone()))
    }

    /// Nests the scope in another: see [`Cx::scope`].
    pub fn parent<E>(self, parent: &Cx<E>) -> Scope<Placed> {
        self.place(Place::In(Arc::clone(parent.node())))
    }

    /// Opens the root scope of a program.
    pub(crate) fn root(self, token: &CancelToken) -> OpenScope {
        let node = ScopeNode::root(self.plan, token.child());
        OpenScope::new(node, self.grace)
    }

    fn place(self, place: Place) -> Scope<Placed> {
        let Self { plan, grace, time, .. } = self;
        Scope { plan, grace, time, place, placed: PhantomData }
    }
}

impl<P> Scope<P> {
    /// Where it was built.
    pub(super) fn location(&self) -> &'static Location<'static> {
        self.plan.at
    }

    /// How long children, and the body, may go on after the scope was cancelled before they
    /// are dropped at their next await. [`Duration::MAX`] waits for ever.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How much time the scope has from its first poll on, also as a [`Budget`] that came with
    /// a request. Then it is cancelled with [`CauseKind::DeadlineExceeded`](crate::CauseKind), and has its grace
    /// period; without any time it begins cancelled.
    ///
    /// It never has more than a scope around it, and arms no timer if it has no less: it relies
    /// on the future of that scope being polled, as every future does that waits for time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{convert::Infallible, time::Duration};
    /// use tidegate_core::{CauseKind, Cx, Reason, Scope};
    ///
    /// let request = Scope::builder("request").timeout(Duration::from_millis(5));
    /// let error = request
    ///     .run(async |cx: Cx<Infallible>| Ok(drop(cx.cancelled().await)))
    ///     .await
    ///     .unwrap_err();
    /// let Reason::Cancelled(cause) = error.reason() else { panic!("{error}") };
    /// assert_eq!(cause.kind(), CauseKind::DeadlineExceeded);
    /// assert_eq!(cause.origin(), Some("/request"), "whose deadline it was");
    /// # }
    /// ```
    pub fn timeout(mut self, time: impl Into<Budget>) -> Self {
        self.time = Time::From(time.into());
        self
    }

    /// When the scope is to be cancelled: see [`timeout`](Self::timeout), which this replaces.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.time = Time::Until(at);
        self
    }

    /// Lets the scope go on when its [parent](Self::parent) is stopped or cancelled, or out of
    /// time: for cleaning up. It has the parent's values, and the parent waits for it; what has
    /// not ended when the parent's grace period is over is aborted. Go's `WithoutCancel`, with
    /// an end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{convert::Infallible, time::Duration};
    /// use tidegate_core::{Cx, Scope, scope};
    ///
    /// let job = scope("job", async |cx: Cx<Infallible>| {
    ///     cx.cancel("enough");
    ///     let cleanup = Scope::builder("cleanup").parent(&cx).without_cancel();
    ///     let cleaned = cleanup.timeout(Duration::from_secs(2)).run(async |cx: Cx<Infallible>| {
    ///         Ok(cx.run(async { "cleaned up" }).await.unwrap())
    ///     });
    ///     Ok(cleaned.await.unwrap())
    /// });
    /// assert_eq!(job.await.unwrap(), "cleaned up");
    /// # }
    /// ```
    pub fn without_cancel(mut self) -> Self {
        self.plan.detached = true;
        self
    }

    /// What a child that fails does to the others: see [`OnError`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::{Cx, OnError, Scope};
    ///
    /// let all = Scope::builder("all").on_error(OnError::collect());
    /// let error = all
    ///     .run(async |cx: Cx<String>| {
    ///         for n in 0..3 {
    ///             cx.spawn(format!("{n}"), async move { Err::<(), _>(format!("{n} is bad")) });
    ///         }
    ///         Ok(())
    ///     })
    ///     .await
    ///     .unwrap_err();
    /// assert_eq!(error.reasons().count(), 3);
    /// for reason in error.reasons() {
    ///     println!("{reason}"); // task /all/1 (spawned at ..) failed: 1 is bad
    /// }
    /// # }
    /// ```
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.plan.rule = Rule::OnError(on_error);
        self
    }

    /// What the end of a child does to the others and to the result, by a [`Policy`] such as
    /// [`Supervise`](super::Supervise) or an own one; it replaces [`on_error`](Self::on_error).
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.plan.rule = Rule::Own(Own::new(policy));
        self
    }

    /// How many children that were [spawned](Cx::spawn) run at once; at least one. The others
    /// wait, without having begun, for their turn in the order in which they were spawned;
    /// [`Cx::try_spawn`] and [`Cx::spawn_in_turn`] spawn none that would have to wait. When the
    /// scope is cancelled, who waits is dropped unrun, and its task reports
    /// [`TaskError::Cancelled`](super::TaskError::Cancelled).
    ///
    /// A child that waits for a sibling while all slots are taken waits for ever: while there is a
    /// [`Watch`](crate::inspect::Watch), a [snapshot](crate::inspect::Snapshot::deadlocks) shows it. Blocking work and nested scopes
    /// take no slot: have a child await them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{convert::Infallible, time::Duration};
    /// use tidegate_core::{Cx, Scope};
    /// use tokio::time::{Instant, sleep};
    ///
    /// let begun = Instant::now();
    /// let crawl = Scope::builder("crawl").limit(2).run(async |cx: Cx<Infallible>| {
    ///     for _ in 0..6 {
    ///         cx.spawn("page", async { Ok(sleep(Duration::from_secs(1)).await) });
    ///     }
    ///     Ok(())
    /// });
    /// crawl.await.unwrap();
    /// assert_eq!(begun.elapsed(), Duration::from_secs(3));
    /// # }
    /// ```
    pub fn limit(mut self, children: usize) -> Self {
        self.plan.limit = Some(children);
        self
    }

    /// What the panic of a child does: see [`OnPanic`]. A nested scope does as the one around it,
    /// unless it is told otherwise.
    ///
    /// ```should_panic
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, OnPanic, Scope};
    ///
    /// let job = Scope::builder("job").on_panic(OnPanic::Raise);
    /// let _unreached = job
    ///     .run(async |cx: Cx<Infallible>| {
    ///         cx.spawn::<(), _>("child", async { panic!("goes on in main") });
    ///         Ok(())
    ///     })
    ///     .await;
    /// # }
    /// ```
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.plan.on_panic = Some(on_panic);
        self
    }

    /// Hands a value down to everything in the scope, in nested scopes, too: see
    /// [`Cx::value`]. It replaces one of the same type from around.
    pub fn value<V: Send + Sync + 'static>(mut self, value: V) -> Self {
        self.plan.values.insert(value);
        self
    }

    /// Runs `body`, then waits until every child has ended.
    ///
    /// The first child, or body, to return an error or to panic cancels the scope, unless it
    /// [collects](Self::on_error) the errors of children. Children see that by their [`Cx`]; what has not ended after the grace period is dropped at its
    /// next await and named in the [report](ScopeError::report). Blocking work is waited for
    /// in any case.
    ///
    /// # Errors
    ///
    /// The first error or panic of a child, or the body's error; [`Reason::Cancelled`] if
    /// the scope was cancelled by its parent, its token or its deadline; [`Reason::Aborted`] if children
    /// ignored the body's own cancellation. An error that came after the first is in the
    /// report.
    ///
    /// # Panics
    ///
    /// A panic of the body is resumed here once every child has ended, unless a failure came
    /// before it: that is returned then, and the panic is in its report. Often it is the
    /// failure that made the body panic.
    ///
    /// If the runtime has no time driver (`enable_time`): at the first cancellation, or in a
    /// scope with a deadline when it first waits.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. Dropping the future after that cancels the scope
    /// with [`CauseKind::ScopeDropped`](crate::CauseKind) and aborts its children. A parent scope waits for
    /// them, and has their errors in its [report](JoinReport::adopted); without a parent they
    /// end at their next await, unwatched, and their errors are events only.
    pub async fn run<T, E, F, Fut>(self, body: F) -> Result<T, ScopeError<E>>
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // Not by way of the other: each future within another is as large as both.
        ScopeError::of(match self.open() {
            Ok(open) => drive(open, body).await,
            Err(cause) => never_opened(cause),
        })
    }

    /// The same as [`run`](Self::run), with a report in any case: a scope that ends well may have
    /// had failures, which its [policy](Self::policy) tolerated, or which came from nested scopes
    /// whose future was dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::{Cx, Scope, Supervise};
    ///
    /// let jobs = Scope::builder("jobs").policy(Supervise);
    /// let (done, report) = jobs
    ///     .run_with_report(async |cx: Cx<&str>| {
    ///         cx.spawn("bad", async { Err::<(), _>("disk full") });
    ///         cx.spawn("good", async { Ok(()) });
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(done.is_ok());
    /// assert!(report.tolerated()[0].to_string().ends_with("failed: disk full"));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    pub async fn run_with_report<T, E, F, Fut>(
        self,
        body: F,
    ) -> (Result<T, Reason<E>>, JoinReport<E>)
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // Opened by the first poll, not by the call: a parent could wait for ever for a future
        // that is held but never polled.
        match self.open() {
            Ok(open) => drive(open, body).await,
            Err(cause) => never_opened(cause),
        }
    }

    /// Runs `body` with something that all children may use, and gives it back when they have
    /// ended: what would be borrowed if tasks could borrow. If somebody took a handle away with
    /// them, such as the value of the body, it comes back as another handle.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{convert::Infallible, sync::{Arc, atomic::{AtomicU64, Ordering}}};
    /// use tidegate_core::{Cx, Scope};
    ///
    /// let total = AtomicU64::new(0);
    /// let (done, total) = Scope::builder("sum")
    ///     .run_with(total, async |cx: Cx<Infallible>, total: Arc<AtomicU64>| {
    ///         for n in 1..=4 {
    ///             let total = Arc::clone(&total);
    ///             cx.spawn("add", async move { Ok(total.fetch_add(n, Ordering::Relaxed)) });
    ///         }
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(done.is_ok());
    /// assert_eq!(total.unwrap().into_inner(), 10);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); the resource is given back in any case.
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run). The resource is dropped then, after the last child.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run). The resource is dropped with the last child that uses it.
    pub async fn run_with<R, T, E, F, Fut>(
        self,
        resource: R,
        body: F,
    ) -> (Result<T, ScopeError<E>>, Result<R, Arc<R>>)
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>, Arc<R>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let resource = Arc::new(resource);
        let lent = Arc::clone(&resource);
        let result = self.run(async |cx| body(cx, lent).await).await;
        (result, Arc::try_unwrap(resource))
    }

    /// Makes the scope's node; the cause, if its parent admits nothing more.
    pub(super) fn open(self) -> Result<OpenScope, Cause> {
        let Self { plan, grace, time, place, .. } = self;
        let node = match place {
            Place::Root => ScopeNode::root(plan, CancelToken::new()),
            Place::Under(token) => ScopeNode::root(plan, token.child()),
            Place::In(parent) => ScopeNode::nested(plan, &parent)?,
        };
        let deadline = match time {
            Time::From(budget) => budget.deadline(),
            Time::Until(at) => Some(at),
        };
        if let Some(at) = deadline {
            node.set_deadline(deadline);
            if at <= Instant::now() {
                node.cancel_expired();
            }
        }
        Ok(OpenScope::new(node, grace))
    }
}

/// What comes out of a scope that its parent did not admit.
fn never_opened<T, E>(cause: Cause) -> (Result<T, Reason<E>>, JoinReport<E>) {
    (Err(Reason::Cancelled(cause)), JoinReport::EMPTY)
}
