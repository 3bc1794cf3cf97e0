//! A guarded future: what becomes of it is said to the breaker.

use super::entry::{Entry, Holder};
use crate::Classify;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// A future, and the call that it is.
    ///
    /// A panic of the future is one of the call; dropped by whatever panics elsewhere, it was given up.
    pub(crate) struct Attempt<H: Holder, F, K> {
        #[pin]
        future: F,
        entry: Entry<H>,
        classify: K,
    }
}

impl<H: Holder, F, K> Attempt<H, F, K> {
    #[inline]
    pub(crate) fn new(future: F, entry: Entry<H>, classify: K) -> Self {
        Self { future, entry, classify }
    }
}

impl<H: Holder, F: Future, K: Classify<F::Output>> Future for Attempt<H, F, K> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (classify, future) = (this.classify, this.future);
        let polled = this.entry.run(|| {
            let polled = future.poll(cx);
            polled.map(|result| {
                let verdict = classify.verdict(&result);
                (result, verdict)
            })
        });
        let (result, verdict) = ready!(polled);
        // A future may be ready twice; its call has ended once.
        if this.entry.is_open() {
            this.entry.finish(verdict);
        }
        Poll::Ready(result)
    }
}
