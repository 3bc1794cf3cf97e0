//! How often the store is asked at the limit.

use super::Rules;
use crate::Quota;
use std::time::Duration;

/// What a key is left alone for after the store had nothing for it, whatever the pace: who asks again and
/// again would never let go.
const PAUSE: u64 = 1_000_000;

/// So long it is left alone if somebody has no time for more.
const HURRY: u64 = 10_000_000;

/// The longest pace that is not set: so much longer whoever waits may wait, however slow the rate.
const LONGEST: Duration = Duration::from_secs(1);

/// So often in a row nobody else has to take anything to be out of the reckoning.
const ALONE: u32 = 4;

/// How long the store is left alone with a key that has fewer tokens than a lease, in nanoseconds.
///
/// A lease of `k` tokens comes back in `k / rate`, and for `n` instances in `n * k / rate`: who asks earlier
/// cannot be given a whole one. So much is the pace, and a sixteenth, that there is one rather than not; what
/// is left over is asked for at once, where it is a whole one. Who finds less, though it has waited, makes
/// the pace longer by a step, since there are more instances, and takes a part of that back each time it does
/// not. All see the same store, so all come to the same pace; and none asks more often than the others, which
/// would leave them nothing, unless it sees that there are none. Each waits a part of a lease longer than
/// that by chance, so that nobody always comes right after another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// As it was set.
    fixed: Option<u64>,
    /// In which a lease comes back.
    refill: u64,
    /// The longest one, with which no tokens are lost.
    longest: u64,
    /// The one to begin with, before anything is seen.
    first: u64,
}

impl Pace {
    /// The pace of a lease, if that many instances want one, unless it is set.
    pub(crate) fn new(quota: Quota, lease: u64, instances: u64, fixed: Option<Duration>) -> Self {
        let time = |tokens: u64| {
            let period = quota.rate().period().as_nanos().saturating_mul(u128::from(tokens));
            let time = period.checked_div(u128::from(quota.rate().count())).unwrap_or(0);
            u64::try_from(time).unwrap_or(u64::MAX)
        };
        let refill = time(lease).min(nanos(LONGEST));
        // Until the store is full with what comes back to less than a lease: after that tokens are lost. With
        // what is added to it by chance.
        let until_full = time(quota.burst().saturating_sub(lease)).min(nanos(LONGEST));
        let longest = (until_full.saturating_sub(refill / 4) / 17).saturating_mul(16).max(refill);
        let first = refill.saturating_mul(instances).min(longest);
        // With a lease of one there is nothing to wait for but a token.
        let fixed = fixed.map(nanos).or((lease == 1).then_some(HURRY));
        Self { fixed, refill, longest, first }
    }
}

/// What an exchange has shown.
pub(super) struct Seen {
    /// When it was asked.
    pub(super) at: u64,
    pub(super) granted: u64,
    /// As many as were asked for.
    pub(super) is_all: bool,
    /// Tokens that are left.
    pub(super) left: u64,
    /// The time in which comes back what others have taken since the one before.
    pub(super) others: u64,
}

/// When the store is asked again, for one key.
#[derive(Debug)]
pub(super) struct Steps {
    /// Not before this.
    pub(super) not_before: u64,
    /// Not even before this.
    hurried: u64,
    /// How long after it was asked last.
    wait: u64,
    /// The pace as it is now.
    pace: u64,
    /// The last step was as long as the pace.
    is_paced: bool,
    /// How often in a row nobody else has taken anything.
    alone: u32,
    /// What is rolled.
    dice: u64,
}

impl Steps {
    pub(super) fn new(pace: &Pace, dice: u64) -> Self {
        Self {
            not_before: 0,
            hurried: 0,
            wait: 0,
            pace: pace.first,
            is_paced: false,
            alone: 0,
            dice,
        }
    }

    /// Whether the store had less than a lease when it was asked, and is left alone since: what has come back
    /// meanwhile is taken by others.
    pub(super) fn is_at_limit(&self, now: u64) -> bool {
        self.is_paced && now <= self.not_before.saturating_add(self.wait)
    }

    /// Begins anew, with another pace.
    pub(super) fn change(&mut self, pace: &Pace) {
        *self = Self::new(pace, self.dice);
    }

    /// When the store is asked, if that is of use until `by`.
    pub(super) fn not_before(&self, by: u64) -> u64 {
        if self.not_before > by { self.hurried } else { self.not_before }
    }

    /// How many are asked for at once, at most: as many as wait, but not where others want them too. A long
    /// line is not to leave nothing to the short ones of others.
    pub(super) fn most(&self, rules: &Rules) -> u64 {
        let is_apart = !self.is_paced || self.is_alone(&rules.pace);
        if is_apart { u64::MAX } else { rules.lease.saturating_add(rules.lease / 16) }
    }

    /// From 0 to 1023, another number in each instance.
    fn roll(&mut self, seen: &Seen) -> u64 {
        self.dice = mixed(self.dice ^ seen.at);
        self.dice % 1024
    }

    fn is_alone(&self, pace: &Pace) -> bool {
        self.pace < pace.refill.saturating_add(pace.refill / 4)
    }

    pub(super) fn mind_steps_back(&mut self, now: u64) {
        self.not_before = self.not_before.min(now.saturating_add(self.wait));
        self.hurried = self.hurried.min(self.not_before);
    }

    pub(super) fn answered(&mut self, rules: &Rules, seen: &Seen) {
        let (pace, lease, at) = (&rules.pace, rules.lease, seen.at);
        if let Some(fixed) = pace.fixed {
            let wait = match seen.granted {
                _ if seen.is_all => 0,
                0 => fixed.max(PAUSE),
                _ => fixed,
            };
            self.leaves_alone(at, wait, wait);
            return;
        }
        let is_short = seen.granted.saturating_add(seen.left) < lease;
        if self.is_paced {
            self.adapt(pace, seen.others, is_short);
        }
        // What is left of a burst is not waited for, though it is less than a lease.
        self.is_paced = seen.left < lease && (self.is_paced || is_short || seen.left == 0);
        if !self.is_paced {
            self.leaves_alone(at, 0, 0);
            return;
        }
        // Alone, it is known when there is a lease.
        let spread =
            if self.is_alone(pace) { 0 } else { part(pace.refill / 4, self.roll(seen), 1024) };
        let there = part(pace.refill, seen.left, lease);
        let wait =
            self.pace.saturating_add(self.pace / 16 + spread).saturating_sub(there).max(PAUSE);
        self.leaves_alone(at, wait, wait.min(HURRY));
    }

    fn leaves_alone(&mut self, at: u64, wait: u64, hurried: u64) {
        self.wait = wait;
        (self.not_before, self.hurried) = (at.saturating_add(wait), at.saturating_add(hurried));
    }

    /// After a whole pace: what it is to be from now on.
    fn adapt(&mut self, pace: &Pace, others: u64, is_short: bool) {
        self.alone = if others == 0 { self.alone.saturating_add(1) } else { 0 };
        self.pace = if self.alone >= ALONE {
            pace.refill
        } else if is_short {
            self.pace.max(pace.first).saturating_add(pace.first / 4).min(pace.longest)
        } else {
            let more = self.pace.saturating_sub(pace.first);
            pace.first + more - more / 16
        };
    }
}

fn part(time: u64, part: u64, of: u64) -> u64 {
    let time = u128::from(time) * u128::from(part) / u128::from(of);
    u64::try_from(time).unwrap_or(u64::MAX)
}

/// Mixes the bits of a number.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
