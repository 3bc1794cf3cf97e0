//! A breaker, for who operates it.

use super::{shared::Shared, states::States};
use crate::{
    clock::{Clock, TokioClock},
    state::{Asked, Cause, State},
};
use std::{fmt, sync::Arc};

/// Says what a breaker is to do, and sees what it does: by [`Breaker::handle`](super::Breaker::handle).
///
/// What is said here holds until something else is, for all handles. Calls that run meanwhile go on; what they
/// come to counts for nothing.
pub struct Handle<C: Clock = TokioClock> {
    pub(super) shared: Arc<Shared<C>>,
}

impl<C: Clock> Handle<C> {
    /// Lets no call pass.
    pub fn force_open(&self) {
        self.told(Cause::ForceOpen);
    }

    /// Lets all calls pass, and only sums up what they come to.
    pub fn force_closed(&self) {
        self.told(Cause::ForceClosed);
    }

    /// Lets all calls pass, and says by [`Event::WouldOpen`](crate::Event::WouldOpen) when it would have opened.
    pub fn metrics_only(&self) {
        self.told(Cause::MetricsOnly);
    }

    /// Lets all calls pass, and counts nothing.
    pub fn disable(&self) {
        self.told(Cause::Disable);
    }

    /// Closes it, as if it were new: nothing is in the window, and the wait is the first one again.
    pub fn reset(&self) {
        self.told(Cause::Reset);
    }

    fn told(&self, cause: Cause) {
        self.shared.with(Asked::Told, |machine, now| ((), machine.told(now, cause)));
    }

    /// The state. An open breaker whose wait is over is open until somebody calls.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// The state, to wait for changes of it. States that follow each other at once may be seen as the last of
    /// them alone; an observer is told of each.
    #[must_use]
    pub fn subscribe(&self) -> States {
        States::new(self.shared.subscribe())
    }
}

impl<C: Clock> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: Clock> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, state) = (&self.shared.name, self.state());
        f.debug_struct("Handle").field("name", name).field("state", &state).finish()
    }
}
