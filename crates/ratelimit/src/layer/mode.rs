//! What happens to who comes too early.

use crate::{
    Reserve,
    admit::{NoKey, One},
};
use std::{fmt, time::Duration};

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
/// | `held` | `poll_ready` | `call` | dropped |
/// |---|---|---|---|
/// | none | joins the line | panics | |
/// | waits | waits | panics | leaves the line |
/// | there | is ready | spends it | gives it back |
pub struct Readiness<L: Reserve> {
    pub(crate) limiter: L,
    pub(crate) held: Option<L::Reserved>,
}

impl<L: Reserve> Readiness<L> {
    pub(super) fn new(limiter: L) -> Self {
        Self { limiter, held: None }
    }
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
            .field("has_place", &self.held.is_some())
            .finish()
    }
}
