//! Scopes in which so many children run at once.

use super::{
    Cx, Task,
    child::{Gate, Open},
    slots::{Closed, Slots, Ticket},
};
use crate::{
    CancelToken, Cause, Name, OnCancel,
    inspect::{Entered, Hold, Resource},
    sync::Arc,
};
use std::{
    fmt::{self, Debug, Display},
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The limit of a scope.
pub(super) struct Limit {
    slots: Arc<Slots>,
    /// As which a snapshot shows it, and finds who waits in a circle.
    resource: Resource,
    /// Sends away who waits when the scope is cancelled.
    _closing: OnCancel,
}

impl Limit {
    pub(super) fn new(
        slots: usize,
        name: &Name,
        at: &'static Location<'static>,
        token: &CancelToken,
    ) -> Self {
        let slots = Arc::new(Slots::new(slots));
        let (shown, closed) = (Arc::clone(&slots), Arc::clone(&slots));
        let details = move || {
            let (free, waiting) = shown.counts();
            vec![("free", free.to_string()), ("waiting", waiting.to_string())]
        };
        let resource = Resource::register("limit", name.clone(), at, Some(Box::new(details)));
        let closing = token.on_cancel(move |_| closed.close());
        Self { slots, resource, _closing: closing }
    }

    fn slot(&self, state: State, at: &'static Location<'static>) -> Slot {
        Slot { slots: Arc::clone(&self.slots), resource: self.resource.clone(), state, at }
    }

    /// A slot, or a place in the row of those who wait for one.
    pub(super) fn queue(&self, at: &'static Location<'static>) -> Slot {
        let state = match self.slots.queue() {
            None => State::Given,
            Some(ticket) => State::Waiting(ticket, None),
        };
        self.slot(state, at)
    }

    fn try_take(&self, at: &'static Location<'static>) -> Option<Slot> {
        self.slots.try_take().then(|| self.slot(State::Given, at))
    }
}

/// The slot of a child, or its place in the row; given back when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    resource: Resource,
    state: State,
    /// Where the child was spawned.
    at: &'static Location<'static>,
}

enum State {
    Waiting(Ticket, Option<Entered>),
    /// Not by the child that it is for, as far as it is known.
    Given,
    Held {
        _hold: Hold,
    },
    None,
}

impl Slot {
    /// Ready when there is a slot; the calling work waits for it, and holds it from then on.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        if let State::Waiting(ticket, entered) = &mut self.state {
            let Poll::Ready(given) = self.slots.poll(*ticket, cx) else {
                let enter = || Entered::new("a slot of its scope", self.at, self.resource.target());
                entered.get_or_insert_with(enter);
                return Poll::Pending;
            };
            self.state = if given.is_ok() { State::Given } else { State::None };
            given?;
        }
        Poll::Ready(Ok(()))
    }

    fn give_back(&mut self) {
        match std::mem::replace(&mut self.state, State::None) {
            State::Waiting(ticket, _entered) => self.slots.leave(ticket),
            State::Given | State::Held { .. } => self.slots.give_back(),
            State::None => {}
        }
    }
}

impl Gate for Slot {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        ready!(self.poll(cx))?;
        if matches!(self.state, State::Given) {
            self.state = State::Held { _hold: self.resource.hold() };
        }
        Poll::Ready(Ok(()))
    }

    fn leave(&mut self) {
        self.give_back();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A child that was not spawned, with its future, which did not run.
#[non_exhaustive]
pub enum TrySpawnError<F> {
    /// All slots of the scope are taken.
    Full(F),
    /// The scope has ended, is being aborted, or was cancelled before there was a slot.
    Closed(F, Cause),
}

impl<F> TrySpawnError<F> {
    /// The future.
    #[must_use]
    pub fn into_future(self) -> F {
        match self {
            Self::Full(future) | Self::Closed(future, _) => future,
        }
    }
}

impl<F> Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Closed(_, cause) => f.debug_tuple("Closed").field(cause).finish_non_exhaustive(),
        }
    }
}

impl<F> Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("not spawned: all slots of the scope are taken"),
            Self::Closed(_, cause) => write!(f, "not spawned: {cause}"),
        }
    }
}

impl<F> std::error::Error for TrySpawnError<F> {}

