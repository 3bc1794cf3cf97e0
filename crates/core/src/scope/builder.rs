//! What a scope is opened with.

use super::{
    Cx, OnError, OnPanic,
    drive::OpenScope,
    node::{Plan, ScopeNode},
    policy::{Own, Policy, Rule},
};
use crate::{Budget, CancelToken, Name, sync::Arc};
use std::{fmt::Debug, marker::PhantomData, panic::Location, time::Duration};
use tokio::time::Instant;

/// How long a cancelled scope waits for its children before it aborts them: 5 s, as
/// Erlang/OTP's supervisors do.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

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
    pub(super) grace: Duration,
    pub(super) time: Time,
    pub(super) place: Place,
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
pub(super) enum Time {
    From(Budget),
    Until(Instant),
}

/// Where in the tree the new scope stands.
pub(super) enum Place {
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
}
