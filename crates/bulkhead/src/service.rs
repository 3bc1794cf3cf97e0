//! A service with so many calls in progress at most.

use crate::{
    Ask, Enter, Entering, Held, Priority, Rejected, Reserve,
    admit::Extract,
    future::{Call, ResponseFuture, WaitFuture},
    layer::{Answer, Carry, Classify, Errors, Fail, Readiness, Reject, Release, Wait},
};
use std::{
    fmt, mem,
    task::{Context, Poll},
    time::Duration,
};
use thiserror::Error;
use tower_service::Service;

/// Why a call of a [`BulkheadService`] has failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BulkheadError<E> {
    /// The bulkhead did not let it in; the inner service was not called.
    #[error(transparent)]
    Rejected(Rejected),
    /// The inner service has failed.
    #[error(transparent)]
    Inner(E),
}

impl<E> BulkheadError<E> {
    /// After about which time it is worth trying again, if it is known: what the inner service says is not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => rejected.retry_after(),
            Self::Inner(_) => None,
        }
    }
}

/// Calls a service while there is room in a bulkhead: made by a [`BulkheadLayer`].
///
/// Clones share the bulkhead and nothing else: one that is ready does not make its clones so.
///
/// [`BulkheadLayer`]: crate::BulkheadLayer
#[derive(Clone)]
pub struct BulkheadService<S, M, A = Fail, C = Release> {
    inner: S,
    mode: M,
    answer: A,
    carry: C,
}

impl<S, M, A, C> BulkheadService<S, M, A, C> {
    pub(crate) fn new(inner: S, mode: M, answer: A, carry: C) -> Self {
        Self { inner, mode, answer, carry }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What calls it passes the bulkhead by.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the bulkhead off. A permit that was taken for the next call is given back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, M: fmt::Debug, A, C> fmt::Debug for BulkheadService<S, M, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, mode, .. } = self;
        f.debug_struct("BulkheadService")
            .field("inner", inner)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

impl<S, R, B, K, N, A, C> Service<R> for BulkheadService<S, Reject<B, K, N>, A, C>
where
    S: Service<R>,
    K: Extract<R>,
    N: Extract<R, Value = u32>,
    B: Enter<K::Value>,
    C: Carry<S::Response, B::Permit> + Classify<S::Response, S::Error> + Clone,
    A: Answer<R, C::Response, S::Error>,
{
    type Response = C::Response;
    type Error = A::Error;
    type Future = ResponseFuture<S::Future, B::Permit, C::Response, A::Error, A, C>;

    /// As the inner service: the bulkhead is asked when there is a request.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(cx).map_err(A::inner)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let Reject { bulkhead, key, weight } = &self.mode;
        let (key, weight) = (key.of(&request), weight.of(&request));
        match bulkhead.enter_now(&key, weight) {
            Some(permit) => {
                ResponseFuture::called(self.inner.call(request), permit, self.carry.clone())
            }
            None => self.call_or_answer(key, weight, request),
        }
    }
}

/// What a call is that does not wait.
type AtOnce<S, R, K, B, A, C, E> = ResponseFuture<
    <S as Service<R>>::Future,
    <B as Enter<K>>::Permit,
    <C as Carry<<S as Service<R>>::Response, <B as Enter<K>>::Permit>>::Response,
    E,
    A,
    C,
>;

impl<S, B, K, N, A, C> BulkheadService<S, Reject<B, K, N>, A, C> {
    /// Kept apart, so that the plain case is little code.
    #[inline(never)]
    fn call_or_answer<R>(
        &mut self,
        key: K::Value,
        weight: u32,
        request: R,
    ) -> AtOnce<S, R, K::Value, B, A, C, A::Error>
    where
        S: Service<R>,
        K: Extract<R>,
        B: Enter<K::Value>,
        C: Carry<S::Response, B::Permit> + Classify<S::Response, S::Error> + Clone,
        A: Answer<R, C::Response, S::Error>,
    {
        match self.mode.bulkhead.try_enter(key, weight) {
            Ok(permit) => {
                ResponseFuture::called(self.inner.call(request), permit, self.carry.clone())
            }
            Err(rejected) => ResponseFuture::answered(self.answer.answer(request, rejected)),
        }
    }
}

