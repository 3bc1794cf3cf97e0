//! The futures of a [`RateLimit`](crate::RateLimit).

use crate::{
    Denied,
    layer::{Answer, Errors},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// The response of the inner service, or an answer in its place.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, T, E, A> {
        #[pin]
        state: Called<F, T, E>,
        errors: PhantomData<fn() -> A>,
    }
}

pin_project! {
    #[project = CalledProjected]
    enum Called<F, T, E> {
        Inner { #[pin] inner: F },
        Answered { answer: Option<Result<T, E>> },
    }
}

impl<F, T, E, A> ResponseFuture<F, T, E, A> {
    pub(crate) fn called(inner: F) -> Self {
        Self { state: Called::Inner { inner }, errors: PhantomData }
    }

    pub(crate) fn answered(answer: Result<T, E>) -> Self {
        Self { state: Called::Answered { answer: Some(answer) }, errors: PhantomData }
    }
}

impl<F, T, E, A, I> Future for ResponseFuture<F, T, E, A>
where
    F: Future<Output = Result<T, I>>,
    A: Errors<I, Error = E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            CalledProjected::Inner { inner } => inner.poll(cx).map_err(A::inner),
            CalledProjected::Answered { answer } => {
                Poll::Ready(answer.take().expect("polled after it was ready"))
            }
        }
    }
}

impl<F, T, E, A> fmt::Debug for ResponseFuture<F, T, E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// Waits for the limiter, then for the response of the inner service.
    ///
    /// Dropped while it waits for the limiter, it leaves the line or gives back what was taken for it
    /// already, and the inner service was not called.
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitFuture<S, R, P, A, E>
    where
        S: Service<R>,
    {
        #[pin]
        state: Step<S, R, P, A, S::Future, S::Response, E>,
    }
}

pin_project! {
    #[project = StepProjected]
    enum Step<S, R, P, A, F, T, E> {
        Waiting { #[pin] place: P, call: Option<Call<S, R, A>> },
        Called { #[pin] inner: F },
        Answered { answer: Option<Result<T, E>> },
    }
}

/// What is needed once it passes.
struct Call<S, R, A> {
    /// Ready to be called.
    inner: S,
    request: R,
    answer: A,
}

impl<S: Service<R>, R, P, A, E> WaitFuture<S, R, P, A, E> {
    pub(crate) fn waiting(place: P, inner: S, request: R, answer: A) -> Self {
        let call = Some(Call { inner, request, answer });
        Self { state: Step::Waiting { place, call } }
    }

    pub(crate) fn called(inner: S::Future) -> Self {
        Self { state: Step::Called { inner } }
    }

    pub(crate) fn answered(answer: Result<S::Response, E>) -> Self {
        Self { state: Step::Answered { answer: Some(answer) } }
    }
}

impl<S, R, P, A, E> Future for WaitFuture<S, R, P, A, E>
where
    S: Service<R>,
    P: Future<Output = Result<(), Denied>>,
    A: Answer<R, S::Response, S::Error, Error = E>,
{
    type Output = Result<S::Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StepProjected::Called { inner } => return inner.poll(cx).map_err(A::inner),
                StepProjected::Answered { answer } => {
                    return Poll::Ready(answer.take().expect("polled after it was ready"));
                }
                StepProjected::Waiting { place, call } => {
                    let passes = ready!(place.poll(cx));
                    call.take().expect("polled after a panic").end(passes)
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<R>, R, A> Call<S, R, A> {
    /// Calls the inner service, or answers in its place.
    fn end<P, E>(self, passes: Result<(), Denied>) -> Step<S, R, P, A, S::Future, S::Response, E>
    where
        A: Answer<R, S::Response, S::Error, Error = E>,
    {
        let Self { mut inner, request, answer } = self;
        match passes {
            Ok(()) => Step::Called { inner: inner.call(request) },
            Err(denied) => Step::Answered { answer: Some(answer.answer(request, denied)) },
        }
    }
}

impl<S: Service<R>, R, P, A, E> fmt::Debug for WaitFuture<S, R, P, A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            Step::Waiting { .. } => "waiting",
            Step::Called { .. } => "called",
            Step::Answered { .. } => "answered",
        };
        f.debug_struct("WaitFuture").field("state", &state).finish_non_exhaustive()
    }
}
