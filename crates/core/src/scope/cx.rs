//! What the body and the children of a scope see of it.

use super::{
    Scope, ScopeError, Straggler, Task, TaskError, WorkKind,
    child::{Child, Gate, Job, Lease, Open},
    limit::Limit,
    node::ScopeNode,
    task::Spawned,
    vault::Vault,
};
use crate::{
    Budget, CancelToken, Cancelled, Cause, Name, Stopping,
    inspect::Snapshot,
    rt,
    sync::{Arc, Mutex, lock},
};
use std::{
    fmt::{self, Debug, Display},
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    pin::Pin,
};
use tokio::time::Instant;

/// A future of more bytes is boxed when it is spawned: the runtime moves it some ten times until it
/// lies where it is polled, and once it has ended. Below that a box costs more, as one worker
/// allocates what another frees.
const LARGE: usize = 4096;

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A handle to a scope: spawn into it, ask whether it is cancelled, cancel it.
///
/// Cheap to clone and `'static`, so that children can hold one and spawn siblings.
pub struct Cx<E>(Arc<ScopeNode>, PhantomData<fn(E) -> E>);

impl<E> Cx<E> {
    pub(super) fn new(node: Arc<ScopeNode>) -> Self {
        Self(node, PhantomData)
    }

    /// The name of the scope.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// The names from the root down, such as `/server/conn-7`. In a name `/` reads `%2F`, and
    /// `%` reads `%25`.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path().written()
    }

    /// The token of the scope: cancelled when the scope is.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        self.0.token()
    }

    /// The value of type `V` that this scope, or the nearest one around it that has one, was
    /// given by [`Scope::value`]. The type is the key: make one for what you hand down.
    ///
    /// A value is for what concerns a whole tree of work, such as the identity of a request or
    /// of the user; what a function needs to do its job is better an argument. It lives until
    /// nobody can ask for it: no `Cx` of the scope is left, and its last child is gone.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, Scope};
    ///
    /// struct RequestId(u64);
    ///
    /// let request = Scope::builder("request").value(RequestId(7));
    /// let seen = request.run(async |cx: Cx<Infallible>| {
    ///     // Any scope below finds it, however deep.
    ///     let nested = cx.scope("nested", async |cx: Cx<Infallible>| {
    ///         Ok(cx.value::<RequestId>().map(|id| id.0))
    ///     });
    ///     Ok(nested.await.unwrap())
    /// });
    /// assert_eq!(seen.await.unwrap(), Some(7));
    /// # }
    /// ```
    #[must_use]
    pub fn value<V: Send + Sync + 'static>(&self) -> Option<&V> {
        self.0.values().get()
    }

    /// How many children live now, nested scopes included.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.live()
    }

    /// Everything that lives in the scope now, its body and the work in nested scopes
    /// included: the answer to what a scope is waiting for. It goes through all records.
    #[must_use]
    pub fn stragglers(&self) -> Vec<Straggler> {
        self.0.stragglers()
    }

    /// A picture of the scope, and of all that is in it: what runs, since when, and what it
    /// waits for. Its `Display` is a tree for people.
    #[must_use]
    pub fn tree(&self) -> Snapshot {
        Snapshot::of(&self.0)
    }

    /// Whether the scope is cancelled: one atomic load.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token().is_cancelled()
    }

    /// Why the scope is cancelled, if it is.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.token().cause()
    }

    /// A check for loops that do not await.
    ///
    /// # Errors
    ///
    /// The cause, once the scope is cancelled.
    pub fn check(&self) -> Result<(), Cause> {
        self.token().check()
    }

    /// Cancels the scope: children and body are asked to end, and what has not ended after
    /// the grace period is dropped. Returns whether this call was the first.
    ///
    /// A body that returns `Ok` after its own scope was cancelled this way keeps its value:
    /// cancelling is how a body stops children it needs no longer.
    #[track_caller]
    pub fn cancel(&self, cause: impl Into<Cause>) -> bool {
        self.token().cancel(cause)
    }

    /// Asks the scope for an orderly end: see [`CancelToken::stop`]. Nothing is enforced; its
    /// children and its body see it, and the nested scopes'. Returns whether this call was the
    /// first.
    #[track_caller]
    pub fn stop(&self, cause: impl Into<Cause>) -> bool {
        self.token().stop(cause)
    }

    /// Whether the scope is to stop, or cancelled: one atomic load.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.token().is_stopping()
    }

    /// Waits until the scope is to stop, or cancelled, and says why.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, scope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let served = scope("server", async |cx: Cx<Infallible>| {
    ///     let server = cx.clone();
    ///     let serving = cx.spawn("accept", async move {
    ///         let mut served = 0;
    ///         while !server.is_stopping() {
    ///             tokio::task::yield_now().await; // A request.
    ///             served += 1;
    ///             if served == 3 {
    ///                 server.stop("three are enough");
    ///             }
    ///         }
    ///         Ok(served)
    ///     });
    ///     cx.stopping().await;
    ///     Ok(serving.await.unwrap())
    /// })
    /// .await;
    /// assert_eq!(served.unwrap(), 3, "a stop is no failure");
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing. Tested by `cancelled_and_stopping`.
    pub fn stopping(&self) -> Stopping<'_> {
        self.token().stopping()
    }

    /// Waits until the scope is cancelled, and says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing. Tested by `cancelled_and_stopping`.
    pub fn cancelled(&self) -> Cancelled<'_> {
        self.token().cancelled()
    }

    /// When the time of the scope is over: its own deadline or an earlier one around it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// How much time is left, for instance to tell it to another service.
    #[must_use]
    pub fn remaining(&self) -> Budget {
        Budget::until(self.deadline())
    }

    /// Moves the scope's own deadline, or takes it away. One that is over already cancels the
    /// scope when its body waits next, or its end does; one that has done so is beyond recall.
    pub fn set_deadline(&self, at: Option<Instant>) {
        self.0.set_deadline(at);
    }

    /// Runs `future` until it is ready or the scope is cancelled, cancellation first.
    ///
    /// # Errors
    ///
    /// The cause, if the scope was cancelled first.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, which is dropped when the scope is cancelled or this
    /// future is dropped. Tested by `run_and_shield`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Cause> {
        self.token().run(future).await
    }

    pub(super) fn node(&self) -> &Arc<ScopeNode> {
        &self.0
    }

    pub(super) fn limit(&self) -> Option<&Limit> {
        self.0.limit()
    }

    /// Says that a child is not spawned, and why.
    pub(super) fn refuse(&self, name: &Name, at: &'static Location<'static>) -> Cause {
        self.0.refuse(name.clone(), at, WorkKind::Task)
    }

    fn admit<T: Send + 'static>(
        &self,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
        vault: Option<&Arc<Vault<T>>>,
    ) -> Result<Lease, Cause> {
        let vault = vault.map(|vault| Arc::clone(vault) as _);
        let key = self.0.admit(name, at, kind, vault)?;
        Ok(Lease::new(Arc::clone(&self.0), key))
    }
}

