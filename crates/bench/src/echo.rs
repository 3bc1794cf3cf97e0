//! A service that answers at once, which both programs put layers around.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};
use tower_service::Service;

/// Is always ready, and answers at once: all that is measured is the layer.
#[derive(Clone)]
pub(crate) struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        ready(Ok(n))
    }
}

/// Calls it so many times, and counts the answers.
pub(crate) fn call(service: &mut impl Service<u64, Response = u64>, times: u64) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let call = |n| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(n));
        u64::from(matches!(call.poll(&mut cx), Poll::Ready(Ok(said)) if said == n))
    };
    (0..times).map(call).sum()
}
