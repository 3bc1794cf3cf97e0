//! What can be wrong with a fleet limiter, and why something does not pass.

use super::{state::Fail, store::StoreError};
use crate::{ConfigError, Quota};
use std::time::Duration;
use thiserror::Error;

/// A fleet limiter that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FleetConfigError {
    /// No limiter can keep to the quota.
    #[error(transparent)]
    Quota(#[from] ConfigError),
    /// Nothing ever comes back: a store could never forget a key.
    #[error("a rate of zero cannot be shared")]
    NeverRefills,
    /// The numbers of the quota do not fit into 52 bits, in which stores calculate exactly.
    #[error("{quota} takes numbers of more than 52 bits")]
    TooFine {
        /// The quota.
        quota: Quota,
    },
    /// No lease can be more than a burst, or nothing.
    #[error("a lease of {lease} is not from 1 to the burst of {burst}")]
    Lease {
        /// The lease.
        lease: u64,
        /// The burst.
        burst: u64,
    },
    /// A quota cannot be shared by nobody.
    #[error("a fleet of no instances")]
    NoInstances,
    /// The timeout is zero: no store would ever answer in time.
    #[error("a timeout of zero")]
    ZeroTimeout,
    /// There is room for no key.
    #[error("room for no keys")]
    ZeroKeys,
}

/// It does not pass now.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FleetTryAcquireError {
    /// There are too few tokens, or others of this instance wait for them.
    #[error("rate limit reached: {remaining} left, retry after {retry_after:?}")]
    Denied {
        /// After this it passes, if nobody else takes anything.
        retry_after: Duration,
        /// How much would pass now.
        remaining: u64,
    },
    /// It never passes: more than the burst is asked for.
    #[error("{cost} never pass: at most {possible} can at once")]
    Never {
        /// How much was asked for.
        cost: u64,
        /// How much can pass at once at most.
        possible: u64,
    },
    /// As many of this instance wait for the key as may.
    #[error("{waiting} wait already")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// The store is down, or refuses [the key](StoreError::is_of_key), and nothing is to pass without it.
    #[error("the store cannot be asked")]
    Unavailable {
        /// After this the store is asked again.
        retry_after: Duration,
        /// What was wrong with it.
        source: StoreError,
    },
    /// The quota of the key is not usable.
    #[error("the quota of the key: {0}")]
    Quota(#[source] FleetConfigError),
}

/// It will not pass, or not in time.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FleetAcquireError {
    /// It never passes: more than the burst is asked for.
    #[error("{cost} never pass: at most {possible} can at once")]
    Never {
        /// How much was asked for.
        cost: u64,
        /// How much can pass at once at most.
        possible: u64,
    },
    /// It would pass only after its deadline. As soon as this is known, it is said, before any waiting.
    #[error("would pass after {retry_after:?} at the earliest, which is too late")]
    TooLate {
        /// After this it would pass, as far as is known.
        retry_after: Duration,
    },
    /// As many of this instance wait for the key as may.
    #[error("{waiting} wait already")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// The store is down, or refuses [the key](StoreError::is_of_key), and nothing is to pass without it.
    #[error("the store cannot be asked")]
    Unavailable {
        /// After this the store is asked again.
        retry_after: Duration,
        /// What was wrong with it.
        source: StoreError,
    },
    /// The quota of the key is not usable.
    #[error("the quota of the key: {0}")]
    Quota(#[source] FleetConfigError),
}

impl FleetTryAcquireError {
    /// After which time it is worth asking again, if ever and if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Denied { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                Some(retry_after)
            }
            Self::Never { .. } | Self::Full { .. } | Self::Quota(_) => None,
        }
    }
}

impl FleetAcquireError {
    /// After which time it is worth asking again, if ever and if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::TooLate { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(retry_after)
            }
            Self::Never { .. } | Self::Full { .. } | Self::Quota(_) => None,
        }
    }
}

impl From<Fail> for FleetTryAcquireError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Denied { retry_after, remaining } => Self::Denied { retry_after, remaining },
            // Only who waits has a deadline.
            Fail::TooLate { retry_after } => Self::Denied { retry_after, remaining: 0 },
            Fail::Never { cost, possible } => Self::Never { cost, possible },
            Fail::Full { waiting } => Self::Full { waiting },
            Fail::Quota(error) => Self::Quota(error),
            Fail::Unavailable { retry_after, source } => Self::Unavailable { retry_after, source },
        }
    }
}

impl From<Fail> for FleetAcquireError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Denied { retry_after, .. } | Fail::TooLate { retry_after } => {
                Self::TooLate { retry_after }
            }
            Fail::Never { cost, possible } => Self::Never { cost, possible },
            Fail::Full { waiting } => Self::Full { waiting },
            Fail::Quota(error) => Self::Quota(error),
            Fail::Unavailable { retry_after, source } => Self::Unavailable { retry_after, source },
        }
    }
}
