//! The generic cell rate algorithm, exactly.

use super::{Refusal, Scale};
use crate::{ConfigError, Quota};

/// A step back of the clock that is waited out: what threads that ask at once see of each other is far
/// less, and a longer one is a clock that was set.
const STEP_BACK: u64 = 1_000_000_000;

/// A limit as the generic cell rate algorithm keeps it (ITU-T I.371, "virtual scheduling"): one number,
/// the *theoretical arrival time*, at which all that has passed will be paid for.
///
/// | asked at `now` for `cost` | then | next arrival time |
/// |---|---|---|
/// | `max(tat, now) + cost <= now + burst` | passes | `max(tat, now) + cost` |
/// | else | does not | stays |
/// | given back: `cost`, taken at `then` | | `max(tat - max(cost - (now - then), 0), now)` |
///
/// It is a token bucket told by when it is full instead of by how full it is, and therefore needs no
/// timer and no second number. A cell whose arrival time is past is full, as a new one is.
///
/// Time comes in as nanoseconds since an origin of the caller's choice. It may go back: nothing is gained
/// by that. After a step back of more than a second the cell is empty at worst, and fills from there.
///
/// ```
/// use tidegate_ratelimit::{Quota, Rate, state::{Gcra, Refusal}};
///
/// let mut cell = Gcra::new(Quota::new(Rate::per_second(10), 3)).unwrap();
/// assert_eq!(cell.take(0, 3), Ok(()));
/// assert_eq!(cell.take(0, 1), Err(Refusal::Until(100_000_000)));
/// assert_eq!(cell.take(100_000_000, 1), Ok(()));
/// cell.give_back(100_000_000, 1, 100_000_000);
/// assert_eq!(cell.available(100_000_000), 1);
/// assert_eq!(cell.take(0, 4), Err(Refusal::Never));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    scale: Scale,
    /// In units since the origin.
    tat: u128,
    /// How far ahead of the time it may be: a burst, or more after a debt or a change.
    horizon: u128,
    /// The latest time that it was asked at.
    latest: u64,
    /// What was taken before is not given back.
    since: u64,
}

impl Gcra {
    /// A full cell.
    ///
    /// # Errors
    ///
    /// If the quota is not usable.
    pub fn new(quota: Quota) -> Result<Self, ConfigError> {
        Scale::new(quota).map(Self::with_scale)
    }

    pub(crate) fn with_scale(scale: Scale) -> Self {
        Self { scale, tat: 0, horizon: scale.burst, latest: 0, since: 0 }
    }

    /// A cell as it was kept elsewhere, where times were seen until `latest`, and only what was taken `since`
    /// then is given back.
    pub(crate) fn restored(
        scale: Scale,
        tat: u128,
        horizon: u128,
        latest: u64,
        since: u64,
    ) -> Self {
        Self { scale, tat, horizon, latest, since }
    }

    /// Takes `cost` tokens, or none.
    ///
    /// # Errors
    ///
    /// If there are fewer: the time at which there would be as many if nobody took any.
    pub fn take(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        self.check(now, cost)?;
        self.spend(now, cost);
        Ok(())
    }

