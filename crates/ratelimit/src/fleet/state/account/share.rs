//! What an instance keeps to by itself, while the store is down and until others have found it again.

use super::{Account, Refused, Rules};
use crate::state::{Gcra, Refusal};

impl<W> Account<W> {
    /// The share of the instance: as empty as the key was, by time, when it was last seen.
    pub(super) fn share(&mut self, rules: &Rules, now: u64) -> &mut Gcra {
        let (known_full_at, forgotten) = (self.known_full_at(), self.forgotten);
        let is_at_limit = self.steps.is_at_limit(now);
        self.share.get_or_insert_with(|| {
            let full_at = known_full_at.max(now);
            let scale = &rules.share;
            let empty = scale.time(now).saturating_add(scale.burst);
            let forgotten = scale.time(forgotten).min(empty);
            let least = if is_at_limit { empty } else { forgotten };
            let tat = scale.time(full_at).max(least);
            // What an earlier share has given is not given back to this one.
            Gcra::restored(*scale, tat, scale.burst, now, now)
        })
    }

    /// Whether the share would do, where the store has to as well.
    pub(super) fn check_share(
        &mut self,
        rules: &Rules,
        now: u64,
        cost: u64,
        settled_at: u64,
    ) -> Result<(), Refused> {
        match self.share(rules, now).check(now, cost) {
            Err(Refusal::Until(at)) => Err(Refused::Until(at.min(settled_at))),
            // More than a share ever has is the store's alone to give; it is owed to the share.
            Ok(()) | Err(Refusal::Never) => Ok(()),
        }
    }

    /// The store decides again, alone: unless it has answered since, it owes at least as much, by time, as the share did.
    pub(super) fn leave_share(&mut self, now: u64) {
        if let Some(share) = self.share.take().filter(|_| !self.is_told) {
            let full_at = share.full_at().unwrap_or(u64::MAX).max(now);
            let tat = self.known.scale().time(full_at);
            self.known.set_tat(self.known.tat().max(tat));
        }
    }
}
