//! A call that was let pass and has not ended.

use super::{
    Breaker,
    shared::{Pass, Shared},
};
use crate::{
    Open, Verdict,
    clock::{Clock, TokioClock},
    state::Recorded,
};
use std::{fmt, mem, ops::Deref, sync::Arc, thread};

/// A call that was let pass: say how it has ended.
///
/// Dropped without that, it was given up: this counts neither way, and a probe gives its place back. Dropped by
/// a panic of its thread it has failed. It cannot know whose panic it is: where a ticket may be dropped
/// by the panic of something else, as in a task that holds many, use [`Breaker::call`], which knows.
///
/// The result counts only if the breaker has not changed its state since: see [`Recorded::Stale`].
#[must_use = "dropped at once, the call was given up"]
pub struct Ticket<'a, C: Clock = TokioClock> {
    shared: Holder<'a, C>,
    pass: Pass,
    is_open: bool,
    /// Taken by a destructor, while the thread was panicking already.
    was_panicking: bool,
}

enum Holder<'a, C: Clock> {
    Borrowed(&'a Shared<C>),
    Owned(Arc<Shared<C>>),
}

impl<C: Clock> Deref for Holder<'_, C> {
    type Target = Shared<C>;

    #[inline]
    fn deref(&self) -> &Shared<C> {
        match self {
            Self::Borrowed(shared) => shared,
            Self::Owned(shared) => shared,
        }
    }
}

#[expect(
    clippy::must_use_candidate,
    reason = "a call that is over need not know what it was good for"
)]
impl<'a, C: Clock> Ticket<'a, C> {
    #[inline]
    pub(crate) fn borrowed(shared: &'a Shared<C>, pass: Pass) -> Self {
        Self::new(Holder::Borrowed(shared), pass)
    }

    #[inline]
    pub(crate) fn owned(shared: Arc<Shared<C>>, pass: Pass) -> Self {
        Self::new(Holder::Owned(shared), pass)
    }

    #[inline]
    fn new(shared: Holder<'a, C>, pass: Pass) -> Self {
        Self { shared, pass, is_open: true, was_panicking: thread::panicking() }
    }

    /// The callee is well.
    #[inline]
    pub fn success(self) -> Recorded {
        self.finish(Verdict::Success)
    }

    /// The callee is failing.
    #[inline]
    pub fn failure(self) -> Recorded {
        self.finish(Verdict::Failure)
    }

    /// It counts neither way. A probe gives its place back.
    #[inline]
    pub fn ignore(self) -> Recorded {
        self.finish(Verdict::Ignore)
    }

    /// The one of these that the verdict names.
    #[inline]
    pub fn finish(mut self, verdict: Verdict) -> Recorded {
        self.is_open = false;
        self.shared.finish(&self.pass, verdict)
    }

    /// The call has panicked, whatever this thread does now.
    #[cold]
    pub(crate) fn panicked(mut self) {
        self.is_open = false;
        self.shared.panicked(&self.pass);
    }

    /// The call was given up, whatever this thread does now.
    pub(crate) fn cancel(mut self) {
        self.is_open = false;
        self.shared.cancelled(&self.pass);
    }

    /// Whether a result would still count.
    #[cfg(feature = "tower")]
    pub(super) fn is_current(&self) -> bool {
        self.shared.is_current(&self.pass)
    }

    /// The same for one that has waited: if so, its time and the lease of a probe begin now.
    #[cfg(feature = "tower")]
    pub(super) fn renew(&mut self) -> bool {
        self.shared.renew(&mut self.pass)
    }

    /// There was no call.
    pub(super) fn release(mut self) {
        self.is_open = false;
        self.shared.release(&self.pass);
    }

    /// Whether it is to find out if the breaker can close.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.pass.admission.is_probe()
    }

    /// The generation of the breaker that it belongs to, which each change of state begins anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.pass.admission.generation()
    }
}

impl<C: Clock> Drop for Ticket<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if mem::take(&mut self.is_open) {
            if thread::panicking() && !self.was_panicking {
                self.shared.panicked(&self.pass);
            } else {
                self.shared.cancelled(&self.pass);
            }
        }
    }
}

impl<C: Clock> fmt::Debug for Ticket<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("breaker", &self.shared.name)
            .field("generation", &self.generation())
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}

impl<C: Clock> Breaker<C> {
    /// Lets a call pass: end the ticket when the call has ended. Closed, this is a look at one word.
    ///
    /// # Errors
    ///
    /// If it is open, or half-open with as many probes as may be: when to try again.
    #[inline]
    pub fn try_enter(&self) -> Result<Ticket<'_, C>, Open> {
        self.shared.enter().map(|pass| Ticket::borrowed(&self.shared, pass))
    }

    /// The same with a ticket that can outlive this handle.
    ///
    /// # Errors
    ///
    /// As [`try_enter`](Self::try_enter).
    #[inline]
    pub fn try_enter_owned(&self) -> Result<Ticket<'static, C>, Open> {
        self.shared.enter().map(|pass| Ticket::owned(Arc::clone(&self.shared), pass))
    }
}
