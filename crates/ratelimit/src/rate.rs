//! Rates and quotas, as a caller writes them.

use std::{fmt, time::Duration};

/// How many tokens come back in which time: `n` per `period`, exactly, without rounding.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::Rate;
///
/// assert_eq!(Rate::per_minute(60), Rate::new(60, Duration::from_secs(60)));
/// assert_eq!(Rate::every(Duration::from_millis(5)).to_string(), "1 per 5ms");
/// ```
///
/// What no limiter can keep to, such as a period of nothing, is refused where one is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    period: Duration,
}

impl Rate {
    /// Nothing ever comes back: a burst passes, and that is all.
    pub const ZERO: Self = Self::new(0, Duration::from_secs(1));

    /// Everything passes.
    pub const UNLIMITED: Self = Self::new(u64::MAX, Duration::ZERO);

    /// `count` tokens per `period`.
    #[must_use]
    pub const fn new(count: u64, period: Duration) -> Self {
        Self { count, period }
    }

    /// `count` tokens per second.
    #[must_use]
    pub const fn per_second(count: u64) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// `count` tokens per minute.
    #[must_use]
    pub const fn per_minute(count: u64) -> Self {
        Self::new(count, Duration::from_secs(60))
    }

    /// `count` tokens per hour.
    #[must_use]
    pub const fn per_hour(count: u64) -> Self {
        Self::new(count, Duration::from_secs(60 * 60))
    }

    /// `count` tokens per day of 24 hours.
    #[must_use]
    pub const fn per_day(count: u64) -> Self {
        Self::new(count, Duration::from_secs(24 * 60 * 60))
    }

    /// A token each `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self::new(1, interval)
    }

    /// How many tokens come back in a [`period`](Self::period).
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The time in which [`count`](Self::count) tokens come back.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Whether it is [`UNLIMITED`](Self::UNLIMITED).
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.count == u64::MAX && self.period.is_zero()
    }

    /// What comes back in 10 ms, at least one: as much as a wait of some timer ticks too many can
    /// make up for, and a hundredth of what passes in a second.
    #[must_use]
    pub(crate) fn default_burst(self) -> u64 {
        if self.is_unlimited() {
            return u64::MAX;
        }
        let tokens = u128::from(self.count) * 10_000_000 / self.period.as_nanos().max(1);
        u64::try_from(tokens).unwrap_or(u64::MAX).max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() {
            return f.write_str("unlimited");
        }
        write!(f, "{} per {:?}", self.count, self.period)
    }
}

/// A rate, and how much may pass at once after a quiet time: in any time `t` at most
/// `burst + rate * t`.
///
/// ```
/// use tidegate_ratelimit::{Quota, Rate};
///
/// let quota = Quota::new(Rate::per_second(100), 20);
/// assert_eq!(quota.to_string(), "100 per 1s, burst 20");
/// assert_eq!(Quota::from(Rate::per_second(2_000)).burst(), 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    rate: Rate,
    burst: u64,
}

impl Quota {
    /// A quota of that rate and burst.
    #[must_use]
    pub const fn new(rate: Rate, burst: u64) -> Self {
        Self { rate, burst }
    }

    /// The rate.
    #[must_use]
    pub const fn rate(self) -> Rate {
        self.rate
    }

    /// How much may pass at once.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }
}

/// With what comes back in 10 ms as burst, and at least one.
impl From<Rate> for Quota {
    fn from(rate: Rate) -> Self {
        Self::new(rate, rate.default_burst())
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rate.is_unlimited() {
            return f.write_str("unlimited");
        }
        write!(f, "{}, burst {}", self.rate, self.burst)
    }
}
