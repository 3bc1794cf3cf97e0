//! How often some work was polled, and how long that took.

use super::clock::Tick;
use crate::sync::unmodelled::{AtomicU32, Ordering};

/// How often work was polled since somebody [watches](super::Watch), how many ticks that took,
/// and when the last poll ended.
///
/// A poll that is over within a tick takes none, or one if the clock ticked meanwhile: about as
/// often as is right, so that many short polls add up to what they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) polls: u32,
    pub(crate) busy: u32,
    pub(crate) last: Tick,
}

/// The same, written by one and read by others.
#[derive(Debug, Default)]
pub(crate) struct SharedPolled {
    polls: AtomicU32,
    busy: AtomicU32,
    last: AtomicU32,
}

impl SharedPolled {
    /// Counts a poll that began at `began`, when somebody watched, and is over now. Most are
    /// over in the tick in which the one before was: one store is all they need.
    #[inline]
    pub(crate) fn count(&self, began: Tick) {
        let now = Tick::now();
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls.saturating_add(1), Ordering::Relaxed);
        if now.to_bits() != self.last.load(Ordering::Relaxed) || now != began {
            let busy = self.busy.load(Ordering::Relaxed).saturating_add(now.ticks_since(began));
            self.busy.store(busy, Ordering::Relaxed);
            self.last.store(now.to_bits(), Ordering::Relaxed);
        }
    }

    pub(crate) fn set(&self, polled: Polled) {
        self.polls.store(polled.polls, Ordering::Relaxed);
        self.busy.store(polled.busy, Ordering::Relaxed);
        self.last.store(polled.last.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Polled {
        Polled {
            polls: self.polls.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            last: Tick::from_bits(self.last.load(Ordering::Relaxed)),
        }
    }
}
