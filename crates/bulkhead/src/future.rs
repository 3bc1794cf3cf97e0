//! The futures of a [`BulkheadService`](crate::BulkheadService).

use crate::{
    Held, Rejected,
    layer::{Answer, Carry, Classify, Errors},
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
    ///
    /// The permit comes back when the inner future has ended, and not only when this one is dropped. Dropped
    /// before, it gives the permit back once the inner future has been dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, P, U, E, A, C> {
        #[pin]
        state: Called<F, P, U, E, C>,
        errors: PhantomData<fn() -> A>,
    }
}

pin_project! {
    #[project = CalledProjected]
    enum Called<F, P, U, E, C> {
        // In this order: what is inside is dropped before its permit.
        Inner { #[pin] inner: F, permit: Option<P>, carry: C },
        Answered { answer: Option<Result<U, E>> },
    }
}

impl<F, P, U, E, A, C> ResponseFuture<F, P, U, E, A, C> {
    #[inline]
    pub(crate) fn called(inner: F, permit: P, carry: C) -> Self {
        let state = Called::Inner { inner, permit: Some(permit), carry };
        Self { state, errors: PhantomData }
    }

    pub(crate) fn answered(answer: Result<U, E>) -> Self {
        Self { state: Called::Answered { answer: Some(answer) }, errors: PhantomData }
    }
}

impl<F, P, U, E, A, C, T, I> Future for ResponseFuture<F, P, U, E, A, C>
where
    F: Future<Output = Result<T, I>>,
    P: Held,
    A: Errors<I, Error = E>,
    C: Carry<T, P, Response = U> + Classify<T, I>,
{
    type Output = Result<U, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            CalledProjected::Inner { inner, permit, carry } => {
                let result = ready!(inner.poll(cx));
                Poll::Ready(end(result, permit, carry).map_err(A::inner))
            }
            CalledProjected::Answered { answer } => {
                Poll::Ready(answer.take().expect("polled after it was ready"))
            }
        }
    }
}

/// The call has ended: the permit goes back, or with the response.
#[inline]
fn end<T, I, P: Held, C: Carry<T, P> + Classify<T, I>>(
    result: Result<T, I>,
    permit: &mut Option<P>,
    carry: &C,
) -> Result<C::Response, I> {
    if let Some(permit) = permit {
        permit.ended(carry.outcome(&result));
    }
    match result {
        Ok(response) => Ok(carry.carry(response, permit)),
        Err(error) => {
            *permit = None;
            Err(error)
        }
    }
}

impl<F, P, U, E, A, C> fmt::Debug for ResponseFuture<F, P, U, E, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// Waits for room, then for the response of the inner service.
    ///
    /// Dropped while it waits for room, it leaves the line or gives back what was taken for it already, and
    /// the inner service was not called. Later as [`ResponseFuture`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitFuture<S, R, W, P, A, C, U, E>
    where
        S: Service<R>,
    {
        #[pin]
        state: Step<S, R, W, P, A, C, S::Future, U, E>,
    }
}

pin_project! {
    #[project = StepProjected]
    enum Step<S, R, W, P, A, C, F, U, E> {
        Waiting { #[pin] place: W, call: Option<Call<S, R, A, C>> },
        Called { #[pin] called: ResponseFuture<F, P, U, E, A, C> },
    }
}

/// What is needed once it enters.
pub(crate) struct Call<S, R, A, C> {
    /// Ready to be called.
    pub(crate) inner: S,
    pub(crate) request: R,
    pub(crate) answer: A,
    pub(crate) carry: C,
}

impl<S: Service<R>, R, W, P, A, C, U, E> WaitFuture<S, R, W, P, A, C, U, E> {
    pub(crate) fn waiting(place: W, call: Call<S, R, A, C>) -> Self {
        Self { state: Step::Waiting { place, call: Some(call) } }
    }

    #[inline]
    pub(crate) fn called(inner: S::Future, permit: P, carry: C) -> Self {
        Self { state: Step::Called { called: ResponseFuture::called(inner, permit, carry) } }
    }

    pub(crate) fn answered(answer: Result<U, E>) -> Self {
        Self { state: Step::Called { called: ResponseFuture::answered(answer) } }
    }
}

impl<S, R, W, P, A, C, U, E> Future for WaitFuture<S, R, W, P, A, C, U, E>
where
    S: Service<R>,
    W: Future<Output = Result<P, Rejected>>,
    P: Held,
    A: Answer<R, U, S::Error, Error = E>,
    C: Carry<S::Response, P, Response = U> + Classify<S::Response, S::Error>,
{
    type Output = Result<U, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StepProjected::Called { called } => return called.poll(cx),
                StepProjected::Waiting { place, call } => {
                    let entered = ready!(place.poll(cx));
                    call.take().expect("polled after a panic").end(entered)
                }
            };
            state.set(Step::Called { called: next });
        }
    }
}

impl<S: Service<R>, R, A, C> Call<S, R, A, C> {
    /// Calls the inner service, or answers in its place.
    fn end<P, U, E>(self, entered: Result<P, Rejected>) -> ResponseFuture<S::Future, P, U, E, A, C>
    where
        A: Answer<R, U, S::Error, Error = E>,
    {
        let Self { mut inner, request, answer, carry } = self;
        match entered {
            Ok(permit) => ResponseFuture::called(inner.call(request), permit, carry),
            Err(rejected) => ResponseFuture::answered(answer.answer(request, rejected)),
        }
    }
}

impl<S: Service<R>, R, W, P, A, C, U, E> fmt::Debug for WaitFuture<S, R, W, P, A, C, U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            Step::Waiting { .. } => "waiting",
            Step::Called { .. } => "called",
        };
        f.debug_struct("WaitFuture").field("state", &state).finish_non_exhaustive()
    }
}
