//! What can be decided and counted without the lock.

use super::{
    machine::{Admission, Machine},
    table::State,
    window::Window,
};
use tidegate_core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The tally is changed by the holder of the lock alone.
const SHUT: u64 = 1 << 63;
const EPOCH: u64 = 1 << 32;
const RUN: u64 = EPOCH - 1;

/// In front of a [`Machine`] behind a lock: the state for those who want to pass, and a tally of good results
/// since the lock was held last, for those that change nothing else.
///
/// Good results commute, and bad ones take the lock: so a machine that takes in the run of good ones first has
/// seen them all in an order that they could have come in. A run that fills a window of the last so many calls
/// makes it hold good ones only, and one more changes nothing: it is not even written.
///
/// | word | holds | is written |
/// |---|---|---|
/// | `word` | generation and state | with the lock, after `until` and while the tally is shut |
/// | `tally` | shut, epoch, run | by compare-and-swap while it is open, which fails if the lock was held since |
/// | `start` | when the slice has begun that the run belongs to | while the tally is shut |
/// | `until` | when the wait is over | before the word that says it is open |
#[derive(Debug)]
pub(crate) struct Gate {
    word: AtomicU64,
    tally: AtomicU64,
    start: AtomicU64,
    until: AtomicU64,
    /// A run of so many fills the window.
    full: Option<u32>,
    /// How long a slice is, in nanoseconds.
    width: Option<u64>,
}

/// What the gate says to a good result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is in the run.
    Counted,
    /// It changes nothing.
    Full,
    /// The state has changed since.
    Stale,
    /// The lock has to be held for it.
    Ask,
}

impl Gate {
    pub(crate) fn new(window: Window, machine: &Machine) -> Self {
        let gate = Self {
            word: AtomicU64::new(0),
            tally: AtomicU64::new(SHUT),
            start: AtomicU64::new(0),
            until: AtomicU64::new(0),
            full: window.capacity(),
            width: window.width(),
        };
        gate.publish(machine);
        gate
    }

    /// The state, as what a call would be let pass with.
    #[inline]
    pub(crate) fn look(&self) -> Admission {
        unpack(self.word.load(Acquire))
    }

    #[inline]
    pub(crate) fn is_current(&self, admission: &Admission) -> bool {
        self.word.load(Acquire) == pack(admission.generation, admission.state)
    }

    /// How long an open one stays so, as of one moment between two looks at the state; none, if that is not
    /// known.
    #[inline]
    pub(crate) fn wait(&self, open: &Admission, now: impl FnOnce() -> u64) -> Option<u64> {
        let until = self.until.load(Acquire);
        let wait = until.checked_sub(now()).filter(|wait| *wait > 0)?;
        self.is_current(open).then_some(wait)
    }

    /// Counts a good result, if that needs no lock. The time is asked for only where it matters.
    #[inline]
    pub(crate) fn good(&self, admission: &Admission, now: impl Fn() -> u64) -> Said {
        let mut tally = self.tally.load(Acquire);
        loop {
            // No generation comes again: it has been this one since the call was let pass.
            if !self.is_current(admission) {
                return Said::Stale;
            }
            if tally & SHUT != 0 || tally & RUN == RUN {
                return Said::Ask;
            }
            if self.full.is_some_and(|full| tally & RUN >= full.into()) {
                return Said::Full;
            }
            let is_in = |width| now().wrapping_sub(self.start.load(Acquire)) < width;
            if !self.width.is_none_or(is_in) {
                return Said::Ask;
            }
            match self.tally.compare_exchange_weak(tally, tally + 1, AcqRel, Acquire) {
                Ok(_) => return Said::Counted,
                Err(is) => tally = is,
            }
        }
    }

    /// Keeps others from counting, and takes the run. With the lock held, and until [`publish`](Self::publish).
    pub(crate) fn shut(&self) -> u64 {
        let was = self.tally.fetch_or(SHUT, AcqRel);
        if was & SHUT == 0 { was & RUN } else { 0 }
    }

    /// Shows what the machine has come to. With the lock held.
    pub(crate) fn publish(&self, machine: &Machine) {
        self.until.store(machine.until().unwrap_or(0), Release);
        self.start.store(machine.slice_start(), Release);
        self.word.store(pack(machine.generation(), machine.state()), Release);
        if machine.state().counts() {
            // Shut, it is this thread's.
            let epoch = self.tally.load(Relaxed) & !SHUT & !RUN;
            self.tally.store(epoch.wrapping_add(EPOCH) & !SHUT, Release);
        }
    }
}

fn pack(generation: u64, state: State) -> u64 {
    generation << 3 | state as u64
}

fn unpack(word: u64) -> Admission {
    // Three bits, of which seven numbers are used.
    let state = State::ALL[(word & 7) as usize % State::ALL.len()];
    Admission { generation: word >> 3, state, probe: None }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn states_and_generations_fit_a_word() {
        for state in State::ALL {
            let admission = unpack(pack(7, state));
            assert_eq!((admission.generation(), admission.state()), (7, state));
        }
    }
}