/// Waits for a slot, and spawns a child then; made by [`Cx::spawn_in_turn`].
#[must_use = "the child is spawned when this is awaited"]
pub struct SpawnInTurn<E, F> {
    cx: Cx<E>,
    name: Name,
    at: &'static Location<'static>,
    future: Option<F>,
    slot: Option<Slot>,
}

/// Nothing in it is pinned: the future does not run before it is spawned.
impl<E, F> Unpin for SpawnInTurn<E, F> {}

impl<T, E, F> Future for SpawnInTurn<E, F>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    type Output = Result<Task<T, E>, TrySpawnError<F>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { cx: scope, name, at, future, slot } = self.get_mut();
        // The place in the row is taken by the first poll: what is never polled must not hold
        // up the others.
        if slot.is_none() {
            *slot = scope.limit().map(|limit| limit.queue(at));
        }
        let given = slot.as_mut().map_or(Poll::Ready(Ok(())), |slot| slot.poll(cx));
        let given = ready!(given);
        let future = future.take().expect("it was ready before");
        Poll::Ready(match (given, slot.take()) {
            (Err(Closed), _) => Err(TrySpawnError::Closed(future, scope.refuse(name, at))),
            (Ok(()), slot) => scope.spawn_if_open(name.clone(), at, future, slot),
        })
    }
}

impl<E, F> Debug for SpawnInTurn<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnInTurn").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<E: Display + Debug + Send + Sync + 'static> Cx<E> {
    /// Starts a child if the scope has a free slot and is open; else gives the future back.
    /// A scope without a [limit](super::Scope::limit) has slots for all. Go's `TryGo`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, Scope, TrySpawnError};
    ///
    /// let server = Scope::builder("server").limit(1).run(async |cx: Cx<Infallible>| {
    ///     let first = cx.try_spawn("request", async { Ok(1) }).unwrap();
    ///     let second = cx.try_spawn("request", async { Ok(2) });
    ///     assert!(matches!(second, Err(TrySpawnError::Full(_))), "answer 503, for instance");
    ///     assert_eq!(first.await.unwrap(), 1);
    ///     assert!(cx.try_spawn("request", async { Ok(3) }).is_ok());
    ///     Ok(())
    /// });
    /// server.await.unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`], with the future, which did not run.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn try_spawn<T, F>(
        &self,
        name: impl Into<Name>,
        future: F,
    ) -> Result<Task<T, E>, TrySpawnError<F>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let at = Location::caller();
        let slot = match self.limit() {
            None => None,
            Some(limit) => match limit.try_take(at) {
                None => return Err(TrySpawnError::Full(future)),
                slot => slot,
            },
        };
        self.spawn_if_open(name.into(), at, future, slot)
    }

    /// Waits until the scope has a free slot, then starts a child: for loops that shall not run
    /// ahead of their children. Those who wait have their turn in the order in which they began
    /// to. Go's `errgroup.Group.Go`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, Scope};
    ///
    /// let import = Scope::builder("import").limit(8).run(async |cx: Cx<Infallible>| {
    ///     for row in 0..1000 {
    ///         let spawned = cx.spawn_in_turn("row", async move { Ok(row) }).await;
    ///         assert!(spawned.is_ok(), "the scope is open");
    ///     }
    ///     Ok(())
    /// });
    /// import.await.unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySpawnError::Closed`] with the future, if the scope is cancelled while this waits,
    /// or has ended, or is being aborted.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, and if it is polled again after it was ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the child's future, which did not run, and gives up the turn. Once polled
    /// it has a turn: one that is kept without being polled on keeps a slot from others. Tested by
    /// `spawning_in_turn`.
    #[track_caller]
    pub fn spawn_in_turn<T, F>(&self, name: impl Into<Name>, future: F) -> SpawnInTurn<E, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (name, at) = (name.into(), Location::caller());
        SpawnInTurn { cx: self.clone(), name, at, future: Some(future), slot: None }
    }

    fn spawn_if_open<T, F>(
        &self,
        name: Name,
        at: &'static Location<'static>,
        future: F,
        slot: Option<Slot>,
    ) -> Result<Task<T, E>, TrySpawnError<F>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let spawned = match slot {
            None => self.spawn_gated(name, at, future, Open),
            Some(slot) => self.spawn_gated(name, at, future, slot),
        };
        spawned.map_err(|(future, cause)| TrySpawnError::Closed(future, cause))
    }
}
