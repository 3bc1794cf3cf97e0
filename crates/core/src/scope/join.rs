//! The join counter: how many live in a scope, and who waits for the last.

use crate::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    lock,
};
use std::task::{Context, Poll, Waker};

/// Counts the body and the children of a scope. Zero is closed, for ever.
pub(super) struct JoinCounter {
    alive: AtomicUsize,
    joiner: Mutex<Option<Waker>>,
}

impl JoinCounter {
    /// A counter that counts one: the body.
    pub(super) fn new() -> Self {
        Self { alive: AtomicUsize::new(1), joiner: Mutex::new(None) }
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    /// Counts one more and returns how many there were; none, if the scope is closed.
    pub(super) fn enter(&self) -> Option<usize> {
        let more = |alive| if alive == 0 { None } else { Some(alive + 1) };
        self.alive.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()
    }

    /// Counts one less; true for the call that closes the scope, which is to call
    /// [`wake_joiner`](Self::wake_joiner) next.
    pub(super) fn leave(&self) -> bool {
        self.alive.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn wake_joiner(&self) {
        let joiner = lock(&self.joiner).take();
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }

    /// Ready when the scope is closed. The waker is left before the count is read: whoever
    /// closes the scope after that finds it.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.alive() > 0 {
            let waker = Some(cx.waker().clone());
            let former = std::mem::replace(&mut *lock(&self.joiner), waker);
            drop(former);
        }
        if self.alive() > 0 { Poll::Pending } else { Poll::Ready(()) }
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

    #[test]
    fn is_open_until_body_and_children_have_left() {
        let counter = JoinCounter::new();
        assert_eq!(counter.enter(), Some(1));
        assert!(!counter.leave());
        assert_eq!(counter.enter(), Some(1));
        assert!(!counter.leave());
        assert!(counter.leave());
    }

    #[test]
    fn closed_is_for_ever() {
        let counter = JoinCounter::new();
        assert!(counter.leave());
        assert_eq!(counter.enter(), None);
        assert_eq!(counter.alive(), 0);
    }

    #[test]
    fn the_latest_waker_is_woken_once() {
        let counter = JoinCounter::new();
        let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
        for wakes in &wakes {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(counter.poll_closed(&Context::from_waker(&waker)).is_pending());
        }
        assert!(counter.leave());
        counter.wake_joiner();
        counter.wake_joiner();
        assert_eq!(wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(counter.poll_closed(&Context::from_waker(Waker::noop())).is_ready());
    }
}
