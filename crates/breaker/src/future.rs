//! The future of a [`BreakerService`](crate::BreakerService).

use crate::{
    Breaker, Classify,
    breaker::{Attempt, Entry},
    clock::Clock,
    layer::Errors,
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The response of the inner service, or an answer in its place.
    ///
    /// Dropped, the call was given up: this counts neither way, and a probe gives its place back.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<C: Clock, F, K, T, E, A> {
        #[pin]
        step: Step<C, F, K, T, E>,
        errors: PhantomData<fn() -> A>,
    }
}

pin_project! {
    #[project = StepProjected]
    enum Step<C: Clock, F, K, T, E> {
        Called { #[pin] attempt: Attempt<Breaker<C>, F, K> },
        Answered { answer: Option<Result<T, E>> },
    }
}

impl<C: Clock, F, K, T, E, A> ResponseFuture<C, F, K, T, E, A> {
    #[inline]
    fn new(step: Step<C, F, K, T, E>) -> Self {
        Self { step, errors: PhantomData }
    }

    #[inline]
    pub(crate) fn called(inner: F, entry: Entry<Breaker<C>>, classify: K) -> Self {
        Self::new(Step::Called { attempt: Attempt::new(inner, entry, classify) })
    }

    pub(crate) fn answered(answer: Result<T, E>) -> Self {
        Self::new(Step::Answered { answer: Some(answer) })
    }
}

impl<C, F, K, T, E, A, I> Future for ResponseFuture<C, F, K, T, E, A>
where
    C: Clock,
    F: Future<Output = Result<T, I>>,
    K: Classify<Result<T, I>>,
    A: Errors<I, Error = E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepProjected::Called { attempt } => attempt.poll(cx).map_err(A::inner),
            StepProjected::Answered { answer } => {
                Poll::Ready(answer.take().expect("polled after it was ready"))
            }
        }
    }
}

impl<C: Clock, F, K, T, E, A> fmt::Debug for ResponseFuture<C, F, K, T, E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
