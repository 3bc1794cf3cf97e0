//! Who waits for a key, and for how long they can.

use super::{Account, Place, Rules, between};
use crate::fleet::state::verdict::{Fail, Form, Origin, Step};
use std::collections::BTreeSet;

/// What of the line is known without looking at all who are in it.
#[derive(Debug, Default)]
pub(super) struct Hurry {
    /// Of those who wait for so long only.
    deadlines: BTreeSet<(u64, usize)>,
    /// What was at the front of the line and is not any more, since all were looked at.
    served: u128,
    /// How it was when all were looked at who are not new.
    seen: Option<Seen>,
    /// How often somebody in the line was looked at.
    #[cfg(test)]
    looked_at: u64,
}

/// What it depends on how long somebody in the line waits, but for what is ahead of them.
#[derive(Clone, Copy, Debug)]
struct Seen {
    has_share: bool,
    not_before: (u64, u64),
    tat: u128,
    /// What is taken off that, in the same units: tokens in hand, and those served since.
    off: u128,
}

impl Seen {
    /// Whether somebody who was in the line then may have to wait for longer now.
    fn is_worse_than(&self, then: &Self) -> bool {
        self.has_share != then.has_share
            || self.not_before.0 > then.not_before.0
            || self.not_before.1 > then.not_before.1
            || self.tat.saturating_add(then.off) > then.tat.saturating_add(self.off)
    }
}

impl Hurry {
    fn joins(&mut self, key: usize, form: Form) {
        if let Some(deadline) = end(form) {
            self.deadlines.insert((deadline, key));
        }
    }

    /// It is in the line no more, if it was.
    pub(super) fn leaves(&mut self, key: usize, form: Form) {
        if let Some(deadline) = end(form) {
            self.deadlines.remove(&(deadline, key));
        }
    }

    fn first(&self) -> u64 {
        self.deadlines.first().map_or(u64::MAX, |(deadline, _)| *deadline)
    }

    /// All are to be looked at again.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }
}

/// Until when it waits, if not for ever.
fn end(form: Form) -> Option<u64> {
    match form {
        Form::Wait { deadline } if deadline < u64::MAX => Some(deadline),
        _ => None,
    }
}

impl<W> Account<W> {
    pub(crate) fn join(&mut self, cost: u64, form: Form, waker: Option<W>) -> usize {
        let place = Place { form, step: Step::Waits(waker), is_looked_at: false };
        let key = self.line.join(cost, place);
        self.hurry.joins(key, form);
        key
    }

    /// When it passes behind others, at the earliest, if it is of use until `by`.
    pub(super) fn ready_behind(&self, now: u64, ahead: u128, cost: u64, by: u64) -> u64 {
        let cell = self.share.as_ref().unwrap_or(&self.known);
        let ahead = ahead.saturating_sub(u128::from(self.lease));
        // It may be more than the share ever has; then as many as it has, which is too early.
        let cost = cost.min(cell.scale().most());
        let ready_at = cell.ready_at_behind(ahead, cost).unwrap_or(u64::MAX);
        ready_at.max(self.steps.not_before(by)).max(now + 1)
    }

    /// Until when somebody in the line has a use for tokens.
    pub(super) fn first_deadline(&self, now: u64) -> u64 {
        if self.steps.not_before <= now { u64::MAX } else { self.hurry.first() }
    }

    fn seen(&self) -> Seen {
        let cell = self.share.as_ref().unwrap_or(&self.known);
        let token = u128::from(cell.scale().token);
        let off = token.saturating_mul(u128::from(self.lease).saturating_add(self.hurry.served));
        Seen {
            has_share: self.share.is_some(),
            not_before: (self.steps.not_before(u64::MAX), self.steps.not_before(0)),
            tat: cell.tat(),
            off,
        }
    }

    /// The first in the line waits for time to pass: those behind who cannot, or not so long, are told. Only
    /// those who are new are looked at, unless the others may have to wait for longer than they had to.
    pub(super) fn fail_behind(&mut self, rules: &Rules, now: u64) {
        let seen = self.seen();
        let is_known = self.hurry.seen.is_some_and(|then| !seen.is_worse_than(&then));
        let all = !is_known || self.hurry.first() <= now;
        let mut looked_at: Vec<_> = self
            .line
            .iter_back()
            .take_while(|(_, _, place)| all || !place.is_looked_at)
            .map(|(key, cost, _)| (key, cost))
            .collect();
        looked_at.reverse();
        #[cfg(test)]
        {
            self.hurry.looked_at += looked_at.len() as u64;
        }
        let new = looked_at.iter().map(|(_, cost)| u128::from(*cost)).sum();
        let mut ahead = self.line.queued().saturating_sub(new);
        let first = self.line.first().map(|(key, _)| key);
        for (key, cost) in looked_at {
            // The first one can, and has what is in hand.
            let fails = self.fails_behind(rules, now, ahead, cost, key);
            if let Some(step) = fails.filter(|_| Some(key) != first) {
                self.settle(key, step);
            } else {
                self.line.waiter(key).is_looked_at = true;
                ahead += u128::from(cost);
            }
        }
        self.hurry.served = 0;
        self.hurry.seen = Some(self.seen());
    }

    /// What becomes of somebody behind so many tokens, who cannot wait.
    fn fails_behind(
        &mut self,
        rules: &Rules,
        now: u64,
        ahead: u128,
        cost: u64,
        key: usize,
    ) -> Option<Step<W>> {
        let form = self.line.waiter(key).form;
        let by = match form {
            Form::Wait { deadline } => deadline,
            _ => u64::MAX,
        };
        let at = self.ready_behind(now, ahead, cost, by);
        match form {
            Form::Try => Some(Step::Fails(self.denied(rules, now, at))),
            Form::Wait { deadline } if at > deadline => {
                Some(Step::Fails(Fail::TooLate { retry_after: between(now, at) }))
            }
            Form::Wait { .. } => None,
            // With the exchange that the first one waits for.
            Form::GiveBack => Some(Step::Passes(Origin::Nowhere)),
        }
    }

    pub(super) fn settle(&mut self, key: usize, step: Step<W>) {
        let place = self.line.waiter(key);
        if place.form != Form::GiveBack {
            match step {
                Step::Passes(_) => self.tally.admitted += 1,
                _ => self.tally.denied += 1,
            }
        }
        let form = place.form;
        self.hurry.leaves(key, form);
        if let Some((_, cost)) = self.line.first().filter(|(first, _)| *first == key) {
            self.hurry.served += u128::from(cost);
        }
        self.line.leave(key);
        let place = self.line.waiter(key);
        if let Step::Waits(Some(waker)) = std::mem::replace(&mut place.step, step) {
            self.woken.push(waker);
        }
    }
}

#[cfg(test)]
impl<W> Account<W> {
    /// How often somebody in the line was looked at.
    pub(crate) fn looked_at(&self) -> u64 {
        self.hurry.looked_at
    }

    /// How many in the line wait in vain.
    pub(crate) fn too_late(&mut self, rules: &Rules, now: u64) -> usize {
        let all: Vec<_> = self.line.iter().map(|(key, cost, _)| (key, cost)).collect();
        let (mut ahead, mut count) = (0, 0);
        for (at, (key, cost)) in all.into_iter().enumerate() {
            if at > 0 && self.fails_behind(rules, now, ahead, cost, key).is_some() {
                count += 1;
            }
            ahead += u128::from(cost);
        }
        count
    }
}
