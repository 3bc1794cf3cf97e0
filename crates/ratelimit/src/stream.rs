//! A stream whose items come no more often than a limiter allows.

use crate::{
    Denied, Reserve,
    admit::{By, Extract, One, Reserved},
};
use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// An item that does not pass, handed back.
pub struct DeniedItem<T> {
    item: T,
    denied: Denied,
}

impl<T> DeniedItem<T> {
    pub(crate) fn new(item: T, denied: Denied) -> Self {
        Self { item, denied }
    }

    /// Why it does not pass.
    pub fn denied(&self) -> Denied {
        self.denied
    }

    /// After which time it is worth trying again, if ever.
    pub fn retry_after(&self) -> Option<Duration> {
        self.denied.retry_after()
    }

    /// The item.
    pub fn into_item(self) -> T {
        self.item
    }
}

/// Without the item, which need not be one that can be shown.
impl<T> fmt::Debug for DeniedItem<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeniedItem").field("denied", &self.denied).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for DeniedItem<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.denied.fmt(f)
    }
}

impl<T> Error for DeniedItem<T> {}

/// Limits how often the items of any stream come.
pub trait RateLimitStreamExt: Stream {
    /// Lets items pass as the limiter allows, each for one token, or for what it
    /// [costs](RateLimitedStream::cost). See [`RateLimitedStream`].
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use tidegate_ratelimit::{Rate, RateLimitStreamExt, RateLimiter};
    /// # use std::time::Duration;
    /// # use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # let start = Instant::now();
    /// let limiter = RateLimiter::builder(Rate::per_second(10)).burst(1).build().unwrap();
    /// let mut words = stream::iter(["one", "two", "three"]).rate_limited(limiter);
    /// while let Some(word) = words.next().await {
    ///     println!("{}", word.unwrap()); // One each tenth of a second.
    /// }
    /// # assert_eq!(start.elapsed(), Duration::from_millis(200));
    /// # }
    /// ```
    fn rate_limited<L: Reserve>(self, limiter: L) -> RateLimitedStream<Self, L>
    where
        Self: Sized,
    {
        RateLimitedStream { stream: self, limiter, cost: One, held: None, reserved: None }
    }
}

impl<S: Stream + ?Sized> RateLimitStreamExt for S {}

pin_project! {
    /// A stream whose items come no more often than a limiter allows.
    ///
    /// It takes an item first, and then the tokens for it: a stream that has nothing to give keeps no
    /// tokens from others. The item stays within while it waits; a `next()` that is dropped loses neither
    /// it nor its place in the line, and [`into_parts`](Self::into_parts) hands it out. Dropped, it leaves
    /// the line or gives back what was taken for the item.
    ///
    /// An item that never passes, or finds the line full, is an error that hands it back. The next one
    /// has a chance of its own.
    #[must_use = "streams do nothing unless polled"]
    pub struct RateLimitedStream<S, L, C = One>
    where
        S: Stream,
        L: Reserve,
    {
        #[pin]
        stream: S,
        limiter: L,
        cost: C,
        held: Option<S::Item>,
        reserved: Option<L::Reserved>,
    }
}

impl<S: Stream, L: Reserve, C> RateLimitedStream<S, L, C> {
    /// How many tokens an item takes; one by default. An item that costs nothing does not wait.
    pub fn cost<F: Fn(&S::Item) -> u64>(self, cost: F) -> RateLimitedStream<S, L, By<F>> {
        let Self { stream, limiter, cost: _, held, reserved } = self;
        RateLimitedStream { stream, limiter, cost: By(cost), held, reserved }
    }

    /// The inner stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The inner stream, to be changed. Items that are taken from it there pass the limiter by.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The inner stream, pinned.
    #[must_use]
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().stream
    }

    /// The inner stream, and the item that waits, if one does.
    pub fn into_parts(self) -> (S, Option<S::Item>) {
        (self.stream, self.held)
    }
}

impl<S, L, C> Stream for RateLimitedStream<S, L, C>
where
    S: Stream,
    L: Reserve,
    C: Extract<S::Item, Value = u64>,
{
    type Item = Result<S::Item, DeniedItem<S::Item>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if this.held.is_none() {
            *this.held = ready!(this.stream.as_mut().poll_next(cx));
        }
        let Some(item) = this.held else { return Poll::Ready(None) };
        let cost = this.cost;
        let passes = ready!(poll(this.limiter, this.reserved, || cost.of(item), cx));
        let item = this.held.take();
        Poll::Ready(item.map(|item| match passes {
            Ok(()) => Ok(item),
            Err(denied) => Err(DeniedItem::new(item, denied)),
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some());
        let (at_least, at_most) = self.stream.size_hint();
        (at_least.saturating_add(held), at_most.and_then(|at_most| at_most.checked_add(held)))
    }
}

impl<S, L, C> FusedStream for RateLimitedStream<S, L, C>
where
    S: FusedStream,
    L: Reserve,
    C: Extract<S::Item, Value = u64>,
{
    fn is_terminated(&self) -> bool {
        self.held.is_none() && self.stream.is_terminated()
    }
}

impl<S: Stream + fmt::Debug, L: Reserve, C> fmt::Debug for RateLimitedStream<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, held, .. } = self;
        f.debug_struct("RateLimitedStream")
            .field("stream", stream)
            .field("waits", &held.is_some())
            .finish_non_exhaustive()
    }
}

/// Takes the tokens for an item, over as many polls as it needs.
pub(crate) fn poll<L: Reserve>(
    limiter: &L,
    reserved: &mut Option<L::Reserved>,
    cost: impl FnOnce() -> u64,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Denied>> {
    let mut place = match reserved.take() {
        Some(place) => place,
        None => match cost() {
            0 => return Poll::Ready(Ok(())),
            cost => limiter.reserve(cost)?,
        },
    };
    let passes = place.poll_ready(cx);
    match passes {
        Poll::Pending => *reserved = Some(place),
        Poll::Ready(Ok(())) => place.spend(),
        Poll::Ready(Err(_)) => {}
    }
    passes
}
