//! What becomes of a request that does not pass.

use crate::{Denied, RateLimitError};
use std::fmt;

/// The errors of a service around one whose errors are `E`.
pub trait Errors<E> {
    /// An error of the service.
    type Error;

    /// An error of the inner service.
    fn inner(error: E) -> Self::Error;
}

/// Says what becomes of a request that does not pass: [`Fail`] or [`Respond`].
pub trait Answer<Request, T, E>: Errors<E> {
    /// The result of its call.
    ///
    /// # Errors
    ///
    /// If that is an error.
    fn answer(&self, request: Request, denied: Denied) -> Result<T, Self::Error>;
}

/// It is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fail;

/// A closure makes a response.
#[derive(Clone, Copy)]
pub struct Respond<F>(pub(super) F);

impl<E> Errors<E> for Fail {
    type Error = RateLimitError<E>;

    fn inner(error: E) -> RateLimitError<E> {
        RateLimitError::Inner(error)
    }
}

impl<Request, T, E> Answer<Request, T, E> for Fail {
    fn answer(&self, _: Request, denied: Denied) -> Result<T, RateLimitError<E>> {
        Err(RateLimitError::Denied(denied))
    }
}

impl<F, E> Errors<E> for Respond<F> {
    type Error = E;

    fn inner(error: E) -> E {
        error
    }
}

impl<F: Fn(Request, Denied) -> T, Request, T, E> Answer<Request, T, E> for Respond<F> {
    fn answer(&self, request: Request, denied: Denied) -> Result<T, E> {
        Ok((self.0)(request, denied))
    }
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond(..)")
    }
}
