//! Threads that ask at once: for longer by `cargo xtask stress`, which builds this without the other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod stress {
    mod keyed_races;
    mod races;

    use std::{
        future::Future,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
        thread::{self, Thread},
    };
    use tidegate_bulkhead::Bulkhead;

    fn bulkhead(capacity: u32) -> Bulkhead {
        Bulkhead::builder(capacity).build().unwrap()
    }

    /// Polls a future by nobody who could be woken.
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Wakes a thread that is parked.
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Waits on this thread, without a runtime.
    fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = Box::pin(future);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(end) => return end,
                Poll::Pending => thread::park(),
            }
        }
    }
}
