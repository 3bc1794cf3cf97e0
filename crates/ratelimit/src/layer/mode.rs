//! What happens to who comes too early.

use crate::{
    Denied, Reserve,
    admit::{NoKey, One, Reserved},
};
use std::{
    fmt,
    mem::replace,
    task::{Context, Poll, ready},
    time::Duration,
};

/// It does not pass.
#[derive(Clone, Copy)]
pub struct Reject<L, K = NoKey, C = One> {
    pub(crate) limiter: L,
    pub(crate) key: K,
    pub(crate) cost: C,
}

/// It waits in its call.
#[derive(Clone, Copy)]
pub struct Wait<L, K = NoKey, C = One> {
    pub(crate) limiter: L,
    pub(crate) key: K,
    pub(crate) cost: C,
    pub(crate) within: Option<Duration>,
}

/// It waits until the service is ready, which takes a token.
///
/// | held | `poll_ready` | `call` | dropped |
/// |---|---|---|---|
/// | nothing | joins the line, or is denied | panics | |
/// | a place | waits, or is denied | panics | leaves the line |
/// | a token | is ready | spends it | gives it back |
/// | a denial | is ready | asks once more, or fails | |
///
/// A call that asks once more and would have to wait fails with the denial that it has: its delay is counted from
/// when `poll_ready` was denied.
///
/// An error of `poll_ready` would be the last word of a service, after which it is to be discarded, as
/// tower's `Buffer` does: so a denial is left to the call.
pub struct Readiness<L: Reserve> {
    limiter: L,
    held: Held<L::Reserved>,
}

enum Held<R> {
    Nothing,
    /// A place in the line, or a token.
    Place(R),
    Denied(Denied),
}

impl<L: Reserve> Readiness<L> {
    pub(super) fn new(limiter: L) -> Self {
        Self { limiter, held: Held::Nothing }
    }

    /// Ready once a call may ask for its token.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Held::Nothing = self.held {
            self.held = self.limiter.reserve(1).map_or_else(Held::Denied, Held::Place);
        }
        if let Held::Place(place) = &mut self.held {
            if let Err(denied) = ready!(place.poll_ready(cx)) {
                self.held = Held::Denied(denied);
            }
        }
        Poll::Ready(())
    }

    /// Gives up what it has.
    pub(crate) fn let_go(&mut self) {
        self.held = Held::Nothing;
    }

    /// Spends the token for a call.
    ///
    /// # Panics
    ///
    /// If it was not ready.
    pub(crate) fn take(&mut self) -> Result<(), Denied> {
        let token = match replace(&mut self.held, Held::Nothing) {
            Held::Nothing => None,
            Held::Place(place) => if_ready(place),
            // It may be long ago, and there may be a token now.
            Held::Denied(denied) => Some(if_ready(self.limiter.reserve(1)?).ok_or(denied)?),
        };
        let token =
            token.expect("a call without a `poll_ready` that was ready, which takes the token");
        token.spend();
        Ok(())
    }
}

/// Otherwise it gives up its place.
fn if_ready<R: Reserved>(mut token: R) -> Option<R> {
    token.is_ready().then_some(token)
}

/// What a service holds is its own: a clone begins without it.
impl<L: Reserve + Clone> Clone for Readiness<L> {
    fn clone(&self) -> Self {
        Self::new(self.limiter.clone())
    }
}

impl<L: fmt::Debug, K, C> fmt::Debug for Reject<L, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reject").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl<L: fmt::Debug, K, C> fmt::Debug for Wait<L, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limiter, within, .. } = self;
        f.debug_struct("Wait")
            .field("limiter", limiter)
            .field("within", within)
            .finish_non_exhaustive()
    }
}

impl<L: Reserve + fmt::Debug> fmt::Debug for Readiness<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("limiter", &self.limiter)
            .field("has_place", &matches!(self.held, Held::Place(_)))
            .finish()
    }
}
