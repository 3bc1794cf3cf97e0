//! A guarded future: what becomes of it is said to the breaker.

use super::ticket::Ticket;
use crate::{Classify, Verdict, clock::Clock};
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
    pub(crate) struct Attempt<'a, C: Clock, F, K> {
        #[pin]
        future: F,
        guard: Guard<'a, C>,
        classify: K,
    }
}

/// The ticket of a call that knows its own panics.
pub(crate) struct Guard<'a, C: Clock> {
    /// Until it has ended.
    ticket: Option<Ticket<'a, C>>,
    /// Whether there is a call, or only a place for one.
    is_call: bool,
}

impl<'a, C: Clock> Guard<'a, C> {
    /// A call.
    pub(crate) fn new(ticket: Ticket<'a, C>) -> Self {
        Self { ticket: Some(ticket), is_call: true }
    }

    /// A place for one that may come.
    #[cfg(feature = "tower")]
    pub(crate) fn place(ticket: Ticket<'a, C>) -> Self {
        Self { ticket: Some(ticket), is_call: false }
    }

    /// Whether the place is still there.
    #[cfg(feature = "tower")]
    pub(crate) fn is_current(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_current)
    }

    /// Here is the call, if its place is still there.
    #[cfg(feature = "tower")]
    pub(crate) fn begin(&mut self) -> bool {
        self.is_call = self.ticket.as_mut().is_some_and(Ticket::renew);
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

impl<C: Clock> Drop for Guard<'_, C> {
    fn drop(&mut self) {
        match self.ticket.take() {
            Some(ticket) if !self.is_call => ticket.release(),
            Some(ticket) => ticket.cancel(),
            None => {}
        }
    }
}

/// Dropped by a panic, and by nothing else.
struct OnPanic<'g, 'a, C: Clock>(&'g mut Guard<'a, C>);

impl<C: Clock> Drop for OnPanic<'_, '_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.ticket.take() {
            ticket.panicked();
        }
    }
}

impl<'a, C: Clock, F, K> Attempt<'a, C, F, K> {
    pub(crate) fn new(future: F, guard: Guard<'a, C>, classify: K) -> Self {
        Self { future, guard, classify }
    }
}

impl<C: Clock, F: Future, K: Classify<F::Output>> Future for Attempt<'_, C, F, K> {
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
