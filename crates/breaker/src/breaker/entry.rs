//! A call that was let pass, and whom to tell how it has ended.

use super::{Breaker, pass::Pass, shared::Shared};
use crate::{Verdict, clock::Clock, state::Recorded};
use std::{mem, ops::Deref, sync::Arc};

/// A breaker, or a reference to one: what a [`Ticket`](super::Ticket) has of it. There are no others.
pub trait Holder: Sealed {}

impl<H: Sealed> Holder for H {}

/// Not to be implemented elsewhere.
pub trait Sealed {
    type Clock: Clock;
    /// What is kept of it.
    type Shared: Deref<Target = Shared<Self::Clock>>;
}

impl<C: Clock> Sealed for Breaker<C> {
    type Clock = C;
    type Shared = Arc<Shared<C>>;
}

impl<'a, C: Clock> Sealed for &'a Breaker<C> {
    type Clock = C;
    type Shared = &'a Shared<C>;
}

/// Dropped before it was said how it has ended, it was given up, whatever the thread does that drops it.
pub(crate) struct Entry<H: Holder> {
    shared: H::Shared,
    pass: Pass,
    /// When the call has begun, if calls are timed.
    entered: u64,
    is_open: bool,
}

impl<H: Holder> Entry<H> {
    #[inline]
    pub(crate) fn new(shared: H::Shared, (pass, entered): (Pass, u64)) -> Self {
        Self { shared, pass, entered, is_open: true }
    }

    pub(super) fn shared(&self) -> &Shared<H::Clock> {
        &self.shared
    }

    pub(super) fn pass(&self) -> Pass {
        self.pass
    }

    /// Whether it was not said yet how it has ended.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Runs a part of the call: if that panics, the call has.
    #[inline]
    pub(crate) fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let on_panic = OnPanic(self);
        let result = part();
        mem::forget(on_panic);
        result
    }

    /// Says how it has ended.
    #[inline]
    pub(crate) fn finish(&mut self, verdict: Verdict) -> Recorded {
        self.is_open = false;
        self.shared.finish(self.pass, self.entered, verdict)
    }

    /// It has ended by a panic.
    #[inline]
    pub(super) fn panicked(&mut self) {
        if mem::replace(&mut self.is_open, false) {
            self.shared.panicked(self.pass, self.entered);
        }
    }

    /// It has not ended: it was no call yet.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn into_pass(mut self) -> Pass {
        self.is_open = false;
        self.pass
    }
}

impl<H: Holder> Drop for Entry<H> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            self.shared.cancelled(self.pass);
        }
    }
}

/// Dropped by a panic, and by nothing else.
struct OnPanic<'a, H: Holder>(&'a mut Entry<H>);

impl<H: Holder> Drop for OnPanic<'_, H> {
    fn drop(&mut self) {
        self.0.panicked();
    }
}
