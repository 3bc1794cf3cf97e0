//! What whoever calls holds while it does.

use super::{
    Breaker,
    entry::{Entry, Holds},
    shared::Shared,
};
use crate::{
    Open, Verdict,
    clock::{Clock, TokioClock},
    state::Recorded,
};
use std::{fmt, sync::Arc};

/// A call that was let pass: say how it has ended.
///
/// Dropped without that, it was given up: this counts neither way, and a probe gives its place back. Dropped by
/// a panic of its thread it has failed. It cannot know whose panic it is: where a ticket may be dropped
/// by the panic of something else, as in a task that holds many, use [`Breaker::call`], which knows.
///
/// The result counts only if the breaker has not changed its state since: see [`Recorded::Stale`].
#[must_use = "dropped at once, the call was given up"]
pub struct Ticket<'a, C: Clock = TokioClock>(Entry<&'a Shared<C>>);

/// A [`Ticket`] that can outlive the handle of the breaker.
#[must_use = "dropped at once, the call was given up"]
pub struct OwnedTicket<C: Clock = TokioClock>(Entry<Arc<Shared<C>>>);

#[expect(clippy::must_use_candidate, reason = "who has called need not know what it was good for")]
impl<C: Clock> Ticket<'_, C> {
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
    pub fn finish(self, verdict: Verdict) -> Recorded {
        self.0.finish(verdict)
    }

    /// Whether it is to find out if the breaker can close.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.0.pass.is_probe()
    }

    /// The generation of the breaker that it belongs to, which each change of state begins anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.pass.admission().generation()
    }
}

#[expect(clippy::must_use_candidate, reason = "who has called need not know what it was good for")]
impl<C: Clock> OwnedTicket<C> {
    /// As [`Ticket::success`].
    #[inline]
    pub fn success(self) -> Recorded {
        self.finish(Verdict::Success)
    }

    /// As [`Ticket::failure`].
    #[inline]
    pub fn failure(self) -> Recorded {
        self.finish(Verdict::Failure)
    }

    /// As [`Ticket::ignore`].
    #[inline]
    pub fn ignore(self) -> Recorded {
        self.finish(Verdict::Ignore)
    }

    /// As [`Ticket::finish`].
    #[inline]
    pub fn finish(self, verdict: Verdict) -> Recorded {
        self.0.finish(verdict)
    }

    /// As [`Ticket::is_probe`].
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.0.pass.is_probe()
    }

    /// As [`Ticket::generation`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.pass.admission().generation()
    }
}

impl<C: Clock> fmt::Debug for Ticket<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.0, "Ticket", f)
    }
}

impl<C: Clock> fmt::Debug for OwnedTicket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.0, "OwnedTicket", f)
    }
}

fn debug<H: Holds>(entry: &Entry<H>, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("breaker", &entry.shared().name)
        .field("generation", &entry.pass.admission().generation())
        .field("is_probe", &entry.pass.is_probe())
        .finish_non_exhaustive()
}

impl<C: Clock> Breaker<C> {
    /// Lets a call pass: end the ticket when the call has ended. Closed, this is a look at one word.
    ///
    /// # Errors
    ///
    /// If it is open, or half-open with as many probes as may be: when to try again.
    #[inline]
    pub fn try_enter(&self) -> Result<Ticket<'_, C>, Open> {
        let shared = &*self.shared;
        shared.enter().map(|pass| Ticket(Entry::new(shared, pass)))
    }

    /// The same with a ticket that can outlive this handle.
    ///
    /// # Errors
    ///
    /// As [`try_enter`](Self::try_enter).
    #[inline]
    pub fn try_enter_owned(&self) -> Result<OwnedTicket<C>, Open> {
        self.shared.enter().map(|pass| OwnedTicket(Entry::new(Arc::clone(&self.shared), pass)))
    }
}