impl<E: Display + Debug + Send + Sync + 'static> Cx<E> {
    /// Starts a child. It is polled by the runtime on its own, like `tokio::spawn`, and the
    /// scope waits for it.
    ///
    /// If it returns an error or panics, the scope is cancelled and ends with that error. In
    /// a scope that is cancelled it starts all the same, and sees the cancellation at once.
    /// In a scope that has ended or is being aborted, the future is dropped unrun, the task
    /// reports [`TaskError::Cancelled`], and an event says so. In a scope with a
    /// [limit](Scope::limit) it may have to wait for its turn.
    ///
    /// The future of a child is dropped when the child ends. The memory it lay in may go back
    /// a few spawns later, and is kept for no more children than are alive.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Awaiting the task is cancel safe, and dropping it neither stops nor detaches the child.
    /// Tested by `awaiting_a_task`.
    #[track_caller]
    pub fn spawn<T, F>(&self, name: impl Into<Name>, future: F) -> Task<T, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.spawn_from(name.into(), Location::caller(), future)
    }

    /// The same on behalf of that place in the source.
    pub(super) fn spawn_from<T, F>(
        &self,
        name: Name,
        at: &'static Location<'static>,
        future: F,
    ) -> Task<T, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.limit() {
            None => self.spawn_at(name, at, future),
            // Boxed: hardly any scope has a limit, and the compiler would make each child twice.
            Some(limit) => {
                let future: Boxed<T, E> = Box::pin(future);
                let spawned = self.spawn_gated(name, at, future, limit.queue(at));
                spawned.unwrap_or_else(Self::refused)
            }
        }
    }

    /// Starts a child at once, on behalf of that place in the source and beside the limit.
    pub(crate) fn spawn_at<T, F>(
        &self,
        name: Name,
        at: &'static Location<'static>,
        future: F,
    ) -> Task<T, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        if const { size_of::<F>() > LARGE } {
            let spawned = self.spawn_gated(name, at, Box::pin(future), Open);
            return spawned.unwrap_or_else(Self::refused);
        }
        self.spawn_gated(name, at, future, Open).unwrap_or_else(Self::refused)
    }

    fn refused<T, F>((future, cause): (F, Cause)) -> Task<T, E> {
        drop(future);
        Task::refused(cause)
    }

    /// Starts a child that runs when it is through the gate; the future, if the scope admits
    /// nothing more.
    pub(super) fn spawn_gated<T, F, G>(
        &self,
        name: Name,
        at: &'static Location<'static>,
        future: F,
        gate: G,
    ) -> Result<Task<T, E>, (F, Cause)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        G: Gate + Send + 'static,
    {
        let vault = Vault::if_needed();
        let lease = match self.admit(name, at, WorkKind::Task, vault.as_ref()) {
            Ok(lease) => lease,
            Err(cause) => return Err((future, cause)),
        };
        let work = Spawned::new(&lease, at);
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns futures")]
        Ok(Task::running(rt::spawn(Child::new(future, gate, lease)), vault, work))
    }

    /// Runs blocking work on a thread of the runtime's blocking pool, as a child.
    ///
    /// Blocking work cannot be aborted: it should look at [`Cx::check`] now and then. The
    /// scope waits for it in any case.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or if the system has no thread for the runtime; the work is
    /// dropped unrun then.
    ///
    /// # Cancel safety
    ///
    /// Awaiting the task is cancel safe, and dropping it neither stops nor detaches the work.
    /// Tested by `awaiting_work_that_blocks`.
    #[track_caller]
    pub fn spawn_blocking<T, F>(&self, name: impl Into<Name>, work: F) -> Task<T, E>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let (at, vault) = (Location::caller(), Vault::if_needed());
        let lease = match self.admit(name.into(), at, WorkKind::Blocking, vault.as_ref()) {
            Ok(lease) => lease,
            Err(cause) => return Task::refused(cause),
        };
        let spawned = Spawned::new(&lease, at);
        let job = Arc::new(Mutex::new(Some(Job::new(work, lease))));
        let queued = Arc::clone(&job);
        let run = move || {
            let job = lock(&queued).take();
            job.map_or(Err(TaskError::Aborted), Job::run)
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns blocking work")]
        let handle = catch_unwind(AssertUnwindSafe(|| rt::spawn_blocking(run)));
        match handle {
            Ok(handle) => Task::running(handle, vault, spawned),
            Err(payload) => {
                // A runtime that gets no thread keeps the work in its queue, where it would
                // hold the scope open for ever.
                let job = lock(&job).take();
                drop(job);
                resume_unwind(payload)
            }
        }
    }

    /// Runs a nested scope: cancelled when this one is, with errors of its own type.
    ///
    /// If the returned future is dropped early, by a timeout or a `select!`, this scope takes
    /// over the children: they are aborted, and it waits until they have ended. That makes
    /// this scope fail in no way; what went wrong in them is in its
    /// [report](super::JoinReport::adopted).
    ///
    /// # Errors
    ///
    /// As for [`Scope::run`]; [`Reason::Cancelled`](super::Reason::Cancelled) without
    /// running the body, if this scope has ended.
    ///
    /// # Panics
    ///
    /// As for [`Scope::run`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Scope::run`]. Tested by `a_nested_scope`.
    #[track_caller]
    pub fn scope<T2, E2, F, Fut>(
        &self,
        name: impl Into<Name>,
        body: F,
    ) -> impl Future<Output = Result<T2, ScopeError<E2>>>
    where
        E2: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E2>) -> Fut,
        Fut: Future<Output = Result<T2, E2>>,
    {
        Scope::builder(name).parent(self).run(body)
    }
}

impl<E> Clone for Cx<E> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl<E> Debug for Cx<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("path", &self.path())
            .field("live", &self.live())
            .field("cause", &self.cause())
            .finish()
    }
}
