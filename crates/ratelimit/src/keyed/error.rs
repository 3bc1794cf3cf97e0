//! Why a request of a key does not pass.

use crate::{AcquireError, ConfigError, TryAcquireError};
use std::time::Duration;
use thiserror::Error;

/// It does not pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryAcquireKeyError {
    /// The limit of the key does not let it pass.
    #[error(transparent)]
    Limit(#[from] TryAcquireError),
    /// The table of keys is full of others that have taken something, and the key is not one of them.
    #[error("as many keys as may are in use: {max_keys}")]
    TooManyKeys {
        /// How many there may be.
        max_keys: usize,
        /// After this the first of those looked at is full, and makes room; none, if none ever is.
        retry_after: Option<Duration>,
    },
    /// The quota of the key is not usable.
    #[error("the quota of the key: {0}")]
    Quota(#[from] ConfigError),
}

impl TryAcquireKeyError {
    /// After which time it is worth asking again, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limit(error) => error.retry_after(),
            Self::TooManyKeys { retry_after, .. } => *retry_after,
            Self::Quota(_) => None,
        }
    }

    /// How much would pass now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        match self {
            Self::Limit(error) => error.remaining(),
            Self::TooManyKeys { .. } | Self::Quota(_) => 0,
        }
    }
}

/// It will not pass, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcquireKeyError {
    /// The limit of the key does not let it pass, or too many wait.
    #[error(transparent)]
    Limit(#[from] AcquireError),
    /// The table of keys is full of others that have taken something, and the key is not one of them.
    #[error("as many keys as may are in use: {max_keys}")]
    TooManyKeys {
        /// How many there may be.
        max_keys: usize,
        /// After this the first of those looked at is full, and makes room; none, if none ever is.
        retry_after: Option<Duration>,
    },
    /// The quota of the key is not usable.
    #[error("the quota of the key: {0}")]
    Quota(#[from] ConfigError),
}

impl AcquireKeyError {
    /// After which time it would pass, or is worth asking again, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limit(error) => error.retry_after(),
            Self::TooManyKeys { retry_after, .. } => *retry_after,
            Self::Quota(_) => None,
        }
    }
}

/// Why the cell of a key could not be asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failed {
    TooManyKeys { max_keys: usize, retry_after: Option<Duration> },
    Quota(ConfigError),
}

impl From<Failed> for TryAcquireKeyError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::TooManyKeys { max_keys, retry_after } => {
                Self::TooManyKeys { max_keys, retry_after }
            }
            Failed::Quota(error) => Self::Quota(error),
        }
    }
}

impl From<Failed> for AcquireKeyError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::TooManyKeys { max_keys, retry_after } => {
                Self::TooManyKeys { max_keys, retry_after }
            }
            Failed::Quota(error) => Self::Quota(error),
        }
    }
}
