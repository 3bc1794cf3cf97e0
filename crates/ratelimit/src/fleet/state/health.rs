//! Whether the store is to be relied on, and who asks it when it was not.

use super::super::store::StoreError;
use std::time::Duration;
use tidegate_core::Backoff;

/// The delay of a backoff that has come to its end.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// Up, or down until somebody finds it up again.
///
/// | state | asked for a turn | an answer | a failure |
/// |---|---|---|---|
/// | up | the store | | down, the next probe after a delay |
/// | down, a probe is not due | without the store | up | later failures of what was asked before: nothing |
/// | down, a probe is due | the store, for one: it is the probe | up | the next probe after a longer delay |
///
/// One failure is enough: the delays begin short, and nobody is worse off with his share meanwhile. A probe
/// that comes to nothing, as nobody drives it any more, is given up after a time.
#[derive(Debug)]
pub(crate) struct Health {
    down: Option<Down>,
    delays: Delays,
    /// Goes up with each failure: who has heard nothing since tells the store what he knows.
    epoch: u64,
}

/// When one that is down is asked again.
#[derive(Clone, Debug)]
pub(crate) struct Delays {
    backoff: Backoff,
    /// A probe is given up after so many nanoseconds.
    patience: u64,
    /// How long it takes at most until all who go by this backoff have found the store again.
    settling: u64,
}

impl Delays {
    pub(crate) fn new(backoff: Backoff, patience: u64) -> Self {
        #[cfg(all(test, not(tidegate_loom)))]
        TRIED.set(TRIED.get() + 1);
        // It does not tell what it is at most, but shows it, which takes a while.
        let longest = backoff.clone().take(256).max().unwrap_or(DELAY_MAX);
        let settling = nanos(longest).saturating_add(patience);
        Self { backoff, patience, settling }
    }

    /// The same for one of many, which are not to be asked again together.
    pub(crate) fn of(&self, name: &str) -> Self {
        Self { backoff: self.backoff.fork(name), ..*self }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
thread_local! {
    /// How often a backoff was tried out on this thread.
    pub(crate) static TRIED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[derive(Debug)]
struct Down {
    /// When the next probe is due.
    retry_at: u64,
    /// Whose turn it was to probe, by the time of it.
    probe: Option<u64>,
    error: StoreError,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The store.
    Store,
    /// Nobody, before this time.
    Without { until: u64 },
}

impl Health {
    /// Up.
    pub(crate) fn new(delays: Delays) -> Self {
        Self { down: None, delays, epoch: 1 }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// What was wrong, while it is down, and when it is asked again.
    pub(crate) fn error(&self) -> Option<(u64, StoreError)> {
        self.down.as_ref().map(|down| (down.retry_at, down.error.clone()))
    }

    /// Whom to ask, without taking the turn of the probe.
    pub(crate) fn look(&self, now: u64) -> Turn {
        match &self.down {
            Some(down) if down.retry_at > now => Turn::Without { until: down.retry_at },
            _ => Turn::Store,
        }
    }

    /// Whom to ask; who is told to ask the store, does.
    pub(crate) fn take_turn(&mut self, now: u64) -> Turn {
        let turn = self.look(now);
        if let (Turn::Store, Some(down)) = (turn, &mut self.down) {
            down.retry_at = now.saturating_add(self.delays.patience);
            down.probe = Some(now);
        }
        turn
    }

    /// The store has answered. If it was down: until when others may not have found it again, and what
    /// was wrong, which is foreign code, to be dropped without a lock.
    pub(crate) fn answered(&mut self, now: u64) -> Option<(u64, StoreError)> {
        self.delays.backoff.reset();
        self.down.take().map(|down| (now.saturating_add(self.delays.settling), down.error))
    }

    /// The store has failed somebody whose turn was at `asked_at`; says whether it was up. And the error
    /// that is not kept: it is foreign code, to be dropped without a lock.
    pub(crate) fn failed(
        &mut self,
        now: u64,
        asked_at: u64,
        error: StoreError,
    ) -> (bool, Option<StoreError>) {
        self.epoch += 1;
        if self.down.as_ref().is_some_and(|down| down.probe != Some(asked_at)) {
            return (false, Some(error));
        }
        let delay = self.delays.backoff.next().unwrap_or(DELAY_MAX);
        let down = Down { retry_at: now.saturating_add(nanos(delay)), probe: None, error };
        let earlier = self.down.replace(down).map(|down| down.error);
        (earlier.is_none(), earlier)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
