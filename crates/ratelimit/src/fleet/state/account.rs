//! What an instance knows and holds of one key.

mod change;
mod exchange;
mod line;
mod pace;
mod refund;
mod share;

pub(crate) use self::pace::Pace;

use super::{
    super::store::Ask,
    verdict::{Fail, Form, Mode, Now, Origin, Step, Tally},
};
use crate::state::{Gcra, Line, Refusal, Scale};
use std::time::Duration;

/// Until this time the store is to be settled that is down: whoever asks it, looks whether it is back.
pub(crate) const PROBE: u64 = u64::MAX;

/// How many are woken when there is work to be done for the line.
const WOKEN_MAX: usize = 32;

/// What holds for all keys of a limiter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) scale: Scale,
    /// What an instance keeps to by itself while the store is down.
    pub(crate) share: Scale,
    /// How many tokens are taken from the store at once, at most, unless more wait for them.
    pub(crate) lease: u64,
    /// How long the store is left alone after it had fewer tokens than a lease.
    pub(crate) pace: Pace,
    pub(crate) max_waiters: usize,
}

/// What is to be done for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: nobody is in it.
    Nothing,
    /// Look again at this time.
    Sleep(u64),
    Exchange(Ask),
}

/// One key: the tokens that the instance has in hand, what it knows of the store, and who waits.
///
/// What the store has told holds from then on: others can only take more. So a request that could not pass
/// by that is denied without asking again, until the time at which it could. Only what others give back is
/// seen later than it might be.
#[derive(Debug)]
pub(crate) struct Account<W> {
    /// Tokens in hand.
    lease: u64,
    /// From when on, by a clock that nobody sets, the first of them come back to the store by themselves.
    since: u64,
    /// Tokens in hand that are not to be spent, but given back with the next exchange.
    back: u64,
    /// Likewise tokens that were spent before, or that nobody waits for any more, and since when they come
    /// back by themselves.
    late: refund::Late,
    /// The time by the clock that nobody sets.
    time: u64,
    /// What the exchange under way gives back, how much it asks for, and when it began.
    under_way: Option<UnderWay>,
    /// The cell of the store as it was last seen, by the clock of the instance.
    known: Gcra,
    /// How much earlier it was seen so than it may have been so: between what was asked and the answer.
    latency: u64,
    /// The share of the instance, since the store was down.
    share: Option<Gcra>,
    /// Until then the share may not be as full as it seems.
    forgotten: u64,
    /// The store knows of what the share has spent.
    is_told: bool,
    /// The share has spent something since the exchange under way began, which does not tell of it.
    is_ahead: bool,
    /// How often the quota has changed: what was taken before is worth nothing after.
    changes: u32,
    /// When the store is asked again at the limit.
    steps: pace::Steps,
    /// The epoch of the last answer.
    epoch: u64,
    line: Line<Place<W>>,
    hurry: line::Hurry,
    woken: Vec<W>,
    tally: Tally,
}

/// What the store is asked.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    ask: Ask,
    /// When, by the clock of the instance and by the one that nobody sets.
    at: u64,
    began: u64,
    /// What it gives back.
    returns: refund::Returns,
    /// The quota has changed since.
    is_old: bool,
}

#[derive(Debug)]
struct Place<W> {
    form: Form,
    step: Step<W>,
    /// It was found that it can wait so long.
    is_looked_at: bool,
}

