//! A place in a line, as a future.

use super::{Denied, Reserved};
use crate::Reservation;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tidegate_core::inspect::{Resource, Waiting};

pin_project! {
    /// A place in the line of a [`RateLimiter`](crate::RateLimiter), or of a key of a
    /// [`KeyedLimiter`](crate::KeyedLimiter), from when it was joined on. [Inspection] shows whoever waits for
    /// it.
    ///
    /// [Inspection]: tidegate_core::inspect
    #[must_use = "a place that is dropped is left"]
    pub struct Queued<R = Reservation> {
        #[pin]
        place: Waiting<Place<R>>,
    }
}

impl<R: Reserved> Queued<R> {
    /// A place to wait in, or none, if the tokens are there: they are spent then.
    #[track_caller]
    pub(super) fn unless_ready(mut reservation: R, resource: &Resource) -> Option<Self> {
        if reservation.is_ready() {
            reservation.spend();
            return None;
        }
        Some(Self { place: resource.waiting("tokens", Place(Some(reservation))) })
    }
}

impl<R: Reserved> Future for Queued<R> {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().place.poll(cx)
    }
}

impl<R> fmt::Debug for Queued<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued").finish_non_exhaustive()
    }
}

/// Does not point into what is set aside.
struct Place<R>(Option<R>);

impl<R> Unpin for Place<R> {}

impl<R: Reserved> Future for Place<R> {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reservation = self.0.as_mut().expect("polled after it was ready");
        let passes = ready!(reservation.poll_ready(cx));
        if let (Ok(()), Some(reservation)) = (passes, self.0.take()) {
            reservation.spend();
        }
        Poll::Ready(passes)
    }
}
