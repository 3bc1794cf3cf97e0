//! What whoever calls holds while it does.

use super::{
    Breaker,
    entry::{Entry, Holder},
};
use crate::{Open, Verdict, clock::Clock, state::Recorded};
use std::{fmt, sync::Arc, thread};

/// A call that was let pass: say how it has ended.
///
/// Dropped without that, it was given up: this counts neither way, and a probe gives its place back. Dropped by
/// a panic of its thread it has failed. It cannot know whose panic it is: where a ticket may be dropped
/// by the panic of something else, as in a task that holds many, use [`Breaker::call`], which knows.
///
/// The result counts only if the breaker has not changed its state since: see [`Recorded::Stale`].
///
/// A `Ticket<&Breaker>` borrows its breaker, and a `Ticket<Breaker>` shares it.
#[must_use = "dropped at once, the call was given up"]
pub struct Ticket<B: Holder> {
    entry: Entry<B>,
    /// Taken by a destructor, while the thread was panicking already.
    was_panicking: bool,
}

impl<B: Holder> Ticket<B> {
    #[inline]
    fn new(entry: Entry<B>) -> Self {
        Self { entry, was_panicking: thread::panicking() }
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
        self.entry.finish(verdict)
    }

    /// Whether it is to find out if the breaker can close.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.entry.pass().is_probe()
    }

    /// In which generation it was let pass: each change of state begins a new one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.entry.pass().admission().generation()
    }
}

impl<B: Holder> Drop for Ticket<B> {
    #[inline]
    fn drop(&mut self) {
        if self.entry.is_open() && thread::panicking() && !self.was_panicking {
            self.entry.panicked();
        }
    }
}

impl<B: Holder> fmt::Debug for Ticket<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("breaker", &self.entry.shared().name)
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
    pub fn try_enter(&self) -> Result<Ticket<&Self>, Open> {
        self.shared.enter().map(|call| Ticket::new(Entry::new(&*self.shared, call)))
    }

    /// The same with a ticket that can outlive this handle.
    ///
    /// # Errors
    ///
    /// As [`try_enter`](Self::try_enter).
    #[inline]
    pub fn try_enter_owned(&self) -> Result<Ticket<Self>, Open> {
        self.shared.enter().map(|call| Ticket::new(Entry::new(Arc::clone(&self.shared), call)))
    }
}
