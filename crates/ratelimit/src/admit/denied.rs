//! Why something does not pass, in one type for all ways to ask.

use crate::{
    AcquireError, AcquireKeyError, ConfigError, TryAcquireError, TryAcquireKeyError,
    fleet::{FleetAcquireError, FleetConfigError, FleetTryAcquireError},
};
use std::time::Duration;
use thiserror::Error;

/// It does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// Not now.
    #[error(transparent)]
    Now(#[from] TryAcquireError),
    /// Not by waiting, either.
    #[error(transparent)]
    Waiting(#[from] AcquireError),
    /// The limiter keeps as many keys as it may, and has no room for this one.
    #[error("as many keys as may are in use: {max_keys}")]
    TooManyKeys {
        /// How many there may be.
        max_keys: usize,
        /// After this there is room again, if ever.
        retry_after: Option<Duration>,
    },
    /// The quota of the key is not usable.
    #[error("the quota of the key: {0}")]
    Quota(#[from] ConfigError),
    /// As many wait for the store of a fleet as may.
    #[error("{waiting} wait already")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// Whoever knows cannot be asked, and nothing is to pass without.
    #[error("the limiter is unavailable")]
    Unavailable {
        /// After this it is worth asking again, if that is known.
        retry_after: Option<Duration>,
    },
}

impl Denied {
    /// After which time it is worth asking again, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Now(error) => error.retry_after(),
            Self::Waiting(error) => error.retry_after(),
            Self::TooManyKeys { retry_after, .. } | Self::Unavailable { retry_after } => {
                *retry_after
            }
            Self::Quota(_) | Self::Full { .. } => None,
        }
    }

    /// How much would pass now; none, where that is not known.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        match *self {
            Self::Now(error) => error.remaining(),
            // Others wait already, or it would not have had to; or it never passes.
            Self::Waiting(_)
            | Self::TooManyKeys { .. }
            | Self::Quota(_)
            | Self::Full { .. }
            | Self::Unavailable { .. } => 0,
        }
    }
}

impl From<TryAcquireKeyError> for Denied {
    fn from(error: TryAcquireKeyError) -> Self {
        match error {
            TryAcquireKeyError::Limit(error) => Self::Now(error),
            TryAcquireKeyError::TooManyKeys { max_keys, retry_after } => {
                Self::TooManyKeys { max_keys, retry_after }
            }
            TryAcquireKeyError::Quota(error) => Self::Quota(error),
        }
    }
}

impl From<AcquireKeyError> for Denied {
    fn from(error: AcquireKeyError) -> Self {
        match error {
            AcquireKeyError::Limit(error) => Self::Waiting(error),
            AcquireKeyError::TooManyKeys { max_keys, retry_after } => {
                Self::TooManyKeys { max_keys, retry_after }
            }
            AcquireKeyError::Quota(error) => Self::Quota(error),
        }
    }
}

impl From<FleetTryAcquireError> for Denied {
    fn from(error: FleetTryAcquireError) -> Self {
        match error {
            FleetTryAcquireError::Denied { retry_after, remaining } => {
                Self::Now(TryAcquireError::Denied { retry_after, remaining })
            }
            FleetTryAcquireError::Never { cost, possible } => {
                Self::Now(TryAcquireError::Never { cost, possible, remaining: 0 })
            }
            FleetTryAcquireError::Full { waiting } => Self::Full { waiting },
            FleetTryAcquireError::Quota(error) => unusable(error),
            FleetTryAcquireError::Unavailable { retry_after, .. } => {
                Self::Unavailable { retry_after: Some(retry_after) }
            }
        }
    }
}

impl From<FleetAcquireError> for Denied {
    fn from(error: FleetAcquireError) -> Self {
        match error {
            FleetAcquireError::TooLate { retry_after } => {
                Self::Now(TryAcquireError::Denied { retry_after, remaining: 0 })
            }
            FleetAcquireError::Never { cost, possible } => {
                Self::Waiting(AcquireError::Never { cost, possible })
            }
            FleetAcquireError::Full { waiting } => Self::Full { waiting },
            FleetAcquireError::Quota(error) => unusable(error),
            FleetAcquireError::Unavailable { retry_after, .. } => {
                Self::Unavailable { retry_after: Some(retry_after) }
            }
        }
    }
}

/// A quota that no store can keep to, though a limiter may.
fn unusable(error: FleetConfigError) -> Denied {
    match error {
        FleetConfigError::Quota(error) => Denied::Quota(error),
        _ => Denied::Unavailable { retry_after: None },
    }
}
