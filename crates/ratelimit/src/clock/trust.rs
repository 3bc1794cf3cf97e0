//! Whether a counter keeps up with the clock of the system. Nothing here reads a clock: readings come in.

use tidegate_core::sync::{
    Mutex,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    lock,
};

/// A counter that has gone on by so much is compared again.
pub(super) const SPAN: u64 = 1_000_000;

/// How far it may be off, whatever the time: more than two processors disagree by.
pub(super) const SLACK: u64 = 200_000;

/// One part in so many of the time may be added to that. Half of it is what a clock of the system may be
/// slewed by itself (500 ppm, `adjtimex(2)`), and with the slack it is less than a thousandth.
pub(super) const PARTS: u64 = 1_400;

/// After such a time a reading is compared with a later one than the first: what was right for a year may
/// not be wrong for hours thereafter.
const LONG: u64 = 1_000_000_000;

/// Neither a time, nor less than a span below one that a counter comes to in 290 years.
const LOST: u64 = 1 << 63;

/// A counter that was read between two readings of the clock of the system, in nanoseconds.
///
/// The thread may have been stopped between any of them: only the order is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) before: u64,
    pub(super) counter: u64,
    pub(super) after: u64,
}

impl Reading {
    /// The reading that tells most.
    pub(super) fn best(readings: impl IntoIterator<Item = Self>) -> Option<Self> {
        readings.into_iter().min_by_key(Self::width)
    }

    fn width(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }

    /// Whether a counter that shows the right time could have been read so after `first` was.
    fn follows(&self, first: &Self) -> bool {
        let least = i128::from(self.before.saturating_sub(first.after));
        let most = i128::from(self.after.saturating_sub(first.before));
        let margin = i128::from(SLACK) + most / i128::from(PARTS);
        let counted = i128::from(self.counter) - i128::from(first.counter);
        (least - margin..=most + margin).contains(&counted)
    }
}

/// Lets a counter tell the time for as long as it agrees with the clock of the system, and that clock from
/// then on.
///
/// | the counter | then | the time is |
/// |---|---|---|
/// | is less than a [`SPAN`] above where it was compared last | | the counter |
/// | is not, and agrees | it is where it was compared last | the counter |
/// | is not, and disagrees | it is not looked at any more | that of the system |
///
/// So one that is fast is ahead by a span and the slack at most when this is noticed. The time then stands
/// still until that of the system has come up to it.
#[derive(Debug)]
pub(super) struct Gate {
    /// Where the counter was compared last, or [`LOST`].
    floor: AtomicU64,
    /// Once the counter is lost: no later time was told before, and what time it was for the system when.
    told: AtomicU64,
    time: AtomicU64,
    system: AtomicU64,
    anchor: Mutex<Reading>,
}

impl Gate {
    /// Trusts the counter from this reading on.
    pub(super) fn new(first: Reading) -> Self {
        Self {
            floor: AtomicU64::new(first.counter),
            told: AtomicU64::new(0),
            time: AtomicU64::new(0),
            system: AtomicU64::new(0),
            anchor: Mutex::new(first),
        }
    }

    /// Whether the counter tells the time without a further look.
    #[inline]
    pub(super) fn passes(&self, counter: u64) -> bool {
        counter.wrapping_sub(self.floor.load(Acquire)) < SPAN
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.floor.load(Acquire) != LOST
    }

    /// The time, by that of the system; none, if the counter is still trusted.
    pub(super) fn time_without(&self, system: impl FnOnce() -> u64) -> Option<u64> {
        if self.is_trusted() {
            return None;
        }
        let since = system().saturating_sub(self.system.load(Relaxed));
        Some(self.time.load(Relaxed).saturating_add(since).max(self.told.load(Relaxed)))
    }

    /// Compares the counter: the time, or none if this is where it was lost.
    pub(super) fn compare(&self, read: impl FnOnce() -> Reading) -> Option<u64> {
        let mut anchor = lock(&self.anchor);
        // Read by one at a time, or the readings were not in order.
        let reading = read();
        let floor = self.floor.load(Relaxed);
        if floor == LOST {
            return self.time_without(|| reading.after);
        }
        if !reading.follows(&anchor) {
            self.told.store(floor.saturating_add(SPAN), Relaxed);
            self.time.store(anchor.counter, Relaxed);
            self.system.store(anchor.before, Relaxed);
            self.floor.store(LOST, Release);
            return None;
        }
        if reading.before.saturating_sub(anchor.after) >= LONG && reading.width() <= SLACK / 2 {
            *anchor = reading;
        }
        let time = reading.counter.max(floor);
        self.floor.store(time, Release);
        Some(time)
    }
}

#[cfg(test)]
mod tests;
