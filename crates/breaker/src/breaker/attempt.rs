//! A guarded future: what becomes of it is said to the breaker.

use super::entry::{Entry, Holds};
use crate::{Classify, Verdict};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// A future, and the ticket of the call that it is.
    ///
    /// A panic of the future is one of the call; dropped by whatever panics elsewhere, it was given up.
    pub(crate) struct Attempt<H: Holds, F, K> {
        #[pin]
        future: F,
        guard: Guard<H>,
        classify: K,
    }
}

/// The ticket of a call that knows its own panics.
pub(crate) struct Guard<H: Holds> {
    /// Until it has ended.
    ticket: Option<Entry<H>>,
    /// Whether there is a call, or only a place for one.
    is_call: bool,
}

impl<H: Holds> Guard<H> {
    /// A call.
    pub(crate) fn new(ticket: Entry<H>) -> Self {
        Self { ticket: Some(ticket), is_call: true }
    }

    /// A place for one that may come.
    #[cfg(feature = "tower")]
    pub(crate) fn place(ticket: Entry<H>) -> Self {
        Self { ticket: Some(ticket), is_call: false }
    }

    /// Whether the place is still there.
    #[cfg(feature = "tower")]
    pub(crate) fn is_current(&self) -> bool {
        self.ticket.as_ref().is_some_and(Entry::is_current)
    }

    /// Here is the call, if its place is still there.
    #[cfg(feature = "tower")]
    pub(crate) fn begin(&mut self) -> bool {
        self.is_call = self.ticket.as_mut().is_some_and(Entry::renew);
        self.is_call
    }

    /// Runs a part of the call.
    pub(crate) fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let on_panic = OnPanic(self);
        let result = part();
        std::mem::forget(on_panic);
        result
    }

    /// Ends it.
    pub(crate) fn finish(&mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            ticket.finish(verdict);
        }
    }
}

impl<H: Holds> Drop for Guard<H> {
    fn drop(&mut self) {
        match self.ticket.take() {
            Some(ticket) if !self.is_call => ticket.release(),
            Some(ticket) => ticket.cancel(),
            None => {}
        }
    }
}

/// Dropped by a panic, and by nothing else.
struct OnPanic<'a, H: Holds>(&'a mut Guard<H>);

impl<H: Holds> Drop for OnPanic<'_, H> {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.ticket.take() {
            ticket.panicked();
        }
    }
}

impl<H: Holds, F, K> Attempt<H, F, K> {
    pub(crate) fn new(future: F, guard: Guard<H>, classify: K) -> Self {
        Self { future, guard, classify }
    }
}

impl<H: Holds, F: Future, K: Classify<F::Output>> Future for Attempt<H, F, K> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (classify, future) = (this.classify, this.future);
        let polled = this.guard.run(|| {
            let polled = future.poll(cx);
            polled.map(|result| {
                let verdict = classify.verdict(&result);
                (result, verdict)
            })
        });
        let (result, verdict) = ready!(polled);
        this.guard.finish(verdict);
        Poll::Ready(result)
    }
}
