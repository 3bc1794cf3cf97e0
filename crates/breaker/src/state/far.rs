//! What others of a fleet have said, until it expires.

use super::tally::Tally;

/// Results that others have counted, and for how long they count, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) left: u64,
    pub(crate) tally: Tally,
}

/// Of a breaker that nobody shares all is empty, and changes nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Far {
    /// Until when, and what.
    parts: Vec<(u64, Tally)>,
    /// How long it waits for leave to probe once it may, before it does without.
    patience: u64,
    /// When it is worth asking again while it waits for that.
    recheck: u64,
    /// Others probe until then.
    barrier: u64,
    /// It has leave until then.
    leave: u64,
    /// The fleet is to be told that somebody has closed it.
    is_reset: bool,
    /// Somebody keeps it and a fleet together.
    is_shared: bool,
}

impl Far {
    /// Says whether it was shared before.
    pub(super) fn set_shared(&mut self) -> bool {
        std::mem::replace(&mut self.is_shared, true)
    }

    pub(super) fn share(&mut self, patience: u64, recheck: u64) {
        (self.patience, self.recheck) = (patience, recheck);
    }

    /// A change of state: what was said before belongs to another generation.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        (self.barrier, self.leave, self.is_reset) = (0, 0, false);
    }

    pub(super) fn hear(&mut self, now: u64, parts: &[Part]) {
        let until = |part: &Part| (now.saturating_add(part.left), part.tally);
        self.parts.clear();
        self.parts.extend(parts.iter().map(until));
    }

    pub(super) fn forget(&mut self) {
        self.parts.clear();
    }

    pub(super) fn total(&mut self, now: u64) -> Tally {
        self.parts.retain(|(until, _)| *until > now);
        self.parts.iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(*tally))
    }

    pub(super) fn others_probe(&mut self, until: u64) {
        (self.barrier, self.leave) = (until, 0);
    }

    pub(super) fn nobody_probes(&mut self) {
        (self.barrier, self.leave) = (0, 0);
    }

    pub(super) fn may_probe(&mut self, until: u64) {
        self.leave = until;
    }

    /// When to ask again, if it waits for leave at `now`, after its own wait was over at `until`.
    pub(super) fn holds(&self, now: u64, until: u64) -> Option<u64> {
        let barrier = self.barrier.max(until).saturating_add(self.patience);
        let holds = now < barrier && now >= self.leave;
        holds.then(|| barrier.min(now.saturating_add(self.recheck)))
    }

    pub(super) fn is_reset(&self) -> bool {
        self.is_reset
    }

    pub(super) fn set_reset(&mut self, is_reset: bool) {
        self.is_reset = is_reset;
    }
}
