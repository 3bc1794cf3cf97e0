//! Which breaker a request meets.

use crate::{
    Breaker, KeyedBreaker, Open,
    breaker::{Pass, Waiter},
    clock::{Clock, TokioClock},
};
use std::{fmt, mem, task::Waker};

/// All requests meet one breaker. A place is taken in `poll_ready`.
pub struct Single<C: Clock = TokioClock> {
    pub(crate) breaker: Breaker<C>,
    pub(crate) held: Held,
    waiter: Waiter,
}

/// What `poll_ready` has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    Nothing,
    /// There is a place for the next call.
    Place(Pass),
    /// The next call is turned away; the inner service was not asked whether it is ready.
    Refused(Open),
}

impl<C: Clock> Single<C> {
    pub(super) fn new(breaker: Breaker<C>) -> Self {
        Self { breaker, held: Held::Nothing, waiter: None }
    }

    /// Takes out the place for the next call. If there is none, that is held.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Option<Pass> {
        let shared = self.breaker.shared();
        if let Held::Place(pass) = mem::replace(&mut self.held, Held::Nothing) {
            if shared.is_current(pass) {
                return Some(pass);
            }
            // The old place is given back before another one is asked for.
            shared.release(pass);
        }
        let reserved = shared.reserve();
        reserved.map_err(|open| self.held = Held::Refused(open)).ok()
    }

    /// Has it woken if its place may be gone, and says whether it is there still.
    #[cold]
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        let shared = self.breaker.shared();
        shared.waiters().add(&mut self.waiter, waker);
        matches!(self.held, Held::Place(pass) if shared.is_current(pass))
    }

    /// Waits no more.
    #[inline]
    pub(crate) fn stop_waiting(&mut self) {
        if self.waiter.is_some() {
            self.breaker.shared().waiters().remove(&mut self.waiter);
        }
    }
}

/// A place that was taken for the next call is given back.
impl<C: Clock> Drop for Single<C> {
    fn drop(&mut self) {
        self.stop_waiting();
        if let Held::Place(pass) = self.held {
            self.breaker.shared().release(pass);
        }
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
        let Self { breaker, held, .. } = self;
        let has_place = matches!(held, Held::Place(_));
        let mut text = f.debug_struct("Single");
        text.field("breaker", breaker).field("has_place", &has_place).finish_non_exhaustive()
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
