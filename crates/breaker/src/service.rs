//! A service that is not called while it fails.

use crate::{
    ByResult, Classify,
    clock::Clock,
    future::ResponseFuture,
    layer::{Answer, ByKey, Fail, Held, Single},
};
use std::{
    fmt,
    hash::Hash,
    mem,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Calls a service only if a breaker lets it: made by a [`BreakerLayer`](crate::BreakerLayer).
///
/// Clones share the breaker and nothing else: one that is ready does not make its clones so.
#[derive(Clone)]
pub struct BreakerService<S, M, K = ByResult, A = Fail> {
    inner: S,
    mode: M,
    classify: K,
    answer: A,
}

impl<S, M, K, A> BreakerService<S, M, K, A> {
    pub(crate) fn new(inner: S, mode: M, classify: K, answer: A) -> Self {
        Self { inner, mode, classify, answer }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What calls it passes the breaker by.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the breaker off. The place of a probe that was taken for the next call is given back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, M: fmt::Debug, K, A> fmt::Debug for BreakerService<S, M, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, mode, .. } = self;
        f.debug_struct("BreakerService")
            .field("inner", inner)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

impl<S, R, C, K, A> Service<R> for BreakerService<S, Single<C>, K, A>
where
    S: Service<R>,
    C: Clock,
    K: Classify<Result<S::Response, S::Error>> + Clone,
    A: Answer<R, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = ResponseFuture<C, S::Future, K, S::Response, A::Error, A>;

    /// Takes a place for the next call, once, and is ready when the inner service is. If there is no place it is
    /// ready at once, so that the call can be answered, and the inner service is not asked.
    ///
    /// An error of the inner service counts as a response that is that error, as services that connect say
    /// here that they cannot. The place is given back.
    ///
    /// The place of a probe is held until the call, or until it is lost as that of a call is: after the lease, if another
    /// one wants it. While the inner service is not ready nobody is woken if the breaker opens: whoever waits is told by
    /// the next `poll_ready`, as each of them looks anew. The breaker keeps no list of who waits, since services may be
    /// polled and forgotten, and such a list has no bound.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        if !self.mode.reserve() {
            return Poll::Ready(Ok(()));
        }
        let Held::Place(guard) = &mut self.mode.held else { unreachable!("there is a place") };
        let (inner, classify) = (&mut self.inner, &self.classify);
        let failed = guard.run(|| match inner.poll_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(None),
            Poll::Ready(Err(error)) => {
                let result = Err(error);
                let verdict = classify.verdict(&result);
                Poll::Ready(result.err().map(|error| (error, verdict)))
            }
        });
        let Some((error, verdict)) = ready!(failed) else { return Poll::Ready(Ok(())) };
        guard.finish(verdict);
        self.mode.held = Held::Nothing;
        Poll::Ready(Err(A::inner(error)))
    }

    /// Calls the inner service, if there is a place. If the place was lost since, another one is asked for. If there was
    /// none the call is turned away, even if there is one by now, as the inner service was not asked whether it is
    /// ready: the answer says then that it may be tried again at once.
    ///
    /// # Panics
    ///
    /// If [`poll_ready`](Self::poll_ready) was not ready before.
    fn call(&mut self, request: R) -> Self::Future {
        let Single { breaker, held } = &mut self.mode;
        let mut guard = match mem::replace(held, Held::Nothing) {
            Held::Place(guard) => guard,
            Held::Nothing => panic!("a call without a `poll_ready` that was ready"),
            Held::Refused(open) => {
                let open = breaker.refuse_again(open);
                breaker.reject(open);
                return ResponseFuture::answered(self.answer.answer(request, open));
            }
        };
        if !guard.begin() {
            guard = match breaker.reserve() {
                Ok(guard) => guard,
                Err(open) => {
                    breaker.reject(open);
                    return ResponseFuture::answered(self.answer.answer(request, open));
                }
            };
            guard.begin();
        }
        let inner = &mut self.inner;
        let future = guard.run(|| inner.call(request));
        ResponseFuture::called(future, guard, self.classify.clone())
    }
}

impl<S, R, Q, F, C, K, A> Service<R> for BreakerService<S, ByKey<Q, F, C>, K, A>
where
    S: Service<R>,
    Q: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&R) -> Q,
    C: Clock + Clone,
    K: Classify<Result<S::Response, S::Error>> + Clone,
    A: Answer<R, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = ResponseFuture<C, S::Future, K, S::Response, A::Error, A>;

    /// As the inner service: the breaker is known when there is a request.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(cx).map_err(A::inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let ByKey { breakers, key } = &self.mode;
        let breaker = breakers.breaker(&key(&request));
        let mut guard = match breaker.reserve() {
            Ok(guard) => guard,
            Err(open) => {
                breaker.reject(open);
                return ResponseFuture::answered(self.answer.answer(request, open));
            }
        };
        guard.begin();
        let inner = &mut self.inner;
        let future = guard.run(|| inner.call(request));
        ResponseFuture::called(future, guard, self.classify.clone())
    }
}