impl<S, R, B, K, N, P, A, C> Service<R> for BulkheadService<S, Wait<B, K, N, P>, A, C>
where
    S: Service<R> + Clone,
    K: Extract<R>,
    N: Extract<R, Value = u32>,
    P: Extract<R, Value = Priority>,
    B: Enter<K::Value>,
    C: Carry<S::Response, B::Permit> + Classify<S::Response, S::Error> + Clone,
    A: Answer<R, C::Response, S::Error> + Clone,
{
    type Response = C::Response;
    type Error = A::Error;
    type Future = WaitFuture<S, R, B::Waiting, B::Permit, A, C, C::Response, A::Error>;

    /// As the inner service: the bulkhead is asked when there is a request.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(cx).map_err(A::inner)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let Wait { bulkhead, key, weight, .. } = &self.mode;
        let (key, weight) = (key.of(&request), weight.of(&request));
        match bulkhead.enter_now(&key, weight) {
            Some(permit) => {
                WaitFuture::called(self.inner.call(request), permit, self.carry.clone())
            }
            None => self.call_in_line(key, weight, request),
        }
    }
}

/// What a call is that may wait.
type InLine<S, R, K, B, A, C, E> = WaitFuture<
    S,
    R,
    <B as Enter<K>>::Waiting,
    <B as Enter<K>>::Permit,
    A,
    C,
    <C as Carry<<S as Service<R>>::Response, <B as Enter<K>>::Permit>>::Response,
    E,
>;

impl<S, B, K, N, P, A, C> BulkheadService<S, Wait<B, K, N, P>, A, C> {
    /// Kept apart, so that the plain case is little code.
    #[inline(never)]
    fn call_in_line<R>(
        &mut self,
        key: K::Value,
        weight: u32,
        request: R,
    ) -> InLine<S, R, K::Value, B, A, C, A::Error>
    where
        S: Service<R> + Clone,
        K: Extract<R>,
        P: Extract<R, Value = Priority>,
        B: Enter<K::Value>,
        C: Carry<S::Response, B::Permit> + Classify<S::Response, S::Error> + Clone,
        A: Answer<R, C::Response, S::Error> + Clone,
    {
        let Wait { bulkhead, priority, within, .. } = &self.mode;
        let ask = Ask::new(weight).priority(priority.of(&request));
        let ask = within.map_or(ask, |within| ask.within(within));
        let place = match bulkhead.enter(key, ask) {
            Ok(Entering::Waits(place)) => place,
            Ok(Entering::Now(permit)) => {
                return WaitFuture::called(self.inner.call(request), permit, self.carry.clone());
            }
            Err(rejected) => return WaitFuture::answered(self.answer.answer(request, rejected)),
        };
        // It is this one that is ready, not its clone.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let (answer, carry) = (self.answer.clone(), self.carry.clone());
        WaitFuture::waiting(place, Call { inner, request, answer, carry })
    }
}

impl<S, R, B, C> Service<R> for BulkheadService<S, Readiness<B>, Fail, C>
where
    S: Service<R>,
    B: Reserve,
    C: Carry<S::Response, B::Permit> + Classify<S::Response, S::Error> + Clone,
{
    type Response = C::Response;
    type Error = BulkheadError<S::Error>;
    type Future =
        ResponseFuture<S::Future, B::Permit, C::Response, BulkheadError<S::Error>, Fail, C>;

    /// Ready once the inner service is, and then a permit is there. It is in this order, so that no permits
    /// are held for a service that cannot be called.
    ///
    /// An inner service that fails, or is not ready any more, gives the permit back, and the place in the line.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let mode = &mut self.mode;
        let inner = self.inner.poll_ready(cx);
        if !matches!(inner, Poll::Ready(Ok(()))) {
            mode.give_up();
            return inner.map_err(<Fail as Errors<_>>::inner);
        }
        if mode.permit.is_none() && mode.place.is_none() {
            mode.permit = mode.bulkhead.reserve_now();
        }
        if mode.permit.is_some() {
            return Poll::Ready(Ok(()));
        }
        mode.poll_place(cx).map_err(BulkheadError::Rejected)
    }

    /// Calls the inner service, with the permit.
    ///
    /// # Panics
    ///
    /// If [`poll_ready`](Self::poll_ready) was not ready before.
    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        // Whoever calls without waiting does not want the place, either.
        self.mode.place = None;
        let permit = self.mode.permit.take();
        let mut permit =
            permit.expect("a call without a `poll_ready` that was ready, which takes the permit");
        permit.begins();
        ResponseFuture::called(self.inner.call(request), permit, self.carry.clone())
    }
}
