//! What the handles of a bulkhead share: the word for the plain case, and the state behind a lock for all
//! others.

use super::{
    adapt::{Adapt, News},
    event::{Event, Observer},
    holders::Holders,
    locked::Locked,
    stats::Stats,
};
use crate::{
    Outcome, Sample, TryAcquireError,
    clock::{Clock, since},
    state::{Count, Rules, Taken, Word, adaptive::AnyLimit, time_of},
};
use std::time::Duration;
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{Arc, Mutex, lock},
};
use tokio::time::Instant;

/// What is the same for all bulkheads of a family: one, or one for each key.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) name: Name,
    pub(super) clock: Clock,
    pub(crate) resource: Resource,
    pub(super) observer: Observer,
    pub(super) max_wait: Option<Duration>,
    pub(super) holders: Option<Holders>,
    pub(crate) limit: Option<AnyLimit>,
    pub(super) rules: Rules,
}

/// One bulkhead, whatever the number of its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    word: Word,
    state: Mutex<Locked>,
    /// Whether an entry is made for each permit, of who holds it, or since when.
    pub(super) keeps_account: bool,
    pub(super) adapt: Option<Adapt>,
    pub(super) face: Arc<Face>,
}

impl Shared {
    pub(super) fn new(face: Arc<Face>, capacity: u32) -> Self {
        // A key may have a capacity that is none for the limit.
        let wall = face.clock.wall();
        let limit = face.limit.as_deref();
        let adapt = limit.and_then(|limit| Adapt::start(limit, capacity, wall));
        let capacity = adapt.as_ref().map_or(capacity, Adapt::said);
        // It is the word that knows the count.
        let word = Word::open(Count::new(capacity));
        let rules = Rules { capacity, ..face.rules.clone() };
        let state = Mutex::new(Locked::new(&rules, face.observer.wants()));
        Self { word, state, keeps_account: face.holders.is_some() || adapt.is_some(), adapt, face }
    }

    /// The entry of a permit, from 1 on: that of who holds it, or, if no account is kept of that, the time.
    #[cold]
    pub(super) fn enter(&self) -> u32 {
        let Some(holders) = &self.face.holders else { return self.face.clock.stamp() };
        let key = holders.enter(self.face.clock, &self.face.resource);
        // Of more holders than that none is known by name.
        u32::try_from(key).ok().and_then(|key| key.checked_add(1)).unwrap_or(0)
    }

    /// The entry of a permit that is used from now on, and was held for that before.
    pub(super) fn begins(&self, entry: u32) -> u32 {
        let Some(holders) = &self.face.holders else { return self.face.clock.stamp() };
        if let (Some(key), true) = (key_of(entry), self.adapt.is_some()) {
            holders.begins(key, self.face.clock);
        }
        entry
    }

    /// Who held a permit holds it no longer.
    pub(super) fn leave(&self, entry: u32) {
        if let (Some(holders), Some(key)) = (&self.face.holders, key_of(entry)) {
            holders.leave(key);
        }
    }

    /// What has become of what a permit is for, while it is held.
    pub(super) fn ended(&self, entry: u32, outcome: Outcome) {
        let Some(adapt) = &self.adapt else { return };
        let now = self.face.clock.now();
        let latency = match &self.face.holders {
            None => since(now, entry),
            Some(holders) => match key_of(entry).and_then(|key| holders.tell(key)) {
                Some(since) => now.saturating_sub(since),
                None => return,
            },
        };
        let in_flight = self.count().in_use;
        let sample = Sample { latency: Duration::from_nanos(latency), in_flight, outcome };
        self.follow(adapt, adapt.sample(now, sample));
    }

    /// What the limit has said becomes so.
    fn follow(&self, adapt: &Adapt, news: News) {
        if news.is_changed || news.is_due {
            // Another one may have changed it meanwhile, and may have come here first.
            self.with(|state, now| state.adapt(now, adapt.said(), adapt.level(), news.is_due));
        }
    }

    /// When somebody has to call [`tick`](Self::tick), if anybody waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.face.clock.moment(self.adapt.as_ref()?.due()?)
    }

    /// Lets the limit change by itself if it is time; for who finds no room.
    pub(super) fn tick(&self) {
        let Some(adapt) = &self.adapt else { return };
        if let Some(due) = adapt.due() {
            let now = self.face.clock.now();
            if now >= due {
                self.follow(adapt, adapt.tick(now));
            }
        }
    }

    /// Takes `weight` permits, if the word alone can say so.
    #[inline]
    pub(super) fn try_take_fast(&self, weight: u32) -> bool {
        self.word.take(weight) == Taken::Yes
    }

    /// Takes `weight` permits, or none.
    #[inline]
    pub(super) fn try_take(&self, weight: u32) -> Result<(), TryAcquireError> {
        match self.word.take(weight) {
            Taken::Yes => Ok(()),
            other => self.try_take_slowly(other, weight),
        }
    }

    /// Kept apart, so that the plain case becomes part of whoever asks.
    #[cold]
    #[inline(never)]
    fn try_take_slowly(&self, said: Taken, weight: u32) -> Result<(), TryAcquireError> {
        self.tick();
        let said = if self.adapt.is_some() { self.word.take(weight) } else { said };
        let result = match said {
            Taken::Yes => Ok(()),
            Taken::Not(count) => Err(self.full(count, weight)),
            Taken::Ask => self.with(|state, _| state.queue.try_take(weight)),
        };
        result.inspect_err(|error| {
            if self.face.observer.wants() {
                let retry_after = error.retry_after();
                self.tell(&Event::Rejected { weight, retry_after });
            }
        })
    }

    fn full(&self, count: Count, weight: u32) -> TryAcquireError {
        let Count { capacity, in_use } = count;
        let most = self.adapt.as_ref().map_or(capacity, |adapt| adapt.level().max(capacity));
        if weight > most {
            return TryAcquireError::TooLarge { weight, capacity: most };
        }
        let missing = u64::from(weight - count.free());
        let hold = self.face.rules.typical_hold;
        let retry_after = hold.map(|hold| Duration::from_nanos(time_of(hold, missing, capacity)));
        TryAcquireError::Full { in_use, capacity, waiting: 0, retry_after }
    }

    /// Gives permits back.
    #[inline]
    pub(super) fn give_back(&self, weight: u32) {
        if !self.word.give_back(weight) {
            self.give_back_slowly(weight);
        }
    }

    #[cold]
    #[inline(never)]
    fn give_back_slowly(&self, weight: u32) {
        self.with(|state, now| state.queue.came_back(now, weight));
    }

    pub(crate) fn stats(&self) -> Stats {
        self.with(|state, _| state.stats())
    }

    /// What the count is, without the lock.
    pub(super) fn count(&self) -> Count {
        self.word.count()
    }

    pub(super) fn tell(&self, event: &Event) {
        self.face.observer.tell(&self.face.name, event);
    }

    /// Looks at the state, and changes it, with the word closed. Those who are concerned are woken and told
    /// once the lock is released.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Locked, u64) -> R) -> R {
        let mut state = lock(&self.state);
        // Who gives something back from now on looks for who can enter by it, once the lock is released.
        let closed = self.word.close();
        state.queue.set_count(closed.count);
        let now = self.face.clock.now();
        let result = act(&mut state, now);
        let mut left = state.take_left();
        self.word.set(closed, state.queue.count(), state.is_plain());
        drop(state);
        left.wake_all();
        for event in &left.events {
            self.tell(event);
        }
        result
    }
}

/// The key of who holds a permit.
fn key_of(entry: u32) -> Option<usize> {
    usize::try_from(entry).ok()?.checked_sub(1)
}
