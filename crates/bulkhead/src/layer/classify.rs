//! What a limit that finds itself is told of a call.

use super::{Carry, CarryBy, InResponse, Release};
use crate::Outcome;
use std::fmt;

/// Says how a call has ended, for a [limit](crate::BulkheadBuilder::limit) that finds itself.
pub trait Classify<T, E> {
    /// A response is a [success](Outcome::Success), and an error is [one](Outcome::Error) of which nobody knows whether
    /// load is to blame, unless told otherwise.
    #[inline]
    fn outcome(&self, result: &Result<T, E>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Error }
    }
}

impl<T, E> Classify<T, E> for Release {}

impl<T, E> Classify<T, E> for InResponse {}

impl<T, E, F> Classify<T, E> for CarryBy<F> {}

/// A closure says so.
#[derive(Clone, Copy)]
pub struct Classified<C, F> {
    pub(super) carry: C,
    pub(super) classify: F,
}

impl<T, E, C, F: Fn(&Result<T, E>) -> Outcome> Classify<T, E> for Classified<C, F> {
    #[inline]
    fn outcome(&self, result: &Result<T, E>) -> Outcome {
        (self.classify)(result)
    }
}

impl<T, P, C: Carry<T, P>, F> Carry<T, P> for Classified<C, F> {
    type Response = C::Response;

    #[inline]
    fn carry(&self, response: T, permit: &mut Option<P>) -> C::Response {
        self.carry.carry(response, permit)
    }
}

impl<C: fmt::Debug, F> fmt::Debug for Classified<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Classified").field(&self.carry).finish()
    }
}
