//! The kinds of limits, as a caller writes them.

use crate::{ConfigError, Quota, Rate};
use std::{fmt, time::Duration};

/// A strict limit: never more than so much in any window of that length, wherever it begins.
///
/// A [`Quota`] lets pass a burst, and what comes back meanwhile: 100 per minute with a burst of 100 may
/// be 199 within a minute. Where somebody else counts so much per minute and turns away the rest, this is
/// what they count. It comes at the price of a log of what has passed, and of stretches of time in which
/// nothing does, since a window that was used up at once is free again at once.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::{Quota, Rate, RateLimiter, SlidingWindow};
///
/// let minute = Duration::from_secs(60);
/// let strict = RateLimiter::builder(SlidingWindow::new(100, minute)).build().unwrap();
/// assert!(strict.try_acquire(100).is_ok());
///
/// // Never more than 100 in a minute, and never more than 10 at once.
/// let paced = RateLimiter::builder(Quota::new(Rate::per_second(10), 10)).window(100, minute);
/// assert!(paced.build().unwrap().try_acquire(11).is_err());
/// assert_eq!(SlidingWindow::new(100, minute).to_string(), "at most 100 in any 60s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlidingWindow {
    rate: Rate,
    slot: Option<Duration>,
}

impl SlidingWindow {
    /// Never more than `count` tokens in any window of that length.
    #[must_use]
    pub const fn new(count: u64, length: Duration) -> Self {
        Self { rate: Rate::new(count, length), slot: None }
    }

    /// How exactly it is known when something passed: by default to the nanosecond where the count is not
    /// above 1024, and to a 1024th of the window otherwise.
    ///
    /// Whatever it is, the limit is kept; tokens come back later by less than this, and it takes
    /// 16 bytes for each token or slot, of which there are fewer.
    #[must_use]
    pub const fn resolution(self, slot: Duration) -> Self {
        Self { rate: self.rate, slot: Some(slot) }
    }

    /// The count, and the length of the window as its period.
    #[must_use]
    pub const fn rate(self) -> Rate {
        self.rate
    }

    pub(crate) const fn slot(self) -> Option<Duration> {
        self.slot
    }
}

impl fmt::Display for SlidingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rate.is_unlimited() {
            return f.write_str("unlimited");
        }
        write!(f, "at most {} in any {:?}", self.rate.count(), self.rate.period())
    }
}

/// A limit of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// A burst that comes back at a rate.
    Quota(Quota),
    /// Never more than so much in any window.
    Window(SlidingWindow),
}

impl Limit {
    /// The rate and burst; of a strict window, its count per its length, and all of it at once.
    #[must_use]
    pub const fn quota(self) -> Quota {
        match self {
            Self::Quota(quota) => quota,
            Self::Window(window) => Quota::new(window.rate, window.rate.count()),
        }
    }

    /// With another rate, or another count and length. The burst stays, but for that of
    /// [`Rate::UNLIMITED`] by default, which no other rate can have.
    #[must_use]
    pub fn with_rate(self, rate: Rate) -> Self {
        match self {
            Self::Quota(quota) if quota == Rate::UNLIMITED.into() => Self::Quota(rate.into()),
            Self::Quota(quota) => Self::Quota(Quota::new(rate, quota.burst())),
            Self::Window(SlidingWindow { rate: _, slot }) => {
                Self::Window(SlidingWindow { rate, slot })
            }
        }
    }

    /// With another rate and burst.
    ///
    /// # Errors
    ///
    /// If it is a strict window, which has no burst.
    pub const fn with_quota(self, quota: Quota) -> Result<Self, ConfigError> {
        match self {
            Self::Quota(_) => Ok(Self::Quota(quota)),
            Self::Window(_) => Err(ConfigError::NoBurst),
        }
    }

    /// With another burst.
    ///
    /// # Errors
    ///
    /// If it is a strict window, which has none.
    pub const fn with_burst(self, burst: u64) -> Result<Self, ConfigError> {
        match self {
            Self::Quota(quota) => Ok(Self::Quota(Quota::new(quota.rate(), burst))),
            Self::Window(_) => Err(ConfigError::NoBurst),
        }
    }
}

/// With what comes back in 10 ms as burst, and at least one.
impl From<Rate> for Limit {
    fn from(rate: Rate) -> Self {
        Self::Quota(rate.into())
    }
}

impl From<Quota> for Limit {
    fn from(quota: Quota) -> Self {
        Self::Quota(quota)
    }
}

impl From<SlidingWindow> for Limit {
    fn from(window: SlidingWindow) -> Self {
        Self::Window(window)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(quota) => quota.fmt(f),
            Self::Window(window) => window.fmt(f),
        }
    }
}
