//! The join counter: how many live in a scope, and who waits for the last.

use crate::{
    panic::wake_quietly,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        lock,
    },
};
use std::task::{Context, Poll, Waker};

/// Counts the driver, which is the scope's own future, the body and the children of a scope.
/// Zero is closed, for ever. Only the driver closes a scope, so that what it finds then is
/// final; if its future is dropped, the last to leave does.
pub(super) struct JoinCounter {
    alive: AtomicUsize,
    joiner: Mutex<Option<Waker>>,
}

impl JoinCounter {
    /// A counter that counts two: the driver and the body.
    pub(super) fn new() -> Self {
        Self { alive: AtomicUsize::new(2), joiner: Mutex::new(None) }
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    /// Counts one more; false, if the scope is closed.
    pub(super) fn enter(&self) -> bool {
        let more = |alive| if alive == 0 { None } else { Some(alive + 1) };
        self.alive.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Counts one less; true for the call that closes the scope. One is left when the driver
    /// waits for nobody any more.
    pub(super) fn leave(&self) -> bool {
        let before = self.alive.fetch_sub(1, Ordering::AcqRel);
        if before == 2 {
            self.take_joiner().into_iter().for_each(wake_quietly);
        }
        before == 1
    }

    /// The driver's waker.
    pub(super) fn take_joiner(&self) -> Option<Waker> {
        lock(&self.joiner).take()
    }

    /// Leaves the driver's waker, for the last child or an abort to find. A waker's clone and
    /// drop are foreign code: neither runs under the lock.
    pub(super) fn park(&self, cx: &Context<'_>) {
        let waker = Some(cx.waker().clone());
        let former = std::mem::replace(&mut *lock(&self.joiner), waker);
        drop(former);
    }

    /// Ready when only the driver is left, which leaves by that. The waker is left before the
    /// second look: whoever ends after that finds it.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.try_close() {
            return Poll::Ready(());
        }
        self.park(cx);
        if self.try_close() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn try_close(&self) -> bool {
        self.alive.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(counter: &JoinCounter) -> bool {
        counter.poll_closed(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn is_open_until_body_and_children_have_left() {
        let counter = JoinCounter::new();
        assert!(counter.enter());
        assert!(!counter.leave() && !poll(&counter));
        assert!(counter.enter());
        assert!(!counter.leave() && !poll(&counter));
        assert!(!counter.leave(), "the driver holds it open until it looks");
        assert!(poll(&counter));
    }

    #[test]
    fn closed_is_for_ever() {
        let counter = JoinCounter::new();
        assert!(!counter.leave());
        assert!(poll(&counter));
        assert!(!counter.enter());
        assert_eq!(counter.alive(), 0);
    }

    #[test]
    fn without_a_driver_the_last_child_closes() {
        let counter = JoinCounter::new();
        assert!(counter.enter());
        assert!(!counter.leave() && !counter.leave());
        assert!(counter.leave());
    }

    #[test]
    fn the_latest_waker_is_woken_once() {
        let counter = JoinCounter::new();
        assert!(counter.enter());
        let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
        for wakes in &wakes {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(counter.poll_closed(&Context::from_waker(&waker)).is_pending());
        }
        assert!(!counter.leave());
        assert!(!counter.leave());
        assert_eq!(wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(poll(&counter));
    }
}
