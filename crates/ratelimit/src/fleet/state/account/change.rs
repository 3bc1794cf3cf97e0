//! Another quota.

use super::{Account, Rules, refund::Late};
use crate::state::{Gcra, Scale};

impl<W> Account<W> {
    /// Goes by another quota. What is owed stays owed in time, as in the store, up to a burst; of what is in
    /// hand, no more than a lease stays there, and nothing is given back, as it was taken at another rate.
    pub(crate) fn change(&mut self, rules: &Rules, now: u64) {
        self.known = moved(&self.known, rules.scale, now);
        self.share = self.share.take().map(|share| moved(&share, rules.share, now));
        let kept = self.lease.min(rules.lease);
        self.tally.forfeited += self.holds() - kept;
        (self.lease, self.back, self.late) = (kept, 0, Late::default());
        self.changes = self.changes.wrapping_add(1);
        if let Some(under_way) = &mut self.under_way {
            under_way.is_old = true;
        }
        self.steps.change(&rules.pace);
        self.hurry.forget();
    }
}

fn moved(cell: &Gcra, scale: Scale, now: u64) -> Gcra {
    let owed = scale.time(cell.full_at().unwrap_or(u64::MAX));
    let tat = owed.min(scale.time(now).saturating_add(scale.burst));
    Gcra::restored(scale, tat, scale.burst, now, now)
}
