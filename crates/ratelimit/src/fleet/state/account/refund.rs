//! Tokens that come back: those that were not spent, and those that were.
//!
//! A store fills all the time, and what has come back to it by itself is not there to be given back: others
//! would be let in for it, more than the burst and the rate allow, for each late refund. So `n` tokens that the
//! store was asked for at `s` are worth `n - rate * (now - s)` at `now`. It is no use to know that the store was
//! further behind then, and would come to these only later: those before them may be given back as well, in any
//! order, and then it has come to these earlier. That `n - rate * (now - s)` holds in any order is shown
//! with [`Gcra::give_back`](crate::state::Gcra::give_back). Rounded up to a whole token, it is more only for
//! those that are being paid off at a time: one token for all.
//!
//! Tokens that were never spent are another matter: what is in hand, up to a lease, is in the bound.

use super::{Account, Rules};
use crate::{fleet::state::verdict::Origin, state::Scale};

/// Tokens on their way back to the store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    pub(super) tokens: u64,
    since: u64,
}

impl Late {
    fn add(&mut self, tokens: u64, since: u64) {
        self.since = if self.tokens == 0 { since } else { self.since.min(since) };
        self.tokens = self.tokens.saturating_add(tokens);
    }
}

/// What is given back with an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returns {
    back: u64,
    late: Late,
    /// What all of it is worth.
    pub(super) worth: u64,
}

impl Returns {
    pub(super) fn all(&self) -> u64 {
        self.back.saturating_add(self.late.tokens)
    }

    /// What has come back by itself.
    pub(super) fn lost(&self) -> u64 {
        self.all() - self.worth
    }
}

/// What so many tokens are worth that come back from `since` on.
fn worth(scale: &Scale, tokens: u64, since: u64, now: u64) -> u64 {
    tokens.saturating_sub(scale.whole_tokens(scale.time(now.saturating_sub(since))))
}

impl<W> Account<W> {
    /// The time by the clock that nobody sets.
    pub(crate) fn at(&mut self, time: u64) {
        self.time = self.time.max(time);
    }

    /// Puts granted tokens in hand, which come back from that time on.
    pub(super) fn hold(&mut self, tokens: u64, since: u64) {
        if tokens > 0 {
            self.since = if self.lease == 0 { since } else { self.since.min(since) };
            self.lease = self.lease.saturating_add(tokens);
        }
    }

    /// Gives back what was spent: in hand, as far as it is worth anything; what is more than a lease is for
    /// the store.
    pub(crate) fn refund(&mut self, rules: &Rules, now: u64, n: u64, origin: Origin) {
        let worth = match origin {
            Origin::Lease { since, changes } if changes == self.changes => {
                let worth = worth(&rules.scale, n, since, self.time);
                self.hold(worth, since);
                worth
            }
            Origin::Share { at, changes } if changes == self.changes => self.unshare(now, n, at),
            Origin::Nowhere => return,
            // Taken at another rate, at which nobody knows any more what has come back.
            Origin::Lease { .. } | Origin::Share { .. } => 0,
        };
        self.tally.forfeited += n - worth;
        self.trim(rules);
    }

    /// Gives back what nobody has spent.
    pub(super) fn unspend(&mut self, rules: &Rules, now: u64, n: u64, origin: Origin) {
        match origin {
            Origin::Lease { since, changes } if changes == self.changes => {
                self.hold(n, since);
                self.trim(rules);
            }
            _ => self.refund(rules, now, n, origin),
        }
    }

    /// How many come back to the share, which knows by itself what they are worth.
    fn unshare(&mut self, now: u64, n: u64, at: u64) -> u64 {
        let Some(share) = &mut self.share else { return 0 };
        let before = share.tat();
        share.give_back(now, n, at);
        let scale = share.scale();
        scale.whole_tokens(before.saturating_sub(share.tat())).min(n)
    }

    /// Keeps no more than a lease in hand, unless somebody waits for it.
    pub(super) fn trim(&mut self, rules: &Rules) {
        if self.line.is_empty() && self.lease > rules.lease {
            self.late.add(self.lease - rules.lease, self.since);
            self.lease = rules.lease;
        }
    }

    /// Gives back all that is in hand with the next exchange.
    pub(crate) fn give_up_lease(&mut self) {
        self.back = self.back.saturating_add(std::mem::take(&mut self.lease));
    }

    /// What is given back with the next exchange, as far as is known now.
    pub(super) fn returns(&self) -> u64 {
        self.back.saturating_add(self.late.tokens)
    }

    /// The same, with an exchange that begins now.
    pub(super) fn take_returns(&mut self, rules: &Rules) -> Returns {
        let (back, late) = (std::mem::take(&mut self.back), std::mem::take(&mut self.late));
        let worth = worth(&rules.scale, late.tokens, late.since, self.time);
        Returns { back, late, worth: back.saturating_add(worth) }
    }

    /// With the next exchange, after all: by then it may be worth less.
    pub(super) fn put_returns(&mut self, returns: Returns) {
        self.back = self.back.saturating_add(returns.back);
        if returns.late.tokens > 0 {
            self.late.add(returns.late.tokens, returns.late.since);
        }
    }

    /// Everything in hand, for the store: nobody asks for it here any more.
    pub(crate) fn let_go(&mut self, rules: &Rules) -> u64 {
        self.give_up_lease();
        let returns = self.take_returns(rules);
        self.tally.forfeited += returns.lost();
        returns.worth
    }

    /// Tokens that are lost if it is forgotten.
    pub(crate) fn holds(&self) -> u64 {
        self.lease.saturating_add(self.returns())
    }
}
