//! A quota in whole numbers.

use crate::{ConfigError, Quota};
use std::time::Duration;

/// The longest time that a quota may span: 2^63 nanoseconds.
pub(super) const LONGEST: u128 = 1 << 63;

/// A [`Quota`] in units in which both a token and a nanosecond are whole numbers, so that no sum of them
/// is ever rounded: with `n` tokens per `p` nanoseconds in lowest terms, a token is `p` units and a
/// nanosecond `n`.
///
/// A rate of zero has nanoseconds of no units, an unlimited one tokens of no units: no case of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Units per nanosecond.
    pub(crate) tick: u64,
    /// Units per token.
    pub(crate) token: u64,
    /// Units per burst.
    pub(crate) burst: u128,
}

impl Scale {
    /// The scale of a quota.
    ///
    /// # Errors
    ///
    /// If the quota is not usable: see [`ConfigError`]. Within what is left no number here overflows.
    pub fn new(quota: Quota) -> Result<Self, ConfigError> {
        let rate = quota.rate();
        if rate.is_unlimited() {
            return Ok(Self { tick: 1, token: 0, burst: 0 });
        }
        if quota.burst() == 0 {
            return Err(ConfigError::ZeroBurst);
        }
        if rate.period() == Duration::ZERO {
            return Err(ConfigError::ZeroPeriod);
        }
        if rate.count() == 0 {
            return Ok(Self { tick: 0, token: 1, burst: u128::from(quota.burst()) });
        }
        let period = u64::try_from(rate.period().as_nanos()).ok().filter(|&p| p < 1 << 63);
        let period = period.ok_or(ConfigError::PeriodTooLong)?;
        if rate.count() > 1 << 62 {
            return Err(ConfigError::RateTooHigh);
        }
        let divisor = gcd(rate.count(), period);
        let (tick, token) = (rate.count() / divisor, period / divisor);
        let burst = u128::from(quota.burst()) * u128::from(token);
        if burst / u128::from(tick) >= LONGEST {
            return Err(ConfigError::BurstTooLarge);
        }
        Ok(Self { tick, token, burst })
    }

    /// A time in units.
    pub(crate) fn time(&self, nanos: u64) -> u128 {
        u128::from(nanos) * u128::from(self.tick)
    }

    /// The first nanosecond that is not before that time in units; none, if time stands still.
    pub(crate) fn nanos(&self, units: u128) -> Option<u64> {
        if units == 0 {
            return Some(0);
        }
        let tick = u128::from(self.tick);
        (tick > 0).then(|| u64::try_from(units.div_ceil(tick)).unwrap_or(u64::MAX))
    }

    /// Tokens in units.
    pub(crate) fn tokens(&self, count: u64) -> u128 {
        u128::from(count) * u128::from(self.token)
    }

    /// Whole tokens in that many units.
    pub(crate) fn whole_tokens(&self, units: u128) -> u64 {
        units
            .checked_div(u128::from(self.token))
            .map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
    }

    /// What was taken before is not given back by another scale, to which this one is changed `at` a time:
    /// more may have come back by then than the other one says. At the very time nothing has.
    pub(crate) fn given_back_since(&self, to: &Self, at: u64) -> u64 {
        if self.token == to.token && self.tick == to.tick {
            0
        } else if self.token == 0 || to.token == 0 {
            // Nothing was owed, or nothing is any more.
            at.saturating_add(1)
        } else if to.is_slower_than(self) {
            at
        } else {
            0
        }
    }

    /// Whether fewer tokens come in the same time.
    pub(crate) fn is_slower_than(&self, other: &Self) -> bool {
        let come = |one: &Self, per: &Self| u128::from(one.tick) * u128::from(per.token);
        come(self, other) < come(other, self)
    }

    /// How many tokens there are at most.
    pub(crate) fn most(&self) -> u64 {
        self.whole_tokens(self.burst)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
