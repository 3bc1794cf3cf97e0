//! Which breaker a request meets.

use crate::{
    Breaker, KeyedBreaker, Open,
    breaker::{Guard, Shared},
    clock::{Clock, TokioClock},
};
use std::{fmt, sync::Arc};

/// All requests meet one breaker. A place is taken in `poll_ready`.
pub struct Single<C: Clock = TokioClock> {
    pub(crate) breaker: Breaker<C>,
    pub(crate) held: Held<C>,
}

/// What `poll_ready` has come to.
pub(crate) enum Held<C: Clock> {
    Nothing,
    /// There is a place for the next call.
    Place(Guard<Arc<Shared<C>>>),
    /// The next call is turned away; the inner service was not asked whether it is ready.
    Refused(Open),
}

impl<C: Clock> Single<C> {
    pub(super) fn new(breaker: Breaker<C>) -> Self {
        Self { breaker, held: Held::Nothing }
    }

    /// Sees to it that there is a place, or that it is known that there is none: then it is false.
    pub(crate) fn reserve(&mut self) -> bool {
        if !matches!(&self.held, Held::Place(guard) if guard.is_current()) {
            // The old place is given back before another one is asked for.
            self.held = Held::Nothing;
            self.held = match self.breaker.reserve() {
                Ok(guard) => Held::Place(guard),
                Err(open) => Held::Refused(open),
            };
        }
        matches!(self.held, Held::Place(_))
    }
}

/// A clone has no place of its own.
impl<C: Clock> Clone for Single<C> {
    fn clone(&self) -> Self {
        Self::new(self.breaker.clone())
    }
}

impl<C: Clock> fmt::Debug for Single<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { breaker, held } = self;
        let has_place = matches!(held, Held::Place(_));
        f.debug_struct("Single").field("breaker", breaker).field("has_place", &has_place).finish()
    }
}

/// Each request meets the breaker of its key.
pub struct ByKey<K, F, C: Clock = TokioClock> {
    pub(crate) breakers: KeyedBreaker<K, C>,
    pub(crate) key: F,
}

impl<K, F: Clone, C: Clock> Clone for ByKey<K, F, C> {
    fn clone(&self) -> Self {
        Self { breakers: self.breakers.clone(), key: self.key.clone() }
    }
}

impl<K, F, C: Clock> fmt::Debug for ByKey<K, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("breakers", &self.breakers).finish_non_exhaustive()
    }
}
