//! Why something does not pass, in one type for all ways to ask.

use crate::{AcquireError, TryAcquireError};
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
            Self::Unavailable { retry_after } => *retry_after,
        }
    }

    /// How much would pass now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        match *self {
            Self::Now(error) => error.remaining(),
            Self::Waiting(AcquireError::Never { possible, .. }) => possible,
            // Others wait already, or it would not have had to.
            Self::Waiting(_) | Self::Unavailable { .. } => 0,
        }
    }
}
