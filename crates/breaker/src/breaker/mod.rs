//! The breaker: one handle for all who share it.

mod attempt;
mod builder;
mod call;
mod entry;
mod event;
mod fleet;
mod handle;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
mod pass;
mod shared;
mod states;
mod stats;
mod ticket;
#[cfg(any(feature = "tower", all(test, tidegate_loom)))]
mod waiters;

#[cfg(feature = "tower")]
pub(crate) use self::{attempt::Attempt, entry::Entry, pass::Pass, waiters::Waiter};
pub use self::{
    builder::BreakerBuilder, call::Call, entry::Holder, event::Event, handle::Handle,
    states::States, stats::Stats, ticket::Ticket,
};
pub(crate) use self::{event::Observer, shared::Shared};

use crate::{
    ByResult, Classify,
    clock::{Clock, TokioClock},
    state::State,
};
use std::{fmt, future::Future, sync::Arc};
use tidegate_core::Name;

/// Lets calls pass while they succeed, and none while they fail.
///
/// Clones share one breaker. See the [crate](crate) for what it does when.
pub struct Breaker<C: Clock = TokioClock> {
    shared: Arc<Shared<C>>,
}

impl Breaker {
    /// A breaker on tokio's clock, to be built, with the name that [inspection](tidegate_core::inspect) and
    /// events know it by.
    pub fn builder(name: impl Into<Name>) -> BreakerBuilder {
        BreakerBuilder::new(name.into())
    }
}

impl<C: Clock> Breaker<C> {
    /// Calls `future` if the breaker lets it pass, and tells it how that has ended: `Err` is a failure, and so
    /// is a panic. It asks when it is polled first.
    ///
    /// # Errors
    ///
    /// If the breaker is open, or what the call fails with.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the call was given up: this counts neither way, and a probe gives its place back. `future` is
    /// dropped as well. Tested by `a_call_gives_its_place_back_at_every_await`.
    pub fn call<F, T, E>(&self, future: F) -> Call<'_, C, F>
    where
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.shared, future, ByResult)
    }

    /// The same with a say in what its result says about the callee.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call). Tested by `a_call_gives_its_place_back_at_every_await`.
    pub fn call_with<F, T, E, K>(&self, future: F, classify: K) -> Call<'_, C, F, K>
    where
        F: Future<Output = Result<T, E>>,
        K: Classify<Result<T, E>>,
    {
        Call::new(&self.shared, future, classify)
    }

    pub(crate) fn of(shared: Arc<Shared<C>>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<C>> {
        &self.shared
    }

    /// Says what the breaker is to do, and sees what it does.
    #[must_use]
    pub fn handle(&self) -> Handle<C> {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// The state. An open breaker whose wait is over is open until somebody calls.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// How it stands, and what has become of its calls.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// The clock it goes by.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.shared.clock
    }
}

impl<C: Clock> Clone for Breaker<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: Clock> fmt::Debug for Breaker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, state) = (self.name(), self.state());
        f.debug_struct("Breaker").field("name", name).field("state", &state).finish_non_exhaustive()
    }
}
