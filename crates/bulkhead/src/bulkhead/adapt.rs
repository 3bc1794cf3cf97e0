//! The limit of a bulkhead that finds its capacity itself.

use crate::{Limit, LimitAlgorithm, Sample, clock::nanos, state::Count};
use std::time::Duration;
use tidegate_core::{
    panic::quietly,
    sync::{
        Mutex,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Release},
        },
        lock,
    },
};

/// A limit, and what it has said last.
#[derive(Debug)]
pub(super) struct Adapt {
    limit: Mutex<Timed>,
    /// Limits are told times since 1970, about, so that those of many clients have them in common.
    wall: Duration,
    /// Written with the lock held, so that the last to be written is the last that was said.
    said: AtomicU32,
    /// The most that may be asked for at once; no less than that.
    level: AtomicU32,
    /// When it may change by itself; `u64::MAX` if it does not.
    due: AtomicU64,
}

#[derive(Debug)]
struct Timed {
    limit: Box<dyn LimitAlgorithm>,
    /// When it was called last. Others read the clock before they have the lock, and one of them after
    /// another may come first.
    last: u64,
}

/// What is new by what the limit has heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    /// There may be more, or fewer.
    pub(super) is_changed: bool,
    /// From now on it may change by itself, which those who wait have to see to.
    pub(super) is_due: bool,
}

impl Adapt {
    /// None, if it cannot begin with that many.
    pub(super) fn start(limit: &dyn Limit, capacity: u32, wall: Duration) -> Option<Self> {
        let limit = limit.start(capacity).ok()?;
        let begins = limit.limit().clamp(1, Count::MAX);
        let [said, level] = [(); 2].map(|()| AtomicU32::new(begins));
        let due = AtomicU64::new(u64::MAX);
        Some(Self { said, level, due, wall, limit: Mutex::new(Timed { limit, last: 0 }) })
    }

    /// How many there may be by now.
    pub(super) fn said(&self) -> u32 {
        self.said.load(Acquire)
    }

    /// The most that may be asked for at once.
    pub(super) fn level(&self) -> u32 {
        self.level.load(Acquire).max(self.said())
    }

    /// When it may change by itself, if it may.
    pub(super) fn due(&self) -> Option<u64> {
        Some(self.due.load(Acquire)).filter(|due| *due < u64::MAX)
    }

    /// A call has ended.
    pub(super) fn sample(&self, now: u64, sample: Sample) -> News {
        self.hear(now, |limit, now| limit.sample(now, sample))
    }

    /// It was due.
    pub(super) fn tick(&self, now: u64) -> News {
        self.hear(now, |limit, now| limit.tick(now))
    }

    fn hear(&self, now: u64, act: impl FnOnce(&mut dyn LimitAlgorithm, Duration) -> u32) -> News {
        let mut timed = lock(&self.limit);
        let now = now.max(timed.last);
        timed.last = now;
        let (before, was_due) = ((self.said(), self.level()), self.due());
        let ((mut to, mut level), mut due) = (before, was_due);
        // A permit may come back by a panic, and a second one would be the end.
        quietly(|| {
            let now = self.wall.saturating_add(Duration::from_nanos(now));
            to = act(&mut *timed.limit, now);
            level = timed.limit.level();
            due = timed.limit.due().map(|due| nanos(due.saturating_sub(self.wall)));
        });
        // Whoever sees that it is no longer due sees what has become of it.
        self.level.store(level.clamp(1, Count::MAX), Release);
        self.said.store(to.clamp(1, Count::MAX), Release);
        self.due.store(due.unwrap_or(u64::MAX), Release);
        News {
            is_changed: (self.said(), self.level()) != before,
            is_due: due.is_some() && due != was_due,
        }
    }
}
