//! A service that is not called while it fails.

use crate::{
    Breaker, ByResult, Classify, Open,
    breaker::{Entry, Pass},
    clock::Clock,
    future::ResponseFuture,
    layer::{Answer, ByKey, Fail, Held, Single},
};
use std::{
    fmt,
    hash::Hash,
    mem,
    sync::Arc,
    task::{Context, Poll},
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
    /// one wants it. Who waits for the inner service is woken when the state of the breaker changes, too, and told at
    /// once if it has opened. The breaker keeps a waker for a service that waits, until it is ready or dropped.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        let Self { inner, mode, classify, .. } = self;
        while let Some(pass) = mode.reserve() {
            // If it fails here, that took as long as it took to say so.
            let began = mode.breaker.shared().start();
            let mut entry = Entry::<&Breaker<C>>::new(mode.breaker.shared(), (pass, began));
            let failed = entry.run(|| match inner.poll_ready(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) => Poll::Ready(None),
                Poll::Ready(Err(error)) => {
                    let result = Err(error);
                    let verdict = classify.verdict(&result);
                    Poll::Ready(result.err().map(|error| (error, verdict)))
                }
            });
            let pass = entry.into_pass();
            match failed {
                Poll::Pending => {
                    mode.held = Held::Place(pass);
                    if mode.wait(cx.waker()) {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(None) => {
                    mode.held = Held::Place(pass);
                    break;
                }
                Poll::Ready(Some((error, verdict))) => {
                    mode.stop_waiting();
                    Entry::<&Breaker<C>>::new(mode.breaker.shared(), (pass, began)).finish(verdict);
                    return Poll::Ready(Err(A::inner(error)));
                }
            }
        }
        mode.stop_waiting();
        Poll::Ready(Ok(()))
    }

    /// Calls the inner service, if there is a place. If the place was lost since, another one is asked for. If there was
    /// none the call is turned away, even if there is one by now, as the inner service was not asked whether it is
    /// ready: the answer says then that it may be tried again at once.
    ///
    /// # Panics
    ///
    /// If [`poll_ready`](Self::poll_ready) was not ready before.
    fn call(&mut self, request: R) -> Self::Future {
        let Single { breaker, held, .. } = &mut self.mode;
        let place = match mem::replace(held, Held::Nothing) {
            Held::Place(pass) => Some(pass),
            Held::Nothing => panic!("a call without a `poll_ready` that was ready"),
            Held::Refused(open) => {
                let open = breaker.shared().refuse_again(open);
                breaker.shared().reject(open);
                return ResponseFuture::answered(self.answer.answer(request, open));
            }
        };
        match begin(breaker, place) {
            Ok(mut entry) => {
                let inner = &mut self.inner;
                let future = entry.run(|| inner.call(request));
                ResponseFuture::called(future, entry, self.classify.clone())
            }
            Err(open) => ResponseFuture::answered(self.answer.answer(request, open)),
        }
    }
}

/// A call begins in its place; in another one, if it has none or has lost it.
#[inline]
fn begin<C: Clock>(breaker: &Breaker<C>, place: Option<Pass>) -> Result<Entry<Breaker<C>>, Open> {
    let shared = breaker.shared();
    let call = match place.and_then(|pass| Some((pass, shared.begin(pass)?))) {
        Some(call) => call,
        None => shared.enter()?,
    };
    Ok(Entry::new(Arc::clone(shared), call))
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
        match begin(&breaker, None) {
            Ok(mut entry) => {
                let inner = &mut self.inner;
                let future = entry.run(|| inner.call(request));
                ResponseFuture::called(future, entry, self.classify.clone())
            }
            Err(open) => ResponseFuture::answered(self.answer.answer(request, open)),
        }
    }
}
