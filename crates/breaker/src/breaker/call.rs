//! The future of a guarded call.

use super::{Breaker, attempt::Attempt, entry::Entry, shared::Shared};
use crate::{BreakerError, ByResult, Classify, clock::Clock};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// Calls a future if the breaker lets it pass: by [`Breaker::call`](super::Breaker::call).
    #[must_use = "futures do nothing unless polled"]
    pub struct Call<'a, C: Clock, F, K = ByResult> {
        #[pin]
        step: Step<'a, C, F, K>,
    }
}

pin_project! {
    #[project = StepProjected]
    enum Step<'a, C: Clock, F, K> {
        Waiting { shared: &'a Shared<C>, call: Option<(F, K)> },
        Called { #[pin] attempt: Attempt<&'a Breaker<C>, F, K> },
    }
}

impl<'a, C: Clock, F, K> Call<'a, C, F, K> {
    pub(super) fn new(shared: &'a Shared<C>, future: F, classify: K) -> Self {
        Self { step: Step::Waiting { shared, call: Some((future, classify)) } }
    }
}

impl<C: Clock, F, K, T, E> Future for Call<'_, C, F, K>
where
    F: Future<Output = Result<T, E>>,
    K: Classify<Result<T, E>>,
{
    type Output = Result<T, BreakerError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let attempt = match step.as_mut().project() {
                StepProjected::Called { attempt } => {
                    return attempt.poll(cx).map_err(BreakerError::Inner);
                }
                StepProjected::Waiting { shared, call } => {
                    let (future, classify) = call.take().expect("polled after it was ready");
                    match shared.enter() {
                        Err(open) => return Poll::Ready(Err(BreakerError::Open(open))),
                        Ok(entered) => Attempt::new(future, Entry::new(*shared, entered), classify),
                    }
                }
            };
            step.set(Step::Called { attempt });
        }
    }
}

impl<C: Clock, F, K> fmt::Debug for Call<'_, C, F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_called = matches!(self.step, Step::Called { .. });
        f.debug_struct("Call").field("is_called", &is_called).finish_non_exhaustive()
    }
}
