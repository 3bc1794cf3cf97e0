//! A place in the line of a key, and what it costs.

use super::{
    error::AcquireKeyError,
    request::{Outcome, Request, Source, Taken, refused},
    shards::{Owner, Shards},
};
use crate::{
    AcquireError, Quota, TryAcquireError,
    clock::Clock,
    limiter::{Bound, Ticket, deadline, time_between},
    state::Refusal,
};
use std::{
    fmt,
    hash::{BuildHasher, Hash},
    mem::replace,
    ops::ControlFlow,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tidegate_core::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

/// What a [`KeyedAcquire`](super::KeyedAcquire) or a [`KeyedReservation`](super::KeyedReservation) holds of
/// the limiter.
///
/// | state | tokens | owner of the key | dropped |
/// |---|---|---|---|
/// | waits | none | kept | leaves the line, and the owner |
/// | passes | taken | left | gives them back |
/// | fails | none | left | |
/// | done | spent | left | |
pub(super) enum Claim<C: Clock> {
    Waits(Place<C>),
    Passes(Taken),
    Fails(AcquireError),
    Done,
}

/// A place in the line of a key.
pub(super) struct Place<C: Clock> {
    owner: Owner<C>,
    source: Source,
    quota: Option<Quota>,
    ticket: Ticket,
    counted: Counted,
}

/// One of those who wait.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |waiting: usize| Some(waiting + 1).filter(|waiting| *waiting <= most);
        waiting.fetch_update(AcqRel, Acquire, one_more).ok().map(|_| Self(Arc::clone(waiting)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

impl<C: Clock> Claim<C> {
    /// Passes at once, or joins the line of the key.
    pub(super) fn take<K: Hash + Eq + Clone, S: BuildHasher>(
        shards: &Shards<K, C, S>,
        key: &K,
        cost: u64,
        bound: Bound,
        waker: Option<&Waker>,
    ) -> Result<Self, AcquireKeyError> {
        let mut request = match shards.take_plainly(key, cost) {
            ControlFlow::Break(taken) => return Ok(Self::Passes(taken)),
            ControlFlow::Continue(request) => request,
        };
        let until = deadline(bound.left())(request.now);
        let (owner, source) = loop {
            match shards.ask(&mut request)? {
                Outcome::Passes(source) => {
                    let (at, quota) = (request.now, request.quota);
                    return Ok(Self::Passes(Taken { source, at, quota }));
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
        let claim = Self::join(shards, &request, owner, source, until, waker);
        if !matches!(claim, Ok(Self::Waits(_))) && source == Source::Key {
            shards.settle(&request);
        }
        claim
    }

    /// Joins the line at the owner of the key.
    fn join<K, S>(
        shards: &Shards<K, C, S>,
        request: &Request<'_, K>,
        owner: Owner<C>,
        source: Source,
        until: u64,
        waker: Option<&Waker>,
    ) -> Result<Self, AcquireKeyError> {
        let Request { cost, quota, now, .. } = *request;
        let Some(counted) = Counted::new(&shards.waiting, shards.max_waiters) else {
            return match owner.try_take(cost) {
                Ok(at) => Ok(Self::Passes(Taken { source, at, quota })),
                Err(error) => Err(full(error, now, until, shards.max_waiters).into()),
            };
        };
        let mut ticket = Ticket::take(&owner, cost, |_| until, waker)?;
        if ticket.passes() {
            return Ok(Self::Passes(Taken { source, at: ticket.spend(), quota }));
        }
        Ok(Self::Waits(Place { owner, source, quota, ticket, counted }))
    }

    /// Whether it passes now; if not, the waker is woken when it does.
    pub(super) fn poll<K: Hash + Eq + Clone, S: BuildHasher>(
        &mut self,
        shards: &Shards<K, C, S>,
        key: &K,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), AcquireKeyError>> {
        if let Self::Waits(place) = self {
            let passes = ready!(place.ticket.poll(&place.owner, cx));
            self.end(shards, key, passes);
        }
        Poll::Ready(match *self {
            Self::Fails(error) => Err(error.into()),
            _ => Ok(()),
        })
    }

    /// Whether it passes now.
    pub(super) fn is_ready<K: Hash + Eq + Clone, S: BuildHasher>(
        &mut self,
        shards: &Shards<K, C, S>,
        key: &K,
    ) -> bool {
        if let Self::Waits(place) = self {
            if let Some(passes) = place.ticket.outcome(&place.owner) {
                self.end(shards, key, passes);
            }
        }
        matches!(self, Self::Passes(_))
    }

    /// After which time it passes, if nothing changes.
    pub(super) fn delay(&self) -> Duration {
        match self {
            Self::Waits(place) => place.ticket.delay(&place.owner),
            _ => Duration::ZERO,
        }
    }

    /// The tokens are spent; says what was taken.
    pub(super) fn spend(&mut self) -> Taken {
        // In all builds: a future that is polled once more after it was ready would make tokens.
        let Self::Passes(taken) = *self else { panic!("only what was taken can be spent") };
        *self = Self::Done;
        taken
    }

    /// Leaves the line, or gives the tokens back.
    pub(super) fn cancel<K: Hash + Eq + Clone, S: BuildHasher>(
        &mut self,
        shards: &Shards<K, C, S>,
        key: &K,
        cost: u64,
    ) {
        match replace(self, Self::Done) {
            Self::Waits(mut place) => {
                place.ticket.cancel(&place.owner, cost);
                place.leave(shards, key);
            }
            Self::Passes(taken) => shards.give_back(key, cost, taken),
            Self::Fails(_) | Self::Done => {}
        }
    }

    /// It waits no longer. What it has is its own before the key is looked up, which may panic.
    fn end<K: Hash + Eq + Clone, S: BuildHasher>(
        &mut self,
        shards: &Shards<K, C, S>,
        key: &K,
        passes: Result<(), AcquireError>,
    ) {
        let Self::Waits(mut place) = replace(self, Self::Done) else { return };
        *self = match passes {
            Ok(()) => {
                let (source, quota) = (place.source, place.quota);
                Self::Passes(Taken { source, at: place.ticket.spend(), quota })
            }
            Err(error) => Self::Fails(error),
        };
        place.leave(shards, key);
    }
}

impl<C: Clock> Place<C> {
    /// Is given up; the last one of a key puts its cell back into the table.
    fn leave<K: Hash + Eq + Clone, S: BuildHasher>(self, shards: &Shards<K, C, S>, key: &K) {
        let Self { owner, source, quota, ticket: _, counted } = self;
        drop((owner, counted));
        // A second panic would be the end; who looks in passing puts it back then.
        if source == Source::Key && !std::thread::panicking() {
            shards.settle(&shards.request_of(key, 0, quota, shards.clock.now()));
        }
    }
}

impl<C: Clock> fmt::Debug for Claim<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits(place) => place.ticket.fmt(f),
            Self::Passes(taken) => f.debug_tuple("Passes").field(&taken.at).finish(),
            Self::Fails(error) => f.debug_tuple("Fails").field(error).finish(),
            Self::Done => f.write_str("Done"),
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
