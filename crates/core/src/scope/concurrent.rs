//! Futures that borrow, run at once within one task.
//!
//! Tasks cannot borrow from the one that spawns them: a future may be forgotten, and its tasks
//! would read freed memory. Within one task they can, and wait at the same time; they do not
//! compute at the same time. Each has a waker of its own, so that a poll looks only at those
//! that may go on.

use super::Cx;
use crate::{
    Cancelled, Cause,
    panic::wake_quietly,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use std::{
    collections::VecDeque,
    fmt::{self, Debug},
    future::Future,
    iter::Fuse,
    pin::Pin,
    task::{Context, Poll, Wake, Waker},
};

/// How many futures are polled before others of the runtime have their turn.
const AT_ONCE: usize = 64;

/// Why [`Cx::concurrent`] has no values.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConcurrentError<E> {
    /// One of the futures returned this error; the others were dropped.
    #[error("{0}")]
    Failed(E),
    /// The scope was cancelled; the futures were dropped.
    #[error("cancelled: {0}")]
    Cancelled(Cause),
}

/// Runs futures within one task; made by [`Cx::concurrent`].
#[must_use = "futures do nothing unless awaited"]
pub struct Concurrent<'a, I, F, T> {
    cancelled: Cancelled<'a>,
    rest: Fuse<I>,
    limit: usize,
    /// By the place in the row of futures.
    running: Vec<Option<Running<F>>>,
    free: Vec<usize>,
    values: Vec<Option<T>>,
    is_done: bool,
    woken: Arc<Woken>,
}

struct Running<F> {
    future: Pin<Box<F>>,
    /// The place of its value.
    place: usize,
    waker: Arc<SlotWaker>,
}

/// Nothing in it is pinned but in boxes.
impl<I, F, T> Unpin for Concurrent<'_, I, F, T> {}

impl<I, F, T, E> Concurrent<'_, I, F, T>
where
    I: Iterator<Item = F>,
    F: Future<Output = Result<T, E>>,
{
    /// Lets so many of the futures run at once, one at least, and asks for no more of them before
    /// one has ended. The default is all.
    pub fn limit(mut self, futures: usize) -> Self {
        self.limit = futures.max(1);
        self
    }

    /// Asks for more futures, as many as may run.
    fn start(&mut self) {
        while self.running.len() - self.free.len() < self.limit {
            let Some(future) = self.rest.next() else { return };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.running.push(None);
                self.running.len() - 1
            });
            let place = self.values.len();
            self.values.push(None);
            let waker = Arc::new(SlotWaker::new(slot, &self.woken));
            waker.queue();
            self.running[slot] = Some(Running { future: Box::pin(future), place, waker });
        }
    }

    /// Polls the future in that slot, if it is still there.
    fn poll_slot(&mut self, slot: usize) -> Result<(), E> {
        let Some(running) = &mut self.running[slot] else { return Ok(()) };
        // Before the poll: whoever wakes it from now on wants another one.
        // A swap, which sees what a waker did that found the slot queued already.
        running.waker.is_queued.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&running.waker));
        if let Poll::Ready(result) = running.future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            let place = running.place;
            self.running[slot] = None;
            self.free.push(slot);
            self.values[place] = Some(result?);
        }
        Ok(())
    }

    fn drop_all(&mut self) {
        self.is_done = true;
        self.running.clear();
        self.free.clear();
    }
}

