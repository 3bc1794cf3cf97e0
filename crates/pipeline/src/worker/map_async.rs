//! Asynchronous functions: many items in flight on one task.
//!
//! The rule that makes the usual deadlocks impossible: whatever this task waits for (items,
//! room, cancellation), it polls the futures it has in flight in the same poll. A future
//! that holds a lock or a permit goes on whether or not the next stage takes its result.

use super::{Outbox, in_flight::InFlight};
use crate::{
    ItemErrorKind,
    clock::Lap,
    panic::caught,
    queue::{Consumer, Popped},
    shared::{RunShared, Stop},
    stats::{Spent, StageCell},
};
use std::{
    collections::VecDeque,
    fmt::{Debug, Display},
    future::{Future, poll_fn},
    task::{Context, Poll},
};
use tidegate_core::sync::Arc;

/// What the slots without an item wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    Items,
    Room,
}

/// A worker of an asynchronous stage.
pub(crate) struct AsyncWorker<I, O, E, F, Fut> {
    consumer: Consumer<I>,
    /// What was taken; empty but for the moment until it is started.
    taken: VecDeque<I>,
    outbox: Outbox<O>,
    flying: Flying<Fut>,
    function: Arc<F>,
    /// How many items it may hold: in flight, or finished and not handed on.
    slots: usize,
    shared: Arc<RunShared<E>>,
    stop: Stop,
    lap: Lap,
    idle: Idle,
    finished: bool,
}

/// The futures in flight; those dropped unfinished count as cancelled.
struct Flying<Fut> {
    futures: InFlight<Fut>,
    cell: Arc<StageCell>,
}

impl<Fut> Drop for Flying<Fut> {
    fn drop(&mut self) {
        self.cell.add_cancelled(self.futures.len());
    }
}

impl<I, O, E, F, Fut> AsyncWorker<I, O, E, F, Fut>
where
    E: Display + Debug + Send + Sync + 'static,
    F: Fn(I) -> Fut,
    Fut: Future<Output = Result<Option<O>, E>>,
{
    pub(crate) fn new(
        consumer: Consumer<I>,
        outbox: Outbox<O>,
        function: Arc<F>,
        slots: usize,
        cell: &Arc<StageCell>,
        shared: Arc<RunShared<E>>,
    ) -> Self {
        let stop = Stop::new(shared.token());
        Self {
            consumer,
            taken: VecDeque::new(),
            outbox,
            flying: Flying { futures: InFlight::new(), cell: Arc::clone(cell) },
            function,
            slots,
            shared,
            stop,
            lap: Lap::start(),
            idle: Idle::Items,
            finished: false,
        }
    }

    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.account();
        if self.stop.is_set() {
            return Poll::Ready(());
        }
        loop {
            // A stage that has always something to do must end its turn now and then.
            let turn = match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(progress) => {
                    progress.made_progress();
                    self.poll_flying(cx)
                }
                Poll::Pending => Poll::Pending,
            };
            match self.outbox.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    self.idle = Idle::Room;
                    self.consumer.forgo();
                    return self.sleep(cx);
                }
            }
            self.idle = Idle::Items;
            if self.finished && self.flying.futures.len() == 0 {
                return Poll::Ready(());
            }
            if turn.is_pending() || self.poll_admit(cx).is_pending() {
                return self.sleep(cx);
            }
        }
    }

    /// Waits for whatever has been asked for, and for the cancellation of the run.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stop.poll(cx)
    }

    /// Polls what is in flight and moves what is finished into the outbox.
    fn poll_flying(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { flying: Flying { futures, cell }, outbox, shared, .. } = self;
        futures.poll(cx, |seq, output| {
            let kind = match output {
                Ok(Ok(Some(result))) => return outbox.put(seq, result),
                Ok(Ok(None)) => {
                    cell.add_filtered(1);
                    return outbox.skip(seq);
                }
                Ok(Err(error)) => ItemErrorKind::Failed(error),
                Err(message) => ItemErrorKind::Panicked(message),
            };
            outbox.skip(seq);
            shared.failed(cell, seq, kind);
        })
    }

    /// Starts new items while slots are free. Ready if it started some: they have to be
    /// polled. Only called with an empty outbox, so that finished results are bounded, too.
    fn poll_admit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let free = self.slots - self.flying.futures.len();
        if free == 0 || self.finished {
            self.consumer.forgo();
            return Poll::Pending;
        }
        let first = match self.consumer.poll_pop(cx, free, &mut self.taken) {
            Poll::Pending => {
                if self.consumer.is_held_by_window() {
                    self.idle = Idle::Room;
                }
                return Poll::Pending;
            }
            Poll::Ready(Popped::Items(first)) => first,
            Poll::Ready(Popped::Finished) => {
                self.finished = true;
                return Poll::Ready(());
            }
        };
        for (seq, item) in (first..).zip(self.taken.drain(..)) {
            match caught(|| (self.function)(item)) {
                Ok(future) => {
                    self.flying.futures.insert(seq, future);
                }
                Err(message) => {
                    self.outbox.skip(seq);
                    let kind = ItemErrorKind::Panicked(message);
                    self.shared.failed(&self.flying.cell, seq, kind);
                }
            }
        }
        Poll::Ready(())
    }

    /// Counts the time since the last poll: of the slots with an item as busy, of the others
    /// as what they waited for. Each item in flight has been in flight all that time.
    fn account(&mut self) {
        let time = self.lap.lap();
        let flying = self.flying.futures.len();
        let cell = &self.flying.cell;
        cell.spend(Spent::Busy, time, flying);
        let on = if self.idle == Idle::Room { Spent::Blocked } else { Spent::Starved };
        cell.spend(on, time, self.slots - flying.min(self.slots));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing here is built to be moved between threads in the middle of a poll.
    #[test]
    fn a_worker_can_be_spawned() {
        fn spawnable<T: Send>() {}
        spawnable::<AsyncWorker<u8, u8, String, fn(u8) -> Ready, Ready>>();
    }

    type Ready = std::future::Ready<Result<Option<u8>, String>>;
}
