//! What a breaker says to its fleet, and what follows from what it hears.

use super::{
    far::{Far, Part},
    machine::{Machine, Note},
    table::{Cause, State},
    tally::Tally,
};

/// How a breaker stands, to its fleet. Times are nanoseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mine {
    /// Somebody has told it what to do: it neither proposes nor follows.
    Watching,
    Closed,
    /// Closed by somebody who was told that it is open.
    Reset,
    Open {
        left: u64,
    },
    /// Half-open, or it would be if it had leave, for which it asks.
    Probing {
        lease: u64,
        asks: bool,
    },
}

/// How the fleet stands. Times are nanoseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    Closed,
    Open { left: u64 },
    Probing { left: u64, is_mine: bool },
}

/// What a breaker says.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    /// When, and in which generation.
    pub(crate) at: u64,
    pub(crate) generation: u64,
    pub(crate) mine: Mine,
    pub(crate) parts: Vec<Part>,
}

impl Machine {
    /// Somebody keeps it and a fleet together from now on; whether nobody did before.
    pub(crate) fn join(&mut self) -> bool {
        !self.far.set_shared()
    }

    /// Nobody does any more: it goes on by itself, and waits for nobody's leave.
    pub(crate) fn leave(&mut self) {
        self.far = Far::default();
    }

    /// What it goes by, in words that are the same for the same settings.
    pub(crate) fn settings(&self) -> String {
        let mut wait = self.backoff.clone().seed(0);
        wait.reset();
        let waits: Vec<_> = wait.take(8).collect();
        format!("{:?} {waits:?}", self.rules)
    }

    /// It is one of a fleet: once it may probe, it waits so long for leave to.
    pub(crate) fn share(&mut self, patience: u64, recheck: u64) {
        self.far.share(patience, recheck);
    }

    /// What the fleet is to know. Results of a window that time does not matter to count for `hold`.
    pub(crate) fn say(&mut self, now: u64, hold: u64, is_wanted: bool) -> Say {
        let now = self.at(now);
        let lease = self.rules.lease;
        let mine = match self.state {
            State::Closed if self.far.is_reset() => Mine::Reset,
            State::Closed => Mine::Closed,
            State::Open if is_wanted && self.until <= now => Mine::Probing { lease, asks: true },
            State::Open => Mine::Open { left: self.until.saturating_sub(now) },
            State::HalfOpen => Mine::Probing { lease, asks: false },
            _ => Mine::Watching,
        };
        self.ring.advance(now);
        let parts = if self.state.counts() { self.ring.parts(now, hold) } else { Vec::new() };
        Say { at: now, generation: self.generation, mine, parts }
    }

    /// Follows the fleet, unless the state has changed since it said what was answered.
    pub(crate) fn hear(
        &mut self,
        now: u64,
        said: &Say,
        stand: Stand,
        others: &[Part],
    ) -> Option<Note> {
        let now = self.at(now);
        if said.generation != self.generation {
            return None;
        }
        match (self.state, stand) {
            (State::Closed | State::MetricsOnly, Stand::Closed) => {
                self.far.set_reset(false);
                self.count_others(now, others)
            }
            // Somebody has closed it, and the fleet does not know yet.
            (State::Closed, _) if self.far.is_reset() => None,
            (State::Closed, Stand::Open { left }) => Some(self.open_with(now, left)),
            (State::HalfOpen, Stand::Open { left }) if left > 0 => Some(self.open_with(now, left)),
            (State::Closed | State::HalfOpen, Stand::Probing { left, is_mine: false }) => {
                let note = self.open_with(now, 0);
                self.far.others_probe(now.saturating_add(left));
                Some(note)
            }
            (State::Open | State::HalfOpen, Stand::Closed) => {
                Some(self.go(now, Cause::FleetClosed, Tally::default()))
            }
            (State::Open, Stand::Open { left }) => {
                self.far.nobody_probes();
                if left > 0 || self.until > now {
                    self.until = now.saturating_add(left);
                }
                None
            }
            (State::Open, Stand::Probing { left, is_mine }) => {
                self.until = self.until.min(now);
                let until = now.saturating_add(left);
                if is_mine {
                    // It began after this was said: no later than for the store it ends here.
                    self.far.may_probe(said.at.saturating_add(left));
                } else {
                    self.far.others_probe(until);
                }
                None
            }
            _ => None,
        }
    }

    fn open_with(&mut self, now: u64, left: u64) -> Note {
        let mut note = self.go(now, Cause::FleetOpened, Tally::default());
        self.until = now.saturating_add(left);
        if let Note::Changed(change) = &mut note {
            change.wait = Some(std::time::Duration::from_nanos(left));
        }
        note
    }

    /// Looks at the rules if others have seen something bad that they had not.
    fn count_others(&mut self, now: u64, others: &[Part]) -> Option<Note> {
        let before = self.far.total(now);
        self.far.hear(now, others);
        let after = self.far.total(now);
        let is_worse = after.failures > before.failures || after.slow > before.slow;
        if is_worse { self.judge(now) } else { None }
    }
}
