//! A sink that is sent to no more often than a limiter allows.

use crate::{
    Reserve,
    admit::{By, Extract, One},
    stream::{DeniedItem, poll},
};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use thiserror::Error;

/// Why a [`RateLimitedSink`] has failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RateLimitedSinkError<T, E> {
    /// An item does not pass, and is handed back. The sink goes on with the next.
    #[error(transparent)]
    Denied(DeniedItem<T>),
    /// The inner sink has failed.
    #[error(transparent)]
    Inner(E),
}

impl<T, E> RateLimitedSinkError<T, E> {
    /// After which time it is worth trying again, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(denied) => denied.retry_after(),
            Self::Inner(_) => None,
        }
    }
}

/// Limits how often any sink is sent to.
pub trait RateLimitSinkExt<T>: Sink<T> {
    /// Sends items as the limiter allows, each for one token, or for what it
    /// [costs](RateLimitedSink::cost). See [`RateLimitedSink`].
    ///
    /// ```
    /// use futures::SinkExt;
    /// use tidegate_ratelimit::{Rate, RateLimitSinkExt, RateLimiter};
    /// # use std::time::Duration;
    /// # use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # let start = Instant::now();
    /// let limiter = RateLimiter::builder(Rate::per_second(10)).burst(4).build().unwrap();
    /// let mut lines = Vec::new().rate_limited(limiter).cost(|line: &&str| line.len() as u64);
    /// lines.send("tide").await.unwrap();
    /// lines.send("gate").await.unwrap(); // 400 ms later.
    /// assert_eq!(lines.get_ref(), &["tide", "gate"]);
    /// # assert_eq!(start.elapsed(), Duration::from_millis(400));
    /// # }
    /// ```
    fn rate_limited<L: Reserve>(self, limiter: L) -> RateLimitedSink<Self, T, L>
    where
        Self: Sized,
    {
        RateLimitedSink { sink: self, limiter, cost: One, held: None, reserved: None }
    }
}

impl<S: Sink<T> + ?Sized, T> RateLimitSinkExt<T> for S {}

pin_project! {
    /// A sink that is sent to no more often than a limiter allows.
    ///
    /// An item that was sent to it stays within until the inner sink is ready and, after that, its tokens
    /// are there: a sink that is full keeps none from others. It is ready for the next one then, and
    /// flushed when the inner sink is: an item that is only fed waits for one of both.
    ///
    /// A `send()` that is dropped loses neither the item nor its place in the line, and
    /// [`into_parts`](Self::into_parts) hands it out. Dropped, it leaves the line or gives back what
    /// was taken for the item.
    #[must_use = "sinks do nothing unless polled"]
    pub struct RateLimitedSink<S, T, L, C = One>
    where
        L: Reserve,
    {
        #[pin]
        sink: S,
        limiter: L,
        cost: C,
        held: Option<T>,
        reserved: Option<L::Reserved>,
    }
}

impl<S, T, L: Reserve, C> RateLimitedSink<S, T, L, C> {
    /// How many tokens an item takes; one by default. An item that costs nothing does not wait.
    pub fn cost<F: Fn(&T) -> u64>(self, cost: F) -> RateLimitedSink<S, T, L, By<F>> {
        let Self { sink, limiter, cost: _, held, reserved } = self;
        RateLimitedSink { sink, limiter, cost: By(cost), held, reserved }
    }

    /// The inner sink.
    pub fn get_ref(&self) -> &S {
        &self.sink
    }

    /// The inner sink, to be changed. Items that are sent to it there pass the limiter by, and may come
    /// before the one that waits.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The inner sink, pinned.
    #[must_use]
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().sink
    }

    /// The inner sink, and the item that waits, if one does.
    pub fn into_parts(self) -> (S, Option<T>) {
        (self.sink, self.held)
    }
}

impl<S, T, L, C> RateLimitedSink<S, T, L, C>
where
    S: Sink<T>,
    L: Reserve,
    C: Extract<T, Value = u64>,
{
    /// Sends the item that waits.
    fn drain(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RateLimitedSinkError<T, S::Error>>> {
        let mut this = self.project();
        let Some(item) = this.held else { return Poll::Ready(Ok(())) };
        if let Err(error) = ready!(this.sink.as_mut().poll_ready(cx)) {
            *this.reserved = None;
            return Poll::Ready(Err(RateLimitedSinkError::Inner(error)));
        }
        let cost = this.cost;
        let passes = ready!(poll(this.limiter, this.reserved, || cost.of(item), cx));
        let Some(item) = this.held.take() else { return Poll::Ready(Ok(())) };
        Poll::Ready(match passes {
            Ok(()) => this.sink.start_send(item).map_err(RateLimitedSinkError::Inner),
            Err(denied) => Err(RateLimitedSinkError::Denied(DeniedItem::new(item, denied))),
        })
    }
}

impl<S, T, L, C> Sink<T> for RateLimitedSink<S, T, L, C>
where
    S: Sink<T>,
    L: Reserve,
    C: Extract<T, Value = u64>,
{
    type Error = RateLimitedSinkError<T, S::Error>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.drain(cx)
    }

    /// Keeps the item until it can be sent.
    ///
    /// # Panics
    ///
    /// If it was not ready.
    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Self::Error> {
        let held = self.project().held;
        assert!(held.is_none(), "sent without a `poll_ready` that was ready");
        *held = Some(item);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.as_mut().drain(cx))?;
        self.project().sink.poll_flush(cx).map_err(RateLimitedSinkError::Inner)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.as_mut().drain(cx))?;
        self.project().sink.poll_close(cx).map_err(RateLimitedSinkError::Inner)
    }
}

impl<S: fmt::Debug, T, L: Reserve, C> fmt::Debug for RateLimitedSink<S, T, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sink, held, .. } = self;
        f.debug_struct("RateLimitedSink")
            .field("sink", sink)
            .field("waits", &held.is_some())
            .finish_non_exhaustive()
    }
}
