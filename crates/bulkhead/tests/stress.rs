//! Threads that ask at once: for longer by `cargo xtask stress`, which builds this without the other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod stress {
    mod keyed_races;
    mod races;

    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };
    use tidegate_bulkhead::Bulkhead;

    fn bulkhead(capacity: u32) -> Bulkhead {
        Bulkhead::builder(capacity).build().unwrap()
    }

    /// Polls a future by nobody who could be woken.
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
