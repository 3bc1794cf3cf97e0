//! A call that was let pass, and whom to tell how it has ended.

use super::shared::{Pass, Shared};
use crate::{Verdict, clock::Clock, state::Recorded};
use std::{sync::Arc, thread};

/// A breaker, borrowed or shared.
pub(crate) trait Holds {
    type Clock: Clock;

    fn shared(&self) -> &Shared<Self::Clock>;
}

impl<C: Clock> Holds for &Shared<C> {
    type Clock = C;

    #[inline]
    fn shared(&self) -> &Shared<C> {
        self
    }
}

impl<C: Clock> Holds for Arc<Shared<C>> {
    type Clock = C;

    #[inline]
    fn shared(&self) -> &Shared<C> {
        self
    }
}

/// Dropped before it was said how it has ended, it was given up, or has failed by the panic that drops it.
pub(crate) struct Entry<H: Holds> {
    holder: H,
    pub(super) pass: Pass,
    is_open: bool,
    /// Taken by a destructor, while the thread was panicking already.
    was_panicking: bool,
}

impl<H: Holds> Entry<H> {
    #[inline]
    pub(super) fn new(holder: H, pass: Pass) -> Self {
        Self { holder, pass, is_open: true, was_panicking: thread::panicking() }
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared<H::Clock> {
        self.holder.shared()
    }

    #[inline]
    pub(super) fn finish(mut self, verdict: Verdict) -> Recorded {
        self.is_open = false;
        self.shared().finish(&self.pass, verdict)
    }

    /// The call has panicked, whatever this thread does now.
    #[cold]
    pub(super) fn panicked(mut self) {
        self.is_open = false;
        self.shared().panicked(&self.pass);
    }

    /// The call was given up, whatever this thread does now.
    #[cold]
    pub(super) fn cancel(mut self) {
        self.is_open = false;
        self.shared().cancelled(&self.pass);
    }

    /// There was no call.
    #[cold]
    pub(super) fn release(mut self) {
        self.is_open = false;
        self.shared().release(&self.pass);
    }

    /// Whether a result would still count.
    #[cfg(feature = "tower")]
    pub(super) fn is_current(&self) -> bool {
        self.shared().is_current(&self.pass)
    }

    /// The same for one that has waited: if so, its time and the lease of a probe begin now.
    #[cfg(feature = "tower")]
    pub(super) fn renew(&mut self) -> bool {
        let Self { holder, pass, .. } = self;
        holder.shared().renew(pass)
    }

    #[cold]
    #[inline(never)]
    fn drop_open(&self) {
        if thread::panicking() && !self.was_panicking {
            self.shared().panicked(&self.pass);
        } else {
            self.shared().cancelled(&self.pass);
        }
    }
}

impl<H: Holds> Drop for Entry<H> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            self.drop_open();
        }
    }
}
