//! Waiting for tokens of a key.

use super::{
    KeyedLimiter, KeyedPermit,
    error::AcquireKeyError,
    request::{Outcome, Request, Source, Taken, refused},
    shards::{Owner, Shards},
};
use crate::{
    AcquireError, Quota, TryAcquireError,
    clock::{Clock, TokioClock},
    limiter::{Ticket, deadline, time_between},
    state::Refusal,
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hash, RandomState},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tidegate_core::{
    inspect::Waiting,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire},
    },
};

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
        waiting: Waiting<Wait<'a, K, C, S>>,
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
        within: Option<Duration>,
    ) -> Self {
        let wait = Wait { shards: &limiter.shards, key, cost, within, place: None };
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
    within: Option<Duration>,
    place: Option<Place<'a, C>>,
}

/// A place in the line of a key.
struct Place<'a, C: Clock> {
    owner: Owner<C>,
    source: Source,
    quota: Option<Quota>,
    ticket: Ticket,
    _counted: Counted<'a>,
}

/// One of those who wait.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let one_more = |waiting: usize| Some(waiting + 1).filter(|waiting| *waiting <= most);
        waiting.fetch_update(AcqRel, Acquire, one_more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

impl<K, C, S> Wait<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    /// Passes at once, or finds whom to wait at.
    fn start(&mut self, waker: &Waker) -> Result<Option<Taken>, AcquireKeyError> {
        let (shards, cost) = (self.shards, self.cost);
        let mut request = shards.request(self.key, cost);
        let until = deadline(self.within)(request.now);
        let (owner, source) = loop {
            match shards.ask(&mut request)? {
                Outcome::Passes(source) => {
                    let (at, quota) = (request.now, request.quota);
                    return Ok(Some(Taken { source, at, quota }));
                }
                Outcome::Owned(owner, source) => break (owner, source),
                Outcome::Refused(Refusal::Until(at), _) if at <= until => {
                    if let Some(owner) = shards.own(&request) {
                        break (owner, Source::Key);
                    }
                    // The cell has left the table: it is full.
                    request.now = shards.clock.now();
                }
                Outcome::Refused(refusal, left) => {
                    let error = refused(request.now, refusal, left, cost);
                    return Err(too_late(error, request.now, until).into());
                }
            }
        };
        let passes = self.join(&request, owner, source, until, waker);
        if !matches!(passes, Ok(None)) && source == Source::Key {
            shards.settle(&request);
        }
        passes
    }

    /// Gives up its place; the last one to do so puts the cell back into the table.
    fn leave(&mut self) {
        let Some(Place { owner, source, .. }) = self.place.take() else { return };
        drop(owner);
        // A second panic would be the end; who looks in passing puts it back then.
        if source == Source::Key && !std::thread::panicking() {
            self.shards.settle(&self.shards.request(self.key, self.cost));
        }
    }

    /// Joins the line at the owner of the key.
    fn join(
        &mut self,
        request: &Request<'_, K>,
        owner: Owner<C>,
        source: Source,
        until: u64,
        waker: &Waker,
    ) -> Result<Option<Taken>, AcquireKeyError> {
        let (shards, cost, quota) = (self.shards, self.cost, request.quota);
        let Some(counted) = Counted::new(&shards.waiting, shards.max_waiters) else {
            return match owner.try_take(cost) {
                Ok(at) => Ok(Some(Taken { source, at, quota })),
                Err(error) => Err(full(error, request.now, until, shards.max_waiters).into()),
            };
        };
        let ticket = Ticket::take(&owner, cost, |_| until, Some(waker))?;
        self.place = Some(Place { owner, source, quota, ticket, _counted: counted });
        Ok(None)
    }
}

impl<K, C, S> Future for Wait<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    type Output = Result<Taken, AcquireKeyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.place.is_none() {
            if let Some(taken) = this.start(cx.waker())? {
                return Poll::Ready(Ok(taken));
            }
        }
        let place = this.place.as_mut();
        let Place { owner, source, quota, ticket, .. } = place.expect("it waits, or has returned");
        let passes = ready!(ticket.poll(owner, cx));
        let (source, quota) = (*source, *quota);
        let taken = passes.map(|()| Taken { source, at: ticket.spend(), quota });
        this.leave();
        Poll::Ready(taken.map_err(AcquireKeyError::from))
    }
}

impl<K, C, S> Drop for Wait<'_, K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn drop(&mut self) {
        if let Some(place) = &mut self.place {
            place.ticket.cancel(&place.owner, self.cost);
            self.leave();
        }
    }
}

fn too_late(error: TryAcquireError, now: u64, until: u64) -> AcquireError {
    match error {
        TryAcquireError::Denied { retry_after, .. } => {
            AcquireError::TooLate { retry_after, allowed: time_between(now, until) }
        }
        TryAcquireError::Never { cost, possible, .. } => AcquireError::Never { cost, possible },
    }
}

fn full(error: TryAcquireError, now: u64, until: u64, waiting: usize) -> AcquireError {
    match error {
        TryAcquireError::Denied { retry_after, .. } if retry_after <= time_between(now, until) => {
            AcquireError::Full { waiting, retry_after }
        }
        error => too_late(error, now, until),
    }
}
