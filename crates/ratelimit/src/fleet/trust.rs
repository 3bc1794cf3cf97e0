//! Whether the store is relied on: as a whole, and for each key by itself.

use super::{
    builder::Fallback,
    entry::State,
    inner::Inner,
    observe,
    state::{Health, Mode, PROBE, Turn},
    store::{Answer, Store, StoreError},
};
use crate::clock::Clock;
use std::time::Duration;
use tidegate_core::sync::{
    atomic::Ordering::{Acquire, Relaxed, Release},
    lock,
};

/// How long nobody is warned again of a key that the store refuses, in nanoseconds.
const QUIET: u64 = 10_000_000_000;

/// A key that the store has refused, and no other: it stands with it as the store with all does.
pub(super) struct Trouble {
    health: Health,
    /// Until then the share counts beside the store.
    settled_at: u64,
}

/// What the store has done.
pub(super) enum Done {
    Answered(Answer),
    /// It has refused the key.
    Refused(StoreError),
    Failed,
}

/// What has changed with a key. What is in it is foreign code, to be dropped without a lock.
pub(super) enum Change {
    Nothing,
    Refused { was_accepted: bool, _earlier: Option<StoreError> },
    Accepted { _earlier: Option<StoreError> },
    Forgotten { _trouble: Box<Trouble> },
}

impl<S: Store, C: Clock> Inner<S, C> {
    /// Whose decision it is, for a key that the store may have refused.
    pub(super) fn mode(&self, now: u64, trouble: Option<&Trouble>) -> Mode {
        let mode = if self.is_up.load(Acquire) {
            Mode::Store { settled_at: self.settled_at.load(Relaxed) }
        } else {
            self.judge(now, &lock(&self.health))
        };
        match (mode, trouble) {
            (Mode::Store { .. }, Some(trouble)) if trouble.health.is_down() => {
                self.judge(now, &trouble.health)
            }
            (Mode::Store { settled_at }, Some(trouble)) => {
                Mode::Store { settled_at: settled_at.max(trouble.settled_at) }
            }
            (mode, _) => mode,
        }
    }

    /// Whose decision it is, as the store stands with all keys or with one.
    fn judge(&self, now: u64, health: &Health) -> Mode {
        match (health.look(now), health.error()) {
            // Who probes keeps to its share, too, if there is one.
            (Turn::Store, _) | (_, None) if self.has_share() => Mode::Store { settled_at: PROBE },
            (Turn::Store, _) | (_, None) => Mode::STORE,
            (Turn::Without { until }, Some((_, error))) => match self.setup.fallback {
                Fallback::LocalShare { .. } => Mode::Local { until },
                Fallback::Closed => {
                    let retry_after = Duration::from_nanos(until.saturating_sub(now));
                    Mode::Closed { retry_after, error }
                }
                Fallback::Open => Mode::Open,
            },
        }
    }

    fn has_share(&self) -> bool {
        matches!(self.setup.fallback, Fallback::LocalShare { .. })
    }

    /// Whether the caller is to ask the store: while it is down, one at a time.
    pub(super) fn takes_turn(&self, now: u64, trouble: Option<&mut Box<Trouble>>) -> bool {
        let takes = self.is_up.load(Acquire) || lock(&self.health).take_turn(now) == Turn::Store;
        if let (true, Some(trouble)) = (takes, trouble) {
            // Nobody else takes that of the key: there is one exchange at a time.
            trouble.health.take_turn(now);
        }
        takes
    }

    /// Remembers whether the store can be relied on.
    pub(super) fn note(&self, done: Result<Answer, StoreError>, asked_at: u64) -> Done {
        match done {
            Ok(answer) => {
                self.is_back();
                Done::Answered(answer)
            }
            // It has answered.
            Err(error) if error.is_of_key() => {
                self.counts.key_errors.fetch_add(1, Relaxed);
                self.is_back();
                Done::Refused(error)
            }
            Err(error) => {
                self.counts.errors.fetch_add(1, Relaxed);
                self.is_down(&error, asked_at);
                Done::Failed
            }
        }
    }

