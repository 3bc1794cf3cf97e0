//! A service that is called no more often than its limiter allows.

use crate::{
    Admit, Denied, Queue, Reserve,
    admit::Extract,
    future::{ResponseFuture, WaitFuture},
    layer::{Answer, Errors, Fail, Readiness, Reject, Wait},
};
use std::{
    fmt, mem,
    task::{Context, Poll, ready},
    time::Duration,
};
use thiserror::Error;
use tower_service::Service;

/// Why a call of a [`RateLimit`] has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RateLimitError<E> {
    /// The limiter did not let it pass; the inner service was not called.
    #[error(transparent)]
    Denied(Denied),
    /// The inner service has failed.
    #[error(transparent)]
    Inner(E),
}

impl<E> RateLimitError<E> {
    /// After which time it is worth trying again, if it is known: what the inner service says is not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(denied) => denied.retry_after(),
            Self::Inner(_) => None,
        }
    }
}

/// Calls a service no more often than a limiter allows: made by a [`RateLimitLayer`].
///
/// Clones share the limiter and nothing else: one that is ready does not make its clones so.
///
/// [`RateLimitLayer`]: crate::RateLimitLayer
#[derive(Clone)]
pub struct RateLimit<S, M, A = Fail> {
    inner: S,
    mode: M,
    answer: A,
}

impl<S, M, A> RateLimit<S, M, A> {
    pub(crate) fn new(inner: S, mode: M, answer: A) -> Self {
        Self { inner, mode, answer }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What calls it passes the limiter by.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the limit off. A token that was taken for the next call is given back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, M: fmt::Debug, A> fmt::Debug for RateLimit<S, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, mode, .. } = self;
        f.debug_struct("RateLimit")
            .field("inner", inner)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

impl<S, R, L, K, C, A> Service<R> for RateLimit<S, Reject<L, K, C>, A>
where
    S: Service<R>,
    K: Extract<R>,
    C: Extract<R, Value = u64>,
    L: Admit<K::Value>,
    A: Answer<R, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = ResponseFuture<S::Future, S::Response, A::Error, A>;

    /// As the inner service: the limiter is asked when there is a request.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(cx).map_err(A::inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Reject { limiter, key, cost } = &self.mode;
        let cost = cost.of(&request);
        let denied = if cost == 0 { None } else { limiter.admit(key.of(&request), cost).err() };
        match denied {
            None => ResponseFuture::called(self.inner.call(request)),
            Some(denied) => ResponseFuture::answered(self.answer.answer(request, denied)),
        }
    }
}

impl<S, R, L, K, C, A> Service<R> for RateLimit<S, Wait<L, K, C>, A>
where
    S: Service<R> + Clone,
    K: Extract<R>,
    C: Extract<R, Value = u64>,
    L: Queue<K::Value>,
    A: Answer<R, S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = WaitFuture<S, R, L::Place, A, A::Error>;

    /// As the inner service: the limiter is asked when there is a request.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(cx).map_err(A::inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Wait { limiter, key, cost, within } = &self.mode;
        let cost = cost.of(&request);
        if cost == 0 {
            return WaitFuture::called(self.inner.call(request));
        }
        let place = match limiter.join(key.of(&request), cost, *within) {
            Ok(Some(place)) => place,
            Ok(None) => return WaitFuture::called(self.inner.call(request)),
            Err(denied) => return WaitFuture::answered(self.answer.answer(request, denied)),
        };
        // It is this one that is ready, not its clone.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        WaitFuture::waiting(place, inner, request, self.answer.clone())
    }
}

impl<S, R, L> Service<R> for RateLimit<S, Readiness<L>>
where
    S: Service<R>,
    L: Reserve,
{
    type Response = S::Response;
    type Error = RateLimitError<S::Error>;
    type Future = ResponseFuture<S::Future, S::Response, RateLimitError<S::Error>, Fail>;

    /// Ready once the inner service is, and then a token is there. It is in this order, so that no tokens
    /// pile up for a service that cannot be called.
    ///
    /// If none will be, as too many wait already or nothing passes any more, it is ready as well, and the
    /// call fails: an error here is only one of the inner service, and gives the token back.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Err(error) = ready!(self.inner.poll_ready(cx)) {
            self.mode.let_go();
            return Poll::Ready(Err(<Fail as Errors<_>>::inner(error)));
        }
        self.mode.poll(cx).map(Ok)
    }

    /// Calls the inner service, and spends the token.
    ///
    /// # Panics
    ///
    /// If [`poll_ready`](Self::poll_ready) was not ready before.
    fn call(&mut self, request: R) -> Self::Future {
        match self.mode.take() {
            Ok(()) => ResponseFuture::called(self.inner.call(request)),
            Err(denied) => ResponseFuture::answered(self.answer.answer(request, denied)),
        }
    }
}
