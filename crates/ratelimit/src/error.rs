//! What can be wrong with a configuration, and why something does not pass.

use std::time::Duration;
use thiserror::Error;

/// A limiter that cannot be built, or a change of it that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A rate counts tokens per no time at all.
    #[error("the period of a rate is zero")]
    ZeroPeriod,
    /// Nothing would ever pass.
    #[error("the burst is zero: nothing would ever pass")]
    ZeroBurst,
    /// A period is longer than 292 years.
    #[error("the period of a rate is longer than 292 years")]
    PeriodTooLong,
    /// A rate counts more tokens in its period than 2^62.
    #[error("a rate of more than 2^62 tokens per period")]
    RateTooHigh,
    /// It takes more than 292 years until a burst has come back.
    #[error("it takes more than 292 years until a burst has come back")]
    BurstTooLarge,
    /// A strict window has no burst that could be set.
    #[error("a strict window has no burst of its own")]
    NoBurst,
    /// The resolution of a strict window is none, longer than the window, or makes a log of more than
    /// 65 536 slots.
    #[error("the resolution of a window is zero, longer than it, or too fine for 65536 slots")]
    Resolution,
}

/// It does not pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// There are too few tokens, or others wait for them.
    #[error("rate limit reached: {remaining} left, retry after {retry_after:?}")]
    Denied {
        /// After this it passes, if nobody else takes anything.
        retry_after: Duration,
        /// How much would pass now.
        remaining: u64,
    },
    /// It never passes: more than the burst is asked for, or a limit of rate zero is used up.
    #[error("{cost} never pass: at most {possible} can at once")]
    Never {
        /// How much was asked for.
        cost: u64,
        /// How much can pass at once at most.
        possible: u64,
        /// How much would pass now; none, where that is not known.
        remaining: u64,
    },
}

impl TryAcquireError {
    /// After which time it is worth asking again, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Denied { retry_after, .. } => Some(retry_after),
            Self::Never { .. } => None,
        }
    }

    /// How much would pass now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        match *self {
            Self::Denied { remaining, .. } | Self::Never { remaining, .. } => remaining,
        }
    }
}

/// It will not pass, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// It never passes: more than the burst is asked for, or a limit of rate zero is used up.
    #[error("{cost} never pass: at most {possible} can at once")]
    Never {
        /// How much was asked for.
        cost: u64,
        /// How much can pass at once at most.
        possible: u64,
    },
    /// It would pass only after its deadline. This is known, and said, before any waiting.
    #[error("would pass after {retry_after:?}, and only {allowed:?} are allowed")]
    TooLate {
        /// After this it would pass.
        retry_after: Duration,
        /// What was left until the deadline.
        allowed: Duration,
    },
    /// As many wait as may.
    #[error("{waiting} wait already")]
    Full {
        /// How many wait, with those that were served and have not looked.
        waiting: usize,
        /// After this the last of them passes, and this would if it could wait.
        retry_after: Duration,
    },
}

impl AcquireError {
    /// After which time it would pass, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::TooLate { retry_after, .. } | Self::Full { retry_after, .. } => Some(retry_after),
            Self::Never { .. } => None,
        }
    }
}
