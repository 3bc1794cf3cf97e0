//! Why something does not enter, in one type for all ways to ask.

use crate::{AcquireError, TryAcquireError, UnknownCompartment};
use std::time::Duration;
use thiserror::Error;

/// It does not enter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejected {
    /// Not now.
    #[error(transparent)]
    Now(#[from] TryAcquireError),
    /// Not by waiting, either.
    #[error(transparent)]
    Waiting(#[from] AcquireError),
    /// As many keys as may be are in use, and this is another one.
    #[error("as many keys as may be are in use: {max_keys}")]
    TooManyKeys {
        /// How many there may be.
        max_keys: usize,
    },
    /// There is no compartment of that name.
    #[error(transparent)]
    Unknown(#[from] UnknownCompartment),
}

impl Rejected {
    /// After about which time it is worth asking again, if it is known, and if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Now(error) => error.retry_after(),
            Self::Waiting(error) => error.retry_after(),
            Self::TooManyKeys { .. } | Self::Unknown(_) => None,
        }
    }
}
