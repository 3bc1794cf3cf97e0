//! What becomes of a request that does not enter.

use crate::{BulkheadError, Rejected};
use std::fmt;

/// The errors of a service around one whose errors are `E`.
pub trait Errors<E> {
    /// An error of the service.
    type Error;

    /// An error of the inner service.
    fn inner(error: E) -> Self::Error;
}

/// Says what becomes of a request that does not enter: [`Fail`] or [`Respond`].
pub trait Answer<Request, T, E>: Errors<E> {
    /// The result of its call.
    ///
    /// # Errors
    ///
    /// If that is an error.
    fn answer(&self, request: Request, rejected: Rejected) -> Result<T, Self::Error>;
}

/// It is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fail;

/// A closure makes a response.
#[derive(Clone, Copy)]
pub struct Respond<F>(pub(super) F);

impl<E> Errors<E> for Fail {
    type Error = BulkheadError<E>;

    #[inline]
    fn inner(error: E) -> BulkheadError<E> {
        BulkheadError::Inner(error)
    }
}

impl<Request, T, E> Answer<Request, T, E> for Fail {
    fn answer(&self, _: Request, rejected: Rejected) -> Result<T, BulkheadError<E>> {
        Err(BulkheadError::Rejected(rejected))
    }
}

impl<F, E> Errors<E> for Respond<F> {
    type Error = E;

    #[inline]
    fn inner(error: E) -> E {
        error
    }
}

impl<F: Fn(Request, Rejected) -> T, Request, T, E> Answer<Request, T, E> for Respond<F> {
    fn answer(&self, request: Request, rejected: Rejected) -> Result<T, E> {
        Ok((self.0)(request, rejected))
    }
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond(..)")
    }
}
