//! Batches on their way from the walking threads to one asynchronous reader: bounded, and closed
//! from both ends.
//!
//! | event | state | effect |
//! |---|---|---|
//! | `push`, below capacity | open | queued, the reader is woken |
//! | `push`, at capacity | open | the producer parks until half of the places are free |
//! | `finish` | open | the reader gets what is queued, then the end |
//! | `stop` | open or finished | queued batches are handed back, producers are woken and refused, the reader is woken and gets the end |

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use tidegate_core::sync::{Condvar, Mutex};

use super::lock;

#[derive(Debug)]
pub(crate) struct Outbox<B> {
    state: Mutex<State<B>>,
    space: Condvar,
}

#[derive(Debug)]
struct State<B> {
    batches: VecDeque<B>,
    capacity: usize,
    /// Producers parked for space: without one, nobody needs a notification.
    parked: usize,
    closed: Closed,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    No,
    /// No more batches come.
    Finished,
    /// Nobody wants what there is.
    Stopped,
}

impl<B> Outbox<B> {
    /// Holds `capacity` batches, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                batches: VecDeque::with_capacity(capacity.max(1)),
                capacity: capacity.max(1),
                parked: 0,
                closed: Closed::No,
                reader: None,
            }),
            space: Condvar::new(),
        }
    }

    /// Queues a batch, parking while the outbox is full.
    ///
    /// # Errors
    ///
    /// Hands the batch back after [`stop`](Self::stop).
    pub(crate) fn push(&self, batch: B) -> Result<(), B> {
        let mut state = lock(&self.state);
        while state.closed == Closed::No && state.batches.len() >= state.capacity {
            state.parked += 1;
            state = self.space.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.parked -= 1;
        }
        if state.closed != Closed::No {
            return Err(batch);
        }
        state.batches.push_back(batch);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Takes the oldest batch; `None` at the end.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<B>> {
        if let Some(popped) = self.pop(None) {
            return Poll::Ready(popped);
        }
        // A waker is made before the lock is taken: doing so may run the caller's code.
        self.pop(Some(cx.waker().clone())).map_or(Poll::Pending, Poll::Ready)
    }

    /// `None` if there is something to wait for: with a waker, the reader is woken then.
    #[expect(clippy::option_option, reason = "the inner one is the end")]
    fn pop(&self, waker: Option<Waker>) -> Option<Option<B>> {
        let mut state = lock(&self.state);
        if state.closed != Closed::Stopped {
            if let Some(batch) = state.batches.pop_front() {
                // Producers run less often, and for longer, if there is room for several batches.
                if state.parked > 0 && state.batches.len() <= state.capacity / 2 {
                    self.space.notify_all();
                }
                return Some(Some(batch));
            }
        }
        if state.closed != Closed::No {
            return Some(None);
        }
        let old = waker.and_then(|waker| state.reader.replace(waker));
        drop(state);
        drop(old);
        None
    }

    /// Says that no more batches come.
    pub(crate) fn finish(&self) {
        self.close(Closed::Finished);
    }

    /// Refuses whatever comes and hands back what is queued, to be dropped outside of the lock.
    #[must_use]
    pub(crate) fn stop(&self) -> VecDeque<B> {
        self.close(Closed::Stopped)
    }

    fn close(&self, how: Closed) -> VecDeque<B> {
        let mut state = lock(&self.state);
        let mut left = VecDeque::new();
        if how == Closed::Stopped {
            left = std::mem::take(&mut state.batches);
        }
        if state.closed != Closed::Stopped {
            state.closed = how;
        }
        if state.parked > 0 {
            self.space.notify_all();
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        left
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_finished_outbox_is_drained_and_a_stopped_one_is_not() {
        let mut cx = Context::from_waker(Waker::noop());
        let outbox = Outbox::new(2);
        assert!(outbox.poll_pop(&mut cx).is_pending());
        assert_eq!(outbox.push(1), Ok(()));
        outbox.finish();
        assert_eq!(outbox.push(2), Err(2));
        assert_eq!(outbox.poll_pop(&mut cx), Poll::Ready(Some(1)));
        assert_eq!(outbox.poll_pop(&mut cx), Poll::Ready(None));

        let outbox = Outbox::new(2);
        assert_eq!(outbox.push(1), Ok(()));
        assert_eq!(outbox.stop(), [1]);
        outbox.finish();
        assert_eq!(outbox.poll_pop(&mut cx), Poll::Ready(None));
    }
}

#[cfg(all(test, tidegate_loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use tidegate_core::sync::Arc;

    async fn pop(outbox: &Outbox<u32>) -> Option<u32> {
        std::future::poll_fn(|cx| outbox.poll_pop(cx)).await
    }

    #[test]
    fn loom_two_producers_at_capacity_one_lose_nothing() {
        loom::model(|| {
            let outbox = Arc::new(Outbox::new(1));
            let producers: Vec<_> = [1, 2]
                .map(|batch| {
                    let outbox = Arc::clone(&outbox);
                    thread::spawn(move || outbox.push(batch).expect("open"))
                })
                .into();
            let sum = loom::future::block_on(async {
                pop(&outbox).await.unwrap_or(0) + pop(&outbox).await.unwrap_or(0)
            });
            assert_eq!(sum, 3);
            for producer in producers {
                producer.join().expect("no panic");
            }
        });
    }

    #[test]
    fn loom_finish_wakes_the_reader_after_the_last_batch() {
        loom::model(|| {
            let outbox = Arc::new(Outbox::new(1));
            let producer = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    outbox.push(7).expect("open");
                    outbox.finish();
                })
            };
            let seen = loom::future::block_on(async { (pop(&outbox).await, pop(&outbox).await) });
            assert_eq!(seen, (Some(7), None));
            producer.join().expect("no panic");
        });
    }

    #[test]
    fn loom_stop_releases_a_parked_producer() {
        loom::model(|| {
            let outbox = Arc::new(Outbox::new(1));
            outbox.push(1).expect("space");
            let producer = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || outbox.push(2).is_err())
            };
            let left = outbox.stop();
            assert_eq!(left.len(), 1);
            assert!(producer.join().expect("no panic"), "it was never taken");
        });
    }
}