impl<I, F, T, E> Future for Concurrent<'_, I, F, T>
where
    I: Iterator<Item = F>,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, ConcurrentError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.is_done, "it was ready before");
        if let Poll::Ready(cause) = Pin::new(&mut this.cancelled).poll(cx) {
            this.drop_all();
            return Poll::Ready(Err(ConcurrentError::Cancelled(cause)));
        }
        for _ in 0..AT_ONCE {
            this.start();
            let Some(slot) = this.woken.next(cx.waker()) else {
                if this.running.len() > this.free.len() {
                    return Poll::Pending;
                }
                this.is_done = true;
                let values = std::mem::take(&mut this.values);
                return Poll::Ready(Ok(values.into_iter().flatten().collect()));
            };
            if let Err(error) = this.poll_slot(slot) {
                this.drop_all();
                return Poll::Ready(Err(ConcurrentError::Failed(error)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I, F, T> Debug for Concurrent<'_, I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.len() - self.free.len();
        f.debug_struct("Concurrent").field("running", &running).finish_non_exhaustive()
    }
}

/// Which futures were woken, and who polls them.
#[derive(Default)]
struct Woken(Mutex<State>);

#[derive(Default)]
struct State {
    slots: VecDeque<usize>,
    task: Option<Waker>,
}

impl Woken {
    /// The next one that was woken; if there is none, `waker` is woken with the next.
    fn next(&self, waker: &Waker) -> Option<usize> {
        // A waker's clone and drop are foreign code: neither runs under the lock.
        let waker = Some(waker.clone());
        let mut state = lock(&self.0);
        let slot = state.slots.pop_front();
        let former = match slot {
            Some(_) => waker,
            None => std::mem::replace(&mut state.task, waker),
        };
        drop(state);
        drop(former);
        slot
    }
}

/// The waker of one future.
struct SlotWaker {
    slot: usize,
    /// Whether the slot is among those that were woken already.
    is_queued: AtomicBool,
    woken: Arc<Woken>,
}

impl SlotWaker {
    fn new(slot: usize, woken: &Arc<Woken>) -> Self {
        Self { slot, is_queued: AtomicBool::new(false), woken: Arc::clone(woken) }
    }

    /// Has the future polled; whoever polls it, if they wait.
    fn queue(&self) -> Option<Waker> {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut state = lock(&self.woken.0);
        state.slots.push_back(self.slot);
        state.task.take()
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue().into_iter().for_each(wake_quietly);
    }
}

impl<E> Cx<E> {
    /// Runs futures that may borrow from the caller, all at once within the calling task, and
    /// returns their values in the order of the futures. The first error drops the others, and so
    /// does a cancellation of the scope.
    ///
    /// They wait at the same time, and do not compute at the same time: for that, spawn children,
    /// and share by `Arc` or [`Scope::run_with`](super::Scope::run_with) what they would borrow. They
    /// are no children: a panic is that of the calling task.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, scope};
    ///
    /// async fn look_up(name: &str) -> Result<usize, Infallible> {
    ///     tokio::task::yield_now().await;
    ///     Ok(name.len())
    /// }
    ///
    /// let job = scope("job", async |cx: Cx<Infallible>| {
    ///     let names = vec!["one".to_owned(), "three".to_owned()];
    ///     let found = cx.concurrent(names.iter().map(|name| look_up(name))).limit(8).await;
    ///     Ok(found.unwrap())
    /// });
    /// assert_eq!(job.await.unwrap(), [3, 5]);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConcurrentError`]: the first error, or the cause of the cancellation.
    ///
    /// # Panics
    ///
    /// If it is polled again after it was ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the futures, and values that are there already with them. Tested by
    /// `futures_that_borrow`.
    pub fn concurrent<I, F, T, E2>(&self, futures: I) -> Concurrent<'_, I::IntoIter, F, T>
    where
        I: IntoIterator<Item = F>,
        F: Future<Output = Result<T, E2>>,
    {
        Concurrent {
            cancelled: self.cancelled(),
            rest: futures.into_iter().fuse(),
            limit: usize::MAX,
            running: Vec::new(),
            free: Vec::new(),
            values: Vec::new(),
            is_done: false,
            woken: Arc::default(),
        }
    }
}

#[cfg(all(test, tidegate_loom))]
mod loom_tests {
    use super::*;
    use crate::{
        cancel::loom_tests::model,
        sync::{atomic::AtomicUsize, thread},
    };
    use std::future::poll_fn;

    fn next(woken: &Woken) -> usize {
        loom::future::block_on(poll_fn(|cx| match woken.next(cx.waker()) {
            Some(slot) => Poll::Ready(slot),
            None => Poll::Pending,
        }))
    }

    /// What a waker did before it woke is seen by a poll after that: that of the last wake-up, too,
    /// which may find its slot queued already.
    #[test]
    fn loom_a_future_that_is_woken_is_polled() {
        model("a_future_that_is_woken_is_polled", || {
            let woken = Arc::new(Woken::default());
            let wakers = [0, 1].map(|slot| Arc::new(SlotWaker::new(slot, &woken)));
            let done = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let threads = wakers.clone().map(|waker| {
                let done = Arc::clone(&done);
                thread::spawn(move || {
                    for n in 1..3 {
                        done[waker.slot].store(n, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                })
            });
            let mut seen = [0; 2];
            while seen != [2; 2] {
                let slot = next(&woken);
                wakers[slot].is_queued.swap(false, Ordering::AcqRel);
                seen[slot] = done[slot].load(Ordering::Relaxed);
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
