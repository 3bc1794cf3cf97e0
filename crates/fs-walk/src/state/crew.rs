//! The threads of a stream: how many are at work, and who waits for the last one to leave.
//!
//! A thread enters before it is started, by whoever starts it and is itself still at work, so
//! that the crew is empty only at the end.

use std::task::{Context, Poll, Waker};

use tidegate_core::sync::Mutex;

use super::lock;

#[derive(Debug)]
pub(crate) struct Crew(Mutex<State>);

#[derive(Debug)]
struct State {
    at_work: usize,
    closer: Option<Waker>,
}

impl Crew {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { at_work: 0, closer: None }))
    }

    pub(crate) fn enter(&self) {
        lock(&self.0).at_work += 1;
    }

    /// True for the last one.
    pub(crate) fn leave(&self) -> bool {
        let mut state = lock(&self.0);
        state.at_work -= 1;
        if state.at_work > 0 {
            return false;
        }
        let closer = state.closer.take();
        drop(state);
        if let Some(closer) = closer {
            closer.wake();
        }
        true
    }

    /// Ready once nobody is at work.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        // A waker is made before the lock is taken: doing so may run the caller's code.
        let waker = cx.waker().clone();
        let mut state = lock(&self.0);
        if state.at_work == 0 {
            return Poll::Ready(());
        }
        let old = state.closer.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

#[cfg(all(test, tidegate_loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use tidegate_core::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn loom_whoever_waits_hears_of_the_last_one_and_of_nobody_before() {
        loom::model(|| {
            let (crew, done) = (Arc::new(Crew::new()), Arc::new(AtomicUsize::new(0)));
            crew.enter();
            let first = {
                let (crew, done) = (Arc::clone(&crew), Arc::clone(&done));
                thread::spawn(move || {
                    // It starts another one, and leaves before or after it.
                    crew.enter();
                    let second = {
                        let (crew, done) = (Arc::clone(&crew), Arc::clone(&done));
                        thread::spawn(move || {
                            done.fetch_add(1, Ordering::Relaxed);
                            crew.leave()
                        })
                    };
                    done.fetch_add(1, Ordering::Relaxed);
                    let last = crew.leave();
                    (last, second)
                })
            };
            loom::future::block_on(std::future::poll_fn(|cx| crew.poll_gone(cx)));
            assert_eq!(done.load(Ordering::Relaxed), 2);
            let (last, second) = first.join().expect("no panic");
            assert!(last != second.join().expect("no panic"), "one of them was the last");
        });
    }
}
