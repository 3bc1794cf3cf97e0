//! A clock that is wrong.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tidegate_ratelimit::{Clock, TokioClock, clock::Timer};

/// tokio's clock, and a time beside it that can be changed.
#[derive(Clone, Debug)]
pub(crate) struct Skewed(TokioClock, Arc<AtomicI64>);

impl Skewed {
    pub(crate) fn by(nanos: i64) -> Self {
        Self(TokioClock::new(), Arc::new(AtomicI64::new(nanos)))
    }

    pub(crate) fn set(&self, nanos: i64) {
        self.1.store(nanos, SeqCst);
    }
}

impl Clock for Skewed {
    type Timer = SkewedTimer;

    fn now(&self) -> u64 {
        (self.0.now() + 10_000_000_000).saturating_add_signed(self.1.load(SeqCst))
    }

    fn timer(&self) -> SkewedTimer {
        SkewedTimer(self.clone(), Box::pin(self.0.timer()))
    }
}

pub(crate) struct SkewedTimer(Skewed, Pin<Box<<TokioClock as Clock>::Timer>>);

impl Timer for SkewedTimer {
    fn poll_until(mut self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let left = at.saturating_sub(self.0.now());
        let until = self.0.0.now() + left;
        self.1.as_mut().poll_until(until, cx)
    }

    fn is_of_caller(&self) -> bool {
        self.1.is_of_caller()
    }
}