    fn is_back(&self) {
        if self.is_up.load(Acquire) {
            return;
        }
        let now = self.clock.now();
        let mut health = lock(&self.health);
        let was_down = health.answered(now);
        if let Some((at, _)) = was_down.as_ref().filter(|_| self.has_share()) {
            self.settled_at.store(*at, Relaxed);
        }
        self.is_up.store(true, Release);
        drop(health);
        if was_down.is_some() {
            observe::recovered(&self.name);
        }
    }

    fn is_down(&self, error: &StoreError, asked_at: u64) {
        let now = self.clock.now();
        let mut health = lock(&self.health);
        let (was_up, earlier) = health.failed(now, asked_at, error.clone());
        self.is_up.store(false, Release);
        self.epoch.store(health.epoch(), Release);
        let retry_at = health.error().map_or(now, |(at, _)| at);
        drop(health);
        drop(earlier);
        if was_up {
            let retry_after = Duration::from_nanos(retry_at.saturating_sub(now));
            observe::degraded(&self.name, error, retry_after);
        }
    }

    /// The same for one key: what the store has done changes its account.
    pub(super) fn note_of_key(
        &self,
        key: &str,
        state: &mut State<C::Timer>,
        done: Done,
        (now, asked_at, epoch): (u64, u64, u64),
    ) -> Change {
        match done {
            Done::Answered(answer) => {
                state.account.answered(&state.terms.rules, now, answer, epoch);
                self.accepted(&mut state.trouble, now)
            }
            Done::Refused(error) => {
                state.account.refused();
                let health = || Health::new(self.delays.of(key));
                let new = || Box::new(Trouble { health: health(), settled_at: 0 });
                let trouble = state.trouble.get_or_insert_with(new);
                let (was_accepted, earlier) = trouble.health.failed(now, asked_at, error);
                Change::Refused { was_accepted, _earlier: earlier }
            }
            Done::Failed => {
                state.account.failed();
                Change::Nothing
            }
        }
    }

    fn accepted(&self, trouble: &mut Option<Box<Trouble>>, now: u64) -> Change {
        match trouble {
            None => Change::Nothing,
            Some(known) => match known.health.answered(now) {
                Some((settled_at, error)) => {
                    known.settled_at = if self.has_share() { settled_at } else { 0 };
                    Change::Accepted { _earlier: Some(error) }
                }
                None if known.settled_at > now => Change::Nothing,
                None => trouble
                    .take()
                    .map_or(Change::Nothing, |trouble| Change::Forgotten { _trouble: trouble }),
            },
        }
    }

    /// Tells of a change, without a lock.
    pub(super) fn tell(&self, key: &str, change: &Change, error: Option<&StoreError>, now: u64) {
        match (change, error) {
            (Change::Refused { was_accepted: true, .. }, Some(error)) => {
                let last = self.warned_at.load(Relaxed);
                let is_due = last == 0 || now.saturating_sub(last) >= QUIET;
                let warns = is_due
                    && self.warned_at.compare_exchange(last, now.max(1), Relaxed, Relaxed).is_ok();
                observe::refused(&self.name, key, error, warns);
            }
            (Change::Accepted { .. }, _) => observe::accepted(&self.name, key),
            _ => {}
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

    use super::super::{FleetLimiter, MemoryStore, state::TRIED};
    use crate::{Quota, Rate};

    /// To try it out takes hundreds of delays, and is done under the lock of the key.
    #[tokio::test(start_paused = true)]
    async fn a_backoff_is_tried_out_once_however_many_keys_are_refused() {
        let before = TRIED.get();
        let quota = Quota::new(Rate::per_day(1), 10);
        let limiter = FleetLimiter::builder(MemoryStore::new(1), quota).build().unwrap();
        for key in 0..20 {
            limiter.try_acquire(&key.to_string(), 1).await.unwrap();
        }
        assert_eq!((limiter.stats().key_errors, TRIED.get() - before), (19, 1));
    }
}
