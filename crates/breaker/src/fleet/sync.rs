//! What runs beside a breaker and keeps it and its fleet together.

use super::{
    state::{Ask, Basis, Mine, Stand},
    stats::FleetView,
    store::{Store, StoreError},
};
use crate::{
    breaker::{Event, Shared},
    clock::{Clock, TokioClock},
    state::{self, Part, Say, Tally, nanos},
};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::Duration,
};
use tidegate_core::{Backoff, Jitter};
use tokio::time::timeout;

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) hold: Duration,
}

impl Pace {
    /// How long a breaker waits for leave to probe, in nanoseconds.
    fn patience(&self) -> u64 {
        nanos(self.interval.saturating_add(self.timeout).saturating_mul(2))
    }
}

/// Tells a fleet how a breaker stands, and the breaker how its fleet does. It does all the I/O there is.
///
/// Dropped, the breaker goes on by itself.
#[must_use = "a breaker is shared while `run` runs"]
pub struct FleetSync<S: Store, C: Clock = TokioClock> {
    store: S,
    breaker: Weak<Shared<C>>,
    key: String,
    pace: Pace,
    view: FleetView,
    waits: Backoff,
    retries: Backoff,
    instance: u64,
    seq: u64,
    basis: Option<Basis>,
    rejected: u64,
    hold: u64,
    /// Of the settings.
    digest: u64,
    /// The generation of the breaker that the fleet knows of.
    synced: Option<u64>,
    /// It has heard of a change, before which its numbers were not taken.
    has_moved: bool,
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn micros(nanos: u64) -> u64 {
    nanos.div_ceil(1000)
}

impl<S: Store, C: Clock> FleetSync<S, C> {
    pub(super) fn new(
        store: S,
        shared: &Arc<Shared<C>>,
        key: String,
        pace: Pace,
        view: FleetView,
    ) -> Self {
        shared.share(pace.patience(), nanos(pace.interval));
        let hold = shared.window_length().unwrap_or(nanos(pace.hold));
        let retries = Backoff::exponential(pace.interval).max(pace.interval.saturating_mul(8));
        Self {
            store,
            breaker: Arc::downgrade(shared),
            key,
            pace,
            view,
            waits: Backoff::constant(pace.interval).jitter(Jitter::Equal),
            retries: retries.jitter(Jitter::Equal),
            instance: random(),
            seq: 0,
            basis: None,
            rejected: 0,
            hold,
            digest: shared.digest(hold),
            synced: None,
            has_moved: false,
        }
    }

    /// Keeps the breaker and its fleet together: asks the store at each interval, at once after a change of
    /// state, and less often while it does not answer. It ends when the breaker is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the breaker goes on by itself; run again, this goes on where it was. What the store was told it
    /// may be told again, which changes nothing. Tested by `cancel_run_at_every_await`.
    pub async fn run(&mut self) {
        let Some(mut changes) = self.breaker.upgrade().map(|breaker| breaker.subscribe()) else {
            return;
        };
        loop {
            let result = self.once().await;
            changes.borrow_and_update();
            let wait = match result {
                Ok(()) => {
                    self.retries.reset();
                    if self.is_behind() {
                        continue;
                    }
                    self.waits.next()
                }
                Err(_) => self.retries.next(),
            };
            let wait = wait.unwrap_or(self.pace.interval);
            if let Ok(Err(_)) = timeout(wait, changes.changed()).await {
                return;
            }
        }
    }

    /// Asks the store once. Without a breaker it does nothing.
    ///
    /// # Errors
    ///
    /// If the store has not answered; the breaker goes on by itself then.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run). Tested by `cancel_run_at_every_await`.
    pub async fn once(&mut self) -> Result<(), StoreError> {
        let Some((said, ask)) = self.ask() else { return Ok(()) };
        let exchange = self.store.exchange(&self.key, &ask);
        let answer = match timeout(self.pace.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Timeout(self.pace.timeout)),
        };
        let Some(breaker) = self.breaker.upgrade() else { return Ok(()) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                breaker.share(0, nanos(self.pace.interval));
                if self.view.failed(&error) {
                    breaker.tell_fleet(&Event::FleetLost);
                }
                return Err(error);
            }
        };
        breaker.share(self.pace.patience(), nanos(self.pace.interval));
        let basis = answer.stand.map(|(basis, _)| basis);
        self.has_moved = basis != self.basis;
        self.basis = basis;
        let part =
            |(left, tally): &(u64, Tally)| Part { left: left.saturating_mul(1000), tally: *tally };
        let others: Vec<_> = answer.others.iter().map(part).collect();
        if let Some((_, stand)) = answer.stand {
            breaker.hear(&said, stand.into(), &others);
        }
        self.synced = Some(said.generation).filter(|known| *known == breaker.generation());
        for news in self.view.answered(breaker.clock().now(), &answer).into_iter().flatten() {
            breaker.tell_fleet(&news);
        }
        Ok(())
    }

    fn ask(&mut self) -> Option<(Say, Ask)> {
        let breaker = self.breaker.upgrade()?;
        let rejected = breaker.rejected();
        let is_wanted = std::mem::replace(&mut self.rejected, rejected) != rejected;
        let said = breaker.say(self.hold, is_wanted);
        self.seq += 1;
        let ask = Ask {
            instance: self.instance,
            seq: self.seq,
            fresh: random(),
            basis: self.basis,
            mine: said.mine.into(),
            hold: micros(self.hold),
            digest: self.digest,
            parts: said.parts.iter().map(|part| (micros(part.left), part.tally)).collect(),
        };
        Some((said, ask))
    }

    /// Whether there is something to tell that the last answer did not know of.
    fn is_behind(&mut self) -> bool {
        let generation = self.breaker.upgrade().map(|breaker| breaker.generation());
        std::mem::take(&mut self.has_moved) || generation.is_some() && generation != self.synced
    }
}

/// Another one can be made of the breaker.
impl<S: Store, C: Clock> Drop for FleetSync<S, C> {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.upgrade() {
            breaker.leave();
        }
    }
}

impl From<state::Mine> for Mine {
    fn from(mine: state::Mine) -> Self {
        match mine {
            state::Mine::Watching => Self::Watching,
            state::Mine::Closed => Self::Closed,
            state::Mine::Reset => Self::Reset,
            state::Mine::Open { left } => Self::Open { left: micros(left) },
            state::Mine::Probing { lease, asks } => Self::Probing { lease: micros(lease), asks },
        }
    }
}

impl From<Stand> for state::Stand {
    fn from(stand: Stand) -> Self {
        let nanos = |left: u64| left.saturating_mul(1000);
        match stand {
            Stand::Closed => Self::Closed,
            Stand::Open { left } => Self::Open { left: nanos(left) },
            Stand::Probing { left, is_mine } => Self::Probing { left: nanos(left), is_mine },
        }
    }
}

impl<S: Store, C: Clock> fmt::Debug for FleetSync<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, pace, .. } = self;
        f.debug_struct("FleetSync").field("key", key).field("pace", pace).finish_non_exhaustive()
    }
}