impl<W> Account<W> {
    /// Nobody has asked for it here; or who has was forgotten, with what a share had spent until then. The
    /// dice are to be others in each instance.
    pub(crate) fn new(rules: &Rules, forgotten: u64, dice: u64) -> Self {
        Self {
            lease: 0,
            since: 0,
            back: 0,
            late: refund::Late::default(),
            time: 0,
            under_way: None,
            known: Gcra::with_scale(rules.scale),
            latency: 0,
            share: None,
            forgotten,
            is_told: false,
            is_ahead: false,
            changes: 0,
            steps: pace::Steps::new(&rules.pace, dice),
            epoch: 0,
            line: Line::new(),
            hurry: line::Hurry::default(),
            woken: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Decides, if it can be decided without the store and without the line.
    pub(crate) fn ask(
        &mut self,
        rules: &Rules,
        now: u64,
        cost: u64,
        form: Form,
        mode: &Mode,
    ) -> Now {
        if cost == 0 {
            return Now::Passes(Origin::Nowhere);
        }
        if cost > rules.scale.most() {
            self.tally.denied += 1;
            return Now::Fails(Fail::Never { cost, possible: rules.scale.most() });
        }
        let is_try = form == Form::Try;
        // Who probes a store that is down holds up nobody.
        let is_probed = self.under_way.is_some() && !matches!(mode, Mode::Store { .. });
        if self.line.is_empty() || (is_try && is_probed) {
            match self.decide(rules, now, cost, mode, u64::MAX) {
                Ok(Some(origin)) => {
                    self.tally.admitted += 1;
                    return Now::Passes(origin);
                }
                Err(Refused::By(fail)) => {
                    self.tally.denied += 1;
                    return Now::Fails(fail);
                }
                Err(Refused::Until(at)) if is_try => return self.deny(rules, now, at),
                Ok(None) | Err(Refused::Until(_)) => {}
            }
        } else if is_try && self.under_way.is_none() {
            // The first in the line waits for time to pass, and is not overtaken.
            let at = self.ready_behind(now, self.line.queued(), cost, u64::MAX);
            return self.deny(rules, now, at);
        }
        if self.line.len() >= rules.max_waiters {
            self.tally.denied += 1;
            return Now::Fails(Fail::Full { waiting: rules.max_waiters });
        }
        Now::Joins
    }

    fn deny(&mut self, rules: &Rules, now: u64, at: u64) -> Now {
        self.tally.denied += 1;
        self.tally.cached += 1;
        Now::Fails(self.denied(rules, now, at))
    }

    fn denied(&self, rules: &Rules, now: u64, at: u64) -> Fail {
        let in_store = match &self.share {
            Some(share) => share.available(now),
            None if now < self.steps.not_before => 0,
            None => self.known.available(now),
        };
        let remaining = self.lease.saturating_add(in_store).min(rules.scale.most());
        Fail::Denied { retry_after: between(now, at), remaining }
    }

    /// Spends tokens in hand, or those of its share where the store is down; none, if the store has to
    /// be asked. It is worth nothing after the time `by`.
    fn decide(
        &mut self,
        rules: &Rules,
        now: u64,
        cost: u64,
        mode: &Mode,
        by: u64,
    ) -> Result<Option<Origin>, Refused> {
        if let Mode::Store { settled_at } = mode {
            if *settled_at == PROBE {
                // The share is not asked: it would put off the probe until it has something, and those of all
                // instances to the same time.
            } else if now < *settled_at {
                self.check_share(rules, now, cost, *settled_at)?;
            } else {
                self.leave_share(now);
            }
        }
        if self.lease >= cost {
            self.lease -= cost;
            if let (Mode::Store { .. }, Some(share)) = (mode, &mut self.share) {
                share.spend(now, cost);
            }
            return Ok(Some(Origin::Lease { since: self.since, changes: self.changes }));
        }
        match mode {
            Mode::Store { .. } => {
                // What passes at once by what is known may not any more: the store has to say.
                match self.gate(now, cost - self.lease, by) {
                    at if at > now => Err(Refused::Until(at)),
                    _ => Ok(None),
                }
            }
            Mode::Local { until } => {
                let need = cost - self.lease;
                (self.is_told, self.is_ahead) = (false, true);
                match self.share(rules, now).take(now, need) {
                    Ok(()) => {
                        self.lease = 0;
                        self.tally.local += 1;
                        Ok(Some(Origin::Share { at: now, changes: self.changes }))
                    }
                    Err(Refusal::Until(at)) => Err(Refused::Until(at)),
                    // More than the share: the store may give it once it is back.
                    Err(Refusal::Never) => Err(Refused::Until((*until).max(now + 1))),
                }
            }
            Mode::Closed { retry_after, error } => Err(Refused::By(Fail::Unavailable {
                retry_after: *retry_after,
                source: error.clone(),
            })),
            Mode::Open => {
                self.tally.local += 1;
                Ok(Some(Origin::Nowhere))
            }
        }
    }

    /// When it is worth asking the store for so many, if they are of use until `by`. A clock that was set
    /// back is minded.
    fn gate(&mut self, now: u64, need: u64, by: u64) -> u64 {
        self.steps.mind_steps_back(now);
        let not_before = self.steps.not_before(by);
        match self.known.check(now, need) {
            Ok(()) => not_before,
            Err(Refusal::Until(at)) => at.max(not_before),
            Err(Refusal::Never) => u64::MAX,
        }
    }

    /// Lets pass whoever can, and says what is to be done for the others.
    pub(crate) fn next(&mut self, rules: &Rules, now: u64, mode: &Mode, epoch: u64) -> Next {
        debug_assert!(self.under_way.is_none(), "one exchange at a time");
        while let Some((key, cost)) = self.line.first() {
            let form = self.line.waiter(key).form;
            if form == Form::GiveBack {
                if matches!(mode, Mode::Store { .. }) {
                    // What an exchange that was under way has brought since, too.
                    self.give_up_lease();
                    if self.returns() > 0 {
                        return self.exchange(rules, now, 0, epoch);
                    }
                }
                self.settle(key, Step::Passes(Origin::Nowhere));
                continue;
            }
            if cost > rules.scale.most() {
                // It was not, before the quota changed.
                let possible = rules.scale.most();
                self.settle(key, Step::Fails(Fail::Never { cost, possible }));
                continue;
            }
            // All go by the one who is in the greatest hurry: whoever is behind is not served before.
            let by = self.first_deadline(now);
            match self.decide(rules, now, cost, mode, by) {
                Ok(Some(origin)) => self.settle(key, Step::Passes(origin)),
                Ok(None) => return self.exchange(rules, now, cost, epoch),
                Err(Refused::By(fail)) => self.settle(key, Step::Fails(fail)),
                Err(Refused::Until(at)) if form == Form::Try => {
                    let fail = self.denied(rules, now, at);
                    self.settle(key, Step::Fails(fail));
                }
                Err(Refused::Until(at)) => match form {
                    Form::Wait { deadline } if at > deadline => {
                        self.settle(
                            key,
                            Step::Fails(Fail::TooLate { retry_after: between(now, at) }),
                        );
                    }
                    _ => {
                        self.fail_behind(rules, now);
                        return match mode {
                            Mode::Local { until } => Next::Sleep(at.min(*until).max(now + 1)),
                            _ => Next::Sleep(at),
                        };
                    }
                },
            }
        }
        self.trim(rules);
        Next::Nothing
    }

    /// What has become of a place, which is given up; none, if it still waits, with that waker. And the
    /// waker that is not kept: it is foreign code, to be dropped without a lock.
    pub(crate) fn poll(&mut self, key: usize, waker: W) -> (Option<Step<W>>, Option<W>) {
        match &mut self.line.waiter(key).step {
            Step::Waits(old) => (None, old.replace(waker)),
            _ => (Some(self.line.remove(key).step), Some(waker)),
        }
    }

    /// Gives up a place, and what was taken for it. Says whether others have to be woken: it was the first
    /// of those in the line, or was woken itself and did nothing. What it leaves, a waker or an error of the
    /// store, is foreign code, to be dropped without a lock.
    pub(crate) fn leave(
        &mut self,
        rules: &Rules,
        now: u64,
        key: usize,
        cost: u64,
    ) -> (bool, Step<W>) {
        let was_first = self.line.first().is_some_and(|(first, _)| first == key);
        let Place { form, step, .. } = self.line.remove(key);
        self.hurry.leaves(key, form);
        let was_woken = matches!(step, Step::Waits(None));
        if let Step::Passes(origin) = step {
            self.unspend(rules, now, cost, origin);
        }
        self.trim(rules);
        (was_first || was_woken, step)
    }

    /// Those who were served or failed.
    pub(crate) fn take_woken(&mut self) -> Vec<W> {
        std::mem::take(&mut self.woken)
    }

    /// The first of those who wait and were not woken: whoever of them is polled first does the work. One
    /// would do, if it could be relied on being polled; all would be a herd.
    pub(crate) fn take_first(&mut self) -> Vec<W> {
        let keys: Vec<_> = self
            .line
            .iter()
            .filter(|(_, _, place)| matches!(place.step, Step::Waits(Some(_))))
            .map(|(key, _, _)| key)
            .take(WOKEN_MAX)
            .collect();
        let mut wakers = self.take_woken();
        for key in keys {
            if let Step::Waits(waker) = &mut self.line.waiter(key).step {
                wakers.extend(waker.take());
            }
        }
        wakers
    }

    /// How long it takes at least until so many pass.
    pub(crate) fn wait(&mut self, now: u64, cost: u64) -> Duration {
        between(now, self.gate(now, cost.saturating_sub(self.lease), now))
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    pub(crate) fn is_exchanging(&self) -> bool {
        self.under_way.is_some()
    }

    /// Tokens in hand.
    pub(crate) fn lease(&self) -> u64 {
        self.lease
    }

    /// Tokens that could pass now, as far as is known here.
    pub(crate) fn known(&self, now: u64) -> (u64, Option<Duration>) {
        let cell = self.share.as_ref().unwrap_or(&self.known);
        (cell.available(now), cell.full_at().map(|at| between(now, at)))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether nothing is lost if it is forgotten.
    pub(crate) fn is_blank(&self, now: u64) -> bool {
        let cell = self.share.as_ref().unwrap_or(&self.known);
        self.holds() == 0
            && self.line.is_empty()
            && !self.is_exchanging()
            && cell.full_at().is_some_and(|at| at <= now)
    }

    /// When the share is full again.
    pub(crate) fn share_is_full_at(&self) -> u64 {
        self.share.as_ref().and_then(Gcra::full_at).unwrap_or(0)
    }
}

/// Why something does not pass now.
enum Refused {
    Until(u64),
    By(Fail),
}

/// From one time to another, or none of it.
fn between(from: u64, to: u64) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}
