//! What becomes of the permit when a call has ended well.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// Says where the permit goes when there is a response: [`Release`], [`InResponse`] or [`CarryBy`].
pub trait Carry<T, P> {
    /// The response of the service.
    type Response;

    /// Gives the permit back, or takes it out and puts it somewhere. It is there, once; what is not taken out
    /// comes back with the future of the call.
    fn carry(&self, response: T, permit: &mut Option<P>) -> Self::Response;
}

/// It comes back at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Release;

impl<T, P> Carry<T, P> for Release {
    type Response = T;

    #[inline]
    fn carry(&self, response: T, permit: &mut Option<P>) -> T {
        // Dropped where it is: to move it costs half as much as the whole call.
        *permit = None;
        response
    }
}

/// It goes with the response.
#[derive(Clone, Copy, Debug, Default)]
pub struct InResponse;

impl<T, P> Carry<T, P> for InResponse {
    type Response = Permitted<T, P>;

    fn carry(&self, response: T, permit: &mut Option<P>) -> Permitted<T, P> {
        Permitted { response, permit: permit.take() }
    }
}

/// A closure says where.
#[derive(Clone, Copy)]
pub struct CarryBy<F>(pub(super) F);

impl<T, P, U, F: Fn(T, P) -> U> Carry<T, P> for CarryBy<F> {
    type Response = U;

    fn carry(&self, response: T, permit: &mut Option<P>) -> U {
        (self.0)(response, permit.take().expect("a call that ends has its permit"))
    }
}

impl<F> fmt::Debug for CarryBy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CarryBy(..)")
    }
}

/// A response with the permit of its call, which comes back when this is dropped.
#[derive(Clone, Debug)]
pub struct Permitted<T, P = crate::Permit> {
    // Dropped first: what is held is in use until it is gone.
    response: T,
    permit: Option<P>,
}

impl<T, P> Permitted<T, P> {
    /// A response that needed no permit: for an answer to who does not enter.
    pub fn without(response: T) -> Self {
        Self { response, permit: None }
    }

    /// The response and the permit, to be kept by other means.
    pub fn into_parts(self) -> (T, Option<P>) {
        (self.response, self.permit)
    }

    /// Changes the response, with the permit held.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Permitted<U, P> {
        let Self { response, permit } = self;
        Permitted { response: change(response), permit }
    }
}

impl<T, P> Deref for Permitted<T, P> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.response
    }
}

impl<T, P> DerefMut for Permitted<T, P> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.response
    }
}