    /// Whether `cost` tokens could be taken.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn check(&mut self, now: u64, cost: u64) -> Result<(), Refusal> {
        self.mind_steps_back(now);
        let (time, asked) = (self.scale.time(now), self.scale.tokens(cost));
        // In units: the last time that nanoseconds can tell may be too early.
        if asked == 0 || self.tat.max(time).saturating_add(asked) <= time + self.scale.burst {
            return Ok(());
        }
        self.ready_at(cost).map_or(Err(Refusal::Never), |at| Err(Refusal::Until(at)))
    }

    /// Takes `cost` tokens even if there are fewer: who comes next waits for them.
    pub fn spend(&mut self, now: u64, cost: u64) {
        self.mind_steps_back(now);
        let now = self.scale.time(now);
        self.tat = self.tat.max(now).saturating_add(self.scale.tokens(cost));
        // What was owed has been paid once no more than a burst is missing.
        let debt = self.tat - now;
        let is_paid = debt <= self.scale.burst;
        self.horizon = if is_paid { self.scale.burst } else { self.horizon.max(debt) };
    }

    /// Puts back what is still missing of `cost` tokens that were taken at `taken_at`: all of them but for
    /// what comes at the rate in the time since then.
    ///
    /// The cell is never fuller than one from which they were not taken. Let `d` be how far the arrival time
    /// of this one is ahead of that of the other one, where each is no less than the time. It is `cost` at
    /// first. Whatever is taken thereafter adds the same to both, as does a debt, and that none of it is refused
    /// by the other one is as it is the fuller one. So `d` becomes less only while the other one is full and time
    /// passes, and never by more than the time: it is at least `cost - (now - taken_at)`, which is what is taken
    /// off the arrival time here. The same holds one by one for all that are given back, in any order.
    ///
    /// What is given back may be less than `d`, by up to what comes at the rate in that time: nobody keeps
    /// account of when a cell was full.
    ///
    /// Nothing is given back of what was taken
    ///
    /// - before the rate was last made lower: more may have come back meanwhile than the rate of today says. One
    ///   that was made higher says too much, and a new burst changes nothing here;
    /// - without a limit, or before there was none for a time;
    /// - before the clock was set back, by so much that the cell knows; and for the rest it is as late as it
    ///   ever was. What is taken after a step back of more than a second is not given back either, until the
    ///   clock is past the time that it was set back from;
    /// - later than now.
    pub fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.mind_steps_back(now);
        if taken_at < self.since || taken_at > self.latest {
            return;
        }
        // Whoever took last did so when the arrival time was no further ahead than it may be.
        let latest = self.scale.time(self.latest).max(self.tat.saturating_sub(self.horizon));
        let came = latest - self.scale.time(taken_at);
        let missing = self.scale.tokens(cost).saturating_sub(came);
        let tat = self.tat.saturating_sub(missing);
        self.tat = tat.max(self.scale.time(now).min(self.tat));
    }

    /// How many tokens can be taken now.
    #[must_use]
    pub fn available(&self, now: u64) -> u64 {
        let now = self.scale.time(now);
        let debt = self.tat.saturating_sub(now);
        self.scale.whole_tokens(self.scale.burst.saturating_sub(debt))
    }

    /// How many tokens can ever be taken at once: a burst, or what is left of it if nothing comes back.
    #[must_use]
    pub fn possible(&self, now: u64) -> u64 {
        if self.scale.tick == 0 { self.available(now) } else { self.scale.most() }
    }

    /// From when on `cost` tokens can be taken if nobody else takes any; none, if never.
    #[must_use]
    pub fn ready_at(&self, cost: u64) -> Option<u64> {
        let cost = self.scale.tokens(cost);
        if cost == 0 {
            return Some(0);
        }
        if cost > self.scale.burst {
            return None;
        }
        self.scale.nanos(self.tat.saturating_add(cost).saturating_sub(self.scale.burst))
    }

    /// The same if `ahead` tokens are taken before, as soon as they can be.
    #[must_use]
    pub fn ready_at_behind(&self, ahead: u128, cost: u64) -> Option<u64> {
        self.ready_at(cost)?;
        let ahead = ahead.saturating_mul(u128::from(self.scale.token));
        let sum = self.tat.saturating_add(ahead).saturating_add(self.scale.tokens(cost));
        self.scale.nanos(sum.saturating_sub(self.scale.burst))
    }

    /// When the cell is full again; none, if never.
    #[must_use]
    pub fn full_at(&self) -> Option<u64> {
        self.scale.nanos(self.tat)
    }

    /// Changes the quota. What was taken stays taken, in tokens.
    pub fn change(&mut self, now: u64, scale: Scale) {
        self.mind_steps_back(now);
        self.since = self.since.max(self.scale.given_back_since(&scale, self.latest));
        let owed = self.tat.saturating_sub(self.scale.time(now));
        let owed = convert(owed, self.scale.token, scale.token);
        self.tat = scale.time(now).saturating_add(owed);
        self.horizon = owed.max(scale.burst);
        self.scale = scale;
    }

    pub(crate) fn scale(&self) -> &Scale {
        &self.scale
    }

    /// The arrival time in units of the scale.
    pub(crate) fn tat(&self) -> u128 {
        self.tat
    }

    /// How far ahead of the time the arrival time may be.
    pub(crate) fn horizon(&self) -> u128 {
        self.horizon
    }

    /// The same after others have taken from it: each of them found it no more than a burst ahead.
    pub(crate) fn catch_up(&mut self, tat: u128) {
        if tat > self.tat {
            self.horizon = self.scale.burst;
        }
        self.tat = tat;
    }

    pub(crate) fn set_tat(&mut self, tat: u128) {
        self.tat = tat;
    }

    /// What was taken before is not given back.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// Makes it as full as a new one. What was taken until now is not given back in addition.
    pub(crate) fn refill(&mut self, now: u64) {
        self.see(now);
        (self.tat, self.horizon) = (0, self.scale.burst);
        self.since = self.since.max(self.latest.saturating_add(1));
    }

    /// Time has passed: somebody has looked at the cell.
    pub(crate) fn see(&mut self, now: u64) {
        self.latest = self.latest.max(now);
    }

    /// Never further ahead of a clock that was set back than it may be ahead of any.
    fn mind_steps_back(&mut self, now: u64) {
        self.see(now);
        let most = self.scale.time(now).saturating_add(self.horizon);
        if self.tat > most.saturating_add(self.scale.time(STEP_BACK)) {
            // Nothing was taken later than all is paid for.
            self.since = self.since.max(self.scale.nanos(self.tat).unwrap_or(u64::MAX));
            self.tat = most;
        }
    }
}

/// Units of tokens in units of other tokens, rounded up. Debts are below 2^127 and tokens below 2^63, and
/// the whole tokens of one times those of the other are what overflow first.
fn convert(units: u128, from: u64, to: u64) -> u128 {
    let (from, to) = (u128::from(from), u128::from(to));
    let Some(whole) = units.checked_div(from) else { return 0 };
    whole.saturating_mul(to).saturating_add(((units % from) * to).div_ceil(from))
}
