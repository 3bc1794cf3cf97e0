//! A quota as a store keeps to it: in microseconds, and in numbers that a double holds exactly.

use super::super::{
    error::FleetConfigError,
    store::{Answer, Ask},
};
use crate::{Quota, state::Scale};
use std::time::Duration;

/// No number that a store calculates with is larger: below it, doubles (all that Lua has) are exact, and
/// so is the floor of a quotient of two of them.
const EXACT: u128 = 1 << 52;

/// A quota in whole numbers that every store agrees on.
///
/// With `n` tokens per `p` nanoseconds, `1000 n : p` in lowest terms is `tick : token`; a microsecond is
/// `tick` units, and a token is `token` units. Both are whole numbers, so the rate is exact, not rounded to
/// the clock of the store: the error of the long-run rate is zero. What is rounded is when a token is seen
/// to have come back, to the microsecond after.
///
/// | number | at most |
/// |---|---|
/// | units of a burst, of a token, of a microsecond | together less than 2^52 |
/// | a time in microseconds since 1970 | 2^52 in the year 2112 |
/// | an arrival time, which is the sum of a time and a burst | less than 2^53 |
///
/// Quotas beyond are [refused](FleetConfigError::TooFine). 52 bits are, for one token an hour, a burst of a
/// million, and for one in 100 µs one of 45 trillion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreQuota {
    quota: Quota,
    tick: u64,
    token: u64,
    burst: u64,
}

/// The *theoretical arrival time* of a key as a store keeps it: in microseconds by its clock, and units of
/// the quota beyond that.
///
/// A change of the quota leaves the time as it is: what is owed stays owed in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tat {
    /// Whole microseconds.
    pub micros: u64,
    /// Units beyond, less than a microsecond has.
    pub units: u64,
}

impl StoreQuota {
    /// Checks a quota.
    ///
    /// # Errors
    ///
    /// If it is not usable, if nothing ever comes back (a store could never forget such a key), or if its
    /// numbers are not exact in a double.
    pub fn new(quota: Quota) -> Result<Self, FleetConfigError> {
        Scale::new(quota)?;
        let rate = quota.rate();
        if rate.count() == 0 {
            return Err(FleetConfigError::NeverRefills);
        }
        let (count, period) = (u128::from(rate.count()) * 1000, rate.period().as_nanos());
        let divisor = gcd(count, period);
        let (tick, token) = (count / divisor, period / divisor);
        let burst = token * u128::from(quota.burst());
        // None of them is 2^127, which the scale has seen to.
        if burst + token + tick >= EXACT {
            return Err(FleetConfigError::TooFine { quota });
        }
        let small = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Self { quota, tick: small(tick), token: small(token), burst: small(burst) })
    }

    /// The quota.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Units of a microsecond.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Units of a token.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Units of a burst.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// What a store does with a key at the time `now`, in microseconds by its own clock, and the only thing
    /// it does: from the arrival time that it has, if any, to the one that it is to have. The script for
    /// Redis is this, line by line.
    ///
    /// An arrival time further ahead than a burst is one by another clock, such as that of the server that
    /// this one has taken over from: it is cut off, and the key is empty at worst.
    #[must_use]
    pub fn apply(&self, tat: Option<Tat>, now: u64, ask: &Ask) -> (Tat, Answer) {
        let Self { tick, token, burst, .. } = *self;
        let most = burst.div_ceil(tick);
        let ahead = tat.map_or(0, |tat| match tat.micros.checked_sub(now) {
            Some(micros) if micros > most => burst,
            Some(micros) => (micros * tick + tat.units.min(tick - 1)).min(burst),
            None => 0,
        });
        let known = if ask.at_least > most { burst } else { (ask.at_least * tick).min(burst) };
        let back = ask.refund.min(burst / token) * token;
        let ahead = ahead.max(known).saturating_sub(back);
        let left = (burst - ahead) / token;
        let granted = if left < ask.min { 0 } else { left.min(ask.max) };
        let ahead = ahead + granted * token;
        let tat = Tat { micros: now + ahead / tick, units: ahead % tick };
        (tat, Answer { granted, full_after: self.time(ahead) })
    }

    /// How many tokens are left of a key that is full after that time.
    #[must_use]
    pub fn remaining(&self, full_after: Duration) -> u64 {
        let ahead = full_after.as_nanos() * u128::from(self.tick) / 1000;
        let left = u128::from(self.burst).saturating_sub(ahead) / u128::from(self.token);
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// A time in units, rounded up to nanoseconds.
    #[must_use]
    pub fn time(&self, units: u64) -> Duration {
        let part = (u128::from(units % self.tick) * 1000).div_ceil(u128::from(self.tick));
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        Duration::from_micros(units / self.tick) + Duration::from_nanos(part)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
