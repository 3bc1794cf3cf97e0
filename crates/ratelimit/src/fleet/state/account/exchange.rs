//! What is asked of the store, and what comes of it.

use super::{Account, Next, Rules, UnderWay, pace::Seen};
use crate::{
    fleet::store::{Answer, Ask},
    state::Gcra,
};

impl<W> Account<W> {
    /// Gives back and takes what the line needs, which begins with that much.
    pub(super) fn exchange(&mut self, rules: &Rules, now: u64, cost: u64, epoch: u64) -> Next {
        let max = if cost == 0 { 0 } else { self.wants(rules, cost) };
        let at_least = if epoch == self.epoch {
            0
        } else {
            let share = self.share.as_ref().and_then(Gcra::full_at).unwrap_or(0);
            let full_at = self.known_full_at().max(share);
            full_at.saturating_sub(now).div_ceil(1000)
        };
        self.is_ahead = false;
        let min = cost.saturating_sub(self.lease);
        let returns = self.take_returns(rules);
        let ask = Ask { at_least, refund: returns.worth, min, max };
        let (at, began) = (now, self.time);
        self.under_way = Some(UnderWay { ask, at, began, returns, is_old: false });
        Next::Exchange(ask)
    }

    /// A lease, or as many as wait for it, of which none are in hand after.
    fn wants(&self, rules: &Rules, cost: u64) -> u64 {
        let queued = u64::try_from(self.line.queued()).unwrap_or(u64::MAX);
        let wanted = rules.lease.max(queued.min(self.steps.most(rules))).max(cost);
        wanted.min(rules.scale.most()).saturating_sub(self.lease)
    }

    /// When the cell of the store is full at the latest, by what is known.
    pub(super) fn known_full_at(&self) -> u64 {
        self.known.full_at().map_or(u64::MAX, |at| at.saturating_add(self.latency))
    }

    /// The store has answered what was asked in that epoch.
    pub(crate) fn answered(&mut self, rules: &Rules, now: u64, answer: Answer, epoch: u64) {
        let Some(under_way) = self.under_way.take() else { return };
        let UnderWay { ask, at, began, returns, is_old } = under_way;
        self.tally.forfeited += returns.lost();
        // What the share has spent meanwhile is told with the next exchange.
        if !self.is_ahead {
            (self.epoch, self.is_told) = (epoch, true);
        }
        let ahead = u64::try_from(answer.full_after.as_nanos()).unwrap_or(u64::MAX);
        // As if it had been told when it was asked: an exchange begun then gets there just in time.
        let (tat, before) = (rules.scale.time(at.saturating_add(ahead)), self.known.tat());
        let mine = rules.scale.tokens(answer.granted);
        // From the asking on, as if they came back at once: what is ahead of them may be given back first.
        self.hold(answer.granted, began);
        if is_old {
            // As with what was in hand when the quota changed.
            let kept = self.lease.min(rules.lease);
            self.tally.forfeited += self.lease - kept;
            self.lease = kept;
        }
        let others = tat.saturating_sub(mine).saturating_sub(before.max(rules.scale.time(at)));
        self.known.set_tat(tat);
        self.latency = if ahead > 0 { now.saturating_sub(at) } else { 0 };
        let seen = Seen {
            at,
            granted: answer.granted,
            is_all: answer.granted == ask.max,
            left: self.known.available(at),
            others: rules.scale.nanos(others).unwrap_or(u64::MAX),
        };
        self.steps.answered(rules, &seen);
    }

    /// The exchange is not begun, after all.
    pub(crate) fn withdraw(&mut self) {
        if let Some(UnderWay { returns, .. }) = self.under_way.take() {
            self.put_returns(returns);
        }
    }

    /// The store has failed: whatever it did of it is lost.
    pub(crate) fn failed(&mut self) {
        if let Some(UnderWay { returns, .. }) = self.under_way.take() {
            self.tally.forfeited += returns.all();
        }
    }

    /// Somebody else sees to the exchange under way, if there is one: what it gives back, and whether the quota
    /// has changed since.
    pub(crate) fn abandon(&mut self) -> Option<(u64, bool)> {
        let UnderWay { returns, is_old, .. } = self.under_way.take()?;
        self.tally.forfeited += returns.lost();
        Some((returns.worth, is_old))
    }

    /// The store has failed, for this key alone: it may not know of it.
    pub(crate) fn refused(&mut self) {
        self.failed();
        self.epoch = 0;
    }
}
