//! Waiting for tokens of a key.

use super::{
    KeyedLimiter, KeyedPermit, claim::Claim, error::AcquireKeyError, request::Taken, shards::Shards,
};
use crate::{
    clock::{Clock, TokioClock},
    limiter::Bound,
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hash, RandomState},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tidegate_core::inspect::Waiting;
use tokio::task::coop::{Coop, cooperative};

pin_project! {
    /// The future of [`KeyedLimiter::acquire`].
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyedAcquire<'a, K, C = TokioClock, S = RandomState>
    where
        K: Hash,
        K: Eq,
        K: Clone,
        C: Clock,
        S: BuildHasher,
    {
        limiter: &'a KeyedLimiter<K, C, S>,
        key: &'a K,
        cost: u64,
        #[pin]
        waiting: Waiting<Coop<Wait<'a, K, C, S>>>,
    }
}

impl<'a, K, C, S> KeyedAcquire<'a, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    #[track_caller]
    pub(super) fn new(
        limiter: &'a KeyedLimiter<K, C, S>,
        key: &'a K,
        cost: u64,
        bound: Bound,
    ) -> Self {
        // A task that is never made to wait is made to let others run, as by `RateLimiter`.
        let wait = cooperative(Wait { shards: &limiter.shards, key, cost, bound, claim: None });
        let waiting = limiter.shards.resource.waiting("tokens", wait);
        Self { limiter, key, cost, waiting }
    }
}

impl<'a, K, C, S> Future for KeyedAcquire<'a, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    type Output = Result<KeyedPermit<'a, K, C, S>, AcquireKeyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let taken = ready!(this.waiting.poll(cx))?;
        Poll::Ready(Ok(KeyedPermit::new(this.limiter, this.key, *this.cost, taken)))
    }
}

impl<K, C, S> fmt::Debug for KeyedAcquire<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAcquire").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Takes its place when it is first polled.
struct Wait<'a, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    shards: &'a Shards<K, C, S>,
    key: &'a K,
    cost: u64,
    bound: Bound,
    claim: Option<Claim<C>>,
}

impl<K, C, S> Future for Wait<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    type Output = Result<Taken, AcquireKeyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shards, key, cost, bound, claim } = self.get_mut();
        let claim = if let Some(claim) = claim {
            claim
        } else {
            claim.insert(Claim::take(shards, key, *cost, *bound, Some(cx.waker()))?)
        };
        Poll::Ready(ready!(claim.poll(shards, key, cx)).map(|()| claim.spend()))
    }
}

impl<K, C, S> Drop for Wait<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn drop(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.cancel(self.shards, self.key, self.cost);
        }
    }
}
