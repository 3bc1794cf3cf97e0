//! Without the feature no signal is listened for.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

/// Without the feature no signal is listened for.
pub(super) struct Received {
    pub(super) name: &'static str,
    pub(super) number: i32,
}

pub(super) struct Signals;

impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the same shape as with signals")]
    pub(super) fn install() -> Result<Self, Infallible> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the same shape as with signals")]
    pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<Received> {
        Poll::Pending
    }
}
