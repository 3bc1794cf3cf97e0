//! What can be decided and counted without the lock.

use super::{
    machine::{Admission, Machine},
    probes::Id,
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
/// | `word` | generation and state, or that nobody knows | with the lock, after `until` and while the tally is shut |
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

/// A generation and its state, or that it may be about to change. The number of the state says what matters to most calls by a bit: so it is
/// neither taken apart for them nor compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    const BITS: u32 = 3;
    /// No state has this number.
    const BUSY: u64 = 7;

    fn new(generation: u64, state: State) -> Self {
        Self(generation << Self::BITS | state as u64)
    }

    pub(crate) fn of(admission: &Admission) -> Self {
        Self::new(admission.generation, admission.state)
    }

    /// Whether all calls pass, and nothing changes by that.
    #[inline]
    pub(crate) fn lets_all_pass(self) -> bool {
        self.0 & 4 == 0
    }

    /// Whether results go into the window.
    #[inline]
    pub(crate) fn counts(self) -> bool {
        self.0 & 6 == 0
    }

    /// The state; none, if it may be about to change, and the lock has to be asked.
    pub(crate) fn state(self) -> Option<State> {
        match self.0 & Self::BUSY {
            0 => Some(State::Closed),
            1 => Some(State::MetricsOnly),
            2 => Some(State::ForcedClosed),
            3 => Some(State::Disabled),
            4 => Some(State::Open),
            5 => Some(State::HalfOpen),
            6 => Some(State::ForcedOpen),
            _ => None,
        }
    }

    /// What a call was let pass with.
    pub(crate) fn admission(self, probe: Option<Id>) -> Admission {
        let state = self.state().expect("nothing is let pass by a state that nobody knows");
        Admission { generation: self.0 >> Self::BITS, state, probe }
    }

    /// Whether what was let pass by this is of that state; none, if nobody knows.
    #[inline]
    pub(crate) fn is_still(self, now: Self) -> Option<bool> {
        if now == self { Some(true) } else { now.state().map(|_| false) }
    }
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

    /// How many results the window has, and how long a slice of it is.
    pub(crate) fn window(&self) -> (Option<u32>, Option<u64>) {
        (self.full, self.width)
    }

    /// The state.
    #[inline]
    pub(crate) fn look(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// How long an open one stays so, as of one moment between two looks at the state; none, if that is not
    /// known.
    #[inline]
    pub(crate) fn wait(&self, open: Word, now: impl FnOnce() -> u64) -> Option<u64> {
        let until = self.until.load(Acquire);
        let wait = until.checked_sub(now()).filter(|wait| *wait > 0)?;
        (self.look() == open).then_some(wait)
    }

    /// Counts a good result, if that needs no lock. The time is asked for only where it matters.
    #[inline]
    pub(crate) fn good(&self, entered: Word, now: impl Fn() -> u64) -> Said {
        let mut tally = self.tally.load(Acquire);
        loop {
            // No generation comes again: it has been this one since the call was let pass.
            match entered.is_still(self.look()) {
                Some(true) => {}
                Some(false) => return Said::Stale,
                None => return Said::Ask,
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

    /// Keeps others from the state, which may be about to change: what they saw of it after the clock was read
    /// for the change, and before it is shown, would be neither before nor after it. With the lock held, and
    /// until [`publish`](Self::publish).
    pub(crate) fn hide(&self) {
        self.word.fetch_or(Word::BUSY, AcqRel);
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
        self.word.store(Word::new(machine.generation(), machine.state()).0, Release);
        if machine.state().counts() {
            // Shut, it is this thread's.
            let epoch = self.tally.load(Relaxed) & !SHUT & !RUN;
            self.tally.store(epoch.wrapping_add(EPOCH) & !SHUT, Release);
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::{
        super::{
            rules::{Settings, Trip},
            table::Cause,
            tally::Sample,
        },
        *,
    };

    #[test]
    fn states_and_generations_fit_a_word() {
        for state in State::ALL {
            let word = Word::new(7, state);
            let admission = word.admission(None);
            assert_eq!((admission.generation(), admission.state()), (7, state));
            assert_eq!((Word::of(&admission), word.state()), (word, Some(state)));
            let hidden = Word(word.0 | Word::BUSY);
            assert!(hidden.state().is_none() && !hidden.lets_all_pass() && !hidden.counts());
            assert_eq!(word.counts(), state.counts());
            let mut machine =
                Machine::new(&Settings::new().trip(Trip::consecutive_failures(1))).unwrap();
            go_to(&mut machine, state);
            assert_eq!(machine.state(), state);
            let before = machine.generation();
            let passes =
                (0..9).all(|_| machine.enter(0).0.is_ok()) && machine.generation() == before;
            assert_eq!(word.lets_all_pass(), passes, "{state}");
        }
    }

    fn go_to(machine: &mut Machine, state: State) {
        let told = match state {
            State::ForcedOpen => Cause::ForceOpen,
            State::ForcedClosed => Cause::ForceClosed,
            State::MetricsOnly => Cause::MetricsOnly,
            State::Disabled => Cause::Disable,
            _ => Cause::Reset,
        };
        machine.told(0, told);
        if matches!(state, State::Open | State::HalfOpen) {
            let call = machine.enter(0).0.expect("it is closed");
            machine.record(0, call, Some(Sample { failed: true, slow: false }));
        }
        if state == State::HalfOpen {
            let _ = machine.enter(1 << 50);
        }
    }
}
