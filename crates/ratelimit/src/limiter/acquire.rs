//! Waiting for tokens.

use super::{Permit, RateLimiter, ticket::Ticket};
use crate::{
    AcquireError,
    clock::{Clock, TokioClock},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tidegate_core::inspect::Waiting;
use tokio::{
    task::coop::{Coop, cooperative},
    time::Instant,
};

pin_project! {
    /// The future of [`RateLimiter::acquire`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire<'a, C: Clock = TokioClock> {
        limiter: &'a RateLimiter<C>,
        cost: u64,
        #[pin]
        waiting: Waiting<Coop<Wait<'a, C>>>,
    }
}

impl<'a, C: Clock> Acquire<'a, C> {
    #[track_caller]
    pub(super) fn new(limiter: &'a RateLimiter<C>, cost: u64, bound: Bound) -> Self {
        // A task that is never made to wait is made to let others run, as by tokio's semaphore.
        let wait = cooperative(Wait { limiter, cost, bound, ticket: None });
        let waiting = limiter.shared.resource.waiting("tokens", wait);
        Self { limiter, cost, waiting }
    }
}

impl<'a, C: Clock> Future for Acquire<'a, C> {
    type Output = Result<Permit<'a, C>, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let taken_at = ready!(this.waiting.poll(cx))?;
        Poll::Ready(Ok(Permit::new(this.limiter, *this.cost, taken_at)))
    }
}

impl<C: Clock> fmt::Debug for Acquire<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// How long it may wait, from when it takes its place.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    None,
    Within(Duration),
    Until(Instant),
}

impl Bound {
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Within(timeout) => Some(timeout),
            Self::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
        }
    }
}

/// Takes its place when it is first polled.
struct Wait<'a, C: Clock> {
    limiter: &'a RateLimiter<C>,
    cost: u64,
    bound: Bound,
    ticket: Option<Ticket>,
}

impl<C: Clock> Future for Wait<'_, C> {
    /// When the tokens were taken.
    type Output = Result<u64, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { limiter, cost, bound, ticket } = self.get_mut();
        let shared = &limiter.shared;
        let ticket = if let Some(ticket) = ticket {
            ticket
        } else {
            let deadline = super::deadline(bound.left());
            ticket.insert(Ticket::take(shared, *cost, deadline, Some(cx.waker()))?)
        };
        Poll::Ready(ready!(ticket.poll(shared, cx)).map(|()| ticket.spend()))
    }
}

impl<C: Clock> Drop for Wait<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            ticket.cancel(&self.limiter.shared, self.cost);
        }
    }
}
