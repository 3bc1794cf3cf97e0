//! What becomes of a request that does not pass.

use crate::{BreakerError, Open};
use std::fmt;

/// Which errors a guarded service has.
pub trait Errors<E> {
    /// Its error.
    type Error;

    /// An error of the inner service.
    fn inner(error: E) -> Self::Error;
}

/// Answers requests that do not pass.
pub trait Answer<R, T, E>: Errors<E> {
    /// Answers one.
    ///
    /// # Errors
    ///
    /// If that is the answer.
    fn answer(&self, request: R, open: Open) -> Result<T, Self::Error>;
}

/// They are errors: [`BreakerError::Open`]. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fail;

impl<E> Errors<E> for Fail {
    type Error = BreakerError<E>;

    fn inner(error: E) -> BreakerError<E> {
        BreakerError::Inner(error)
    }
}

impl<R, T, E> Answer<R, T, E> for Fail {
    fn answer(&self, _: R, open: Open) -> Result<T, BreakerError<E>> {
        Err(BreakerError::Open(open))
    }
}

/// A closure answers in place of the service.
#[derive(Clone, Copy)]
pub struct Fallback<F>(pub(super) F);

impl<E, F> Errors<E> for Fallback<F> {
    type Error = E;

    fn inner(error: E) -> E {
        error
    }
}

impl<R, T, E, F: Fn(R, Open) -> Result<T, E>> Answer<R, T, E> for Fallback<F> {
    fn answer(&self, request: R, open: Open) -> Result<T, E> {
        (self.0)(request, open)
    }
}

impl<F> fmt::Debug for Fallback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fallback(..)")
    }
}
