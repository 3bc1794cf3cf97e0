//! What every worker is made of: items taken and not yet done, results not yet handed on,
//! and a meter. Each counts what it holds as cancelled when it is dropped, so that nothing
//! is lost from the books however a worker ends.

pub(crate) mod in_flight;
pub(crate) mod map;
pub(crate) mod map_async;
pub(crate) mod map_blocking;
pub(crate) mod source;

use crate::{
    clock::Lap,
    panic::drop_quietly,
    queue::{Closed, Consumer, Popped, Producer},
    shared::Stop,
    stats::{Spent, StageCell},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};
use tidegate_core::sync::Arc;

/// How long a worker may go on without letting other tasks run: a chunk is much shorter.
const TURN: Duration = Duration::from_micros(500);

/// How long a batch of a synchronous stage, the source or the consumer should take.
pub(crate) const SYNC_TARGET: Duration = Duration::from_micros(50);

/// How long a batch on a blocking thread should take.
pub(crate) const BLOCKING_TARGET: Duration = Duration::from_millis(2);

/// How long a worker may keep a blocking thread while there is something to do. Getting there
/// and back costs two switches of a thread, and a core that went to sleep meanwhile may stay
/// asleep for milliseconds, until the system notices that another has more than one thread to run.
pub(crate) const BLOCKING_TURN: Duration = Duration::from_millis(100);

/// Items that were taken from the queue.
pub(crate) struct Work<I> {
    items: VecDeque<I>,
    /// The number behind that of the last.
    end: u64,
    cell: Arc<StageCell>,
}

impl<I> Work<I> {
    pub(crate) fn new(cell: &Arc<StageCell>) -> Self {
        Self { items: VecDeque::new(), end: 0, cell: Arc::clone(cell) }
    }

    /// What the queue puts items into, once all are done: it gets this memory for those.
    fn memory(&mut self) -> &mut VecDeque<I> {
        debug_assert!(self.items.is_empty());
        self.items.clear();
        &mut self.items
    }

    /// The next item; its number is [`last_seq`](Self::last_seq) then.
    pub(crate) fn take(&mut self) -> Option<I> {
        self.items.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The number of the item that `take` returns next.
    pub(crate) fn next_seq(&self) -> u64 {
        self.end - self.items.len() as u64
    }

    /// The number of the item that `take` returned last.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq() - 1
    }

    /// Takes all items, which are the caller's from now on.
    pub(crate) fn take_all(&mut self) -> Vec<I> {
        std::mem::take(&mut self.items).into()
    }

    /// Keeps the memory of items that are done, for the queue to fill again.
    pub(crate) fn recycle(&mut self, mut done: Vec<I>) {
        done.clear();
        self.items = done.into();
    }
}

impl<I> Drop for Work<I> {
    fn drop(&mut self) {
        self.cell.add_cancelled(self.items.len());
        self.items.drain(..).for_each(drop_quietly);
    }
}

/// How waiting for items ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    Items,
    Finished,
    Stopped,
}

/// Where a worker takes its items.
pub(crate) struct Inlet<I> {
    consumer: Consumer<I>,
    pub(crate) work: Work<I>,
}

impl<I> Inlet<I> {
    pub(crate) fn new(consumer: Consumer<I>, cell: &Arc<StageCell>) -> Self {
        Self { consumer, work: Work::new(cell) }
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Took> {
        let items = self.work.memory();
        self.consumer.poll_pop(cx, max, items).map(|popped| self.took(&popped))
    }

    /// Takes up to `max` items if some are there; false if there is something to wait for, or
    /// nothing at all.
    pub(crate) fn try_take(&mut self, max: usize) -> bool {
        let popped = self.consumer.try_pop(max, self.work.memory());
        popped.is_some_and(|popped| self.took(&popped) == Took::Items)
    }

    fn took(&mut self, popped: &Popped) -> Took {
        match popped {
            Popped::Items(first) => {
                self.work.end = first + self.work.len() as u64;
                Took::Items
            }
            Popped::Finished => Took::Finished,
        }
    }

    /// Waits for up to `max` items. The meter counts the wait, if there was one.
    pub(crate) async fn take(&mut self, max: usize, stop: &mut Stop, meter: &mut Meter) -> Took {
        let mut waited = false;
        let took = poll_fn(|cx| {
            if stop.is_set() {
                return Poll::Ready(Took::Stopped);
            }
            let polled = self.poll_take(cx, max);
            if polled.is_pending() {
                waited = true;
                return stop.poll(cx).map(|()| Took::Stopped);
            }
            polled
        })
        .await;
        if waited {
            let held = self.consumer.is_held_by_window();
            meter.waited(if held { Spent::Blocked } else { Spent::Starved });
        }
        took
    }
}

/// Results on their way to the next stage.
pub(crate) struct Outbox<O> {
    producer: Producer<O>,
    results: Vec<O>,
    /// Older ones that did not fit into the queue yet.
    leaving: VecDeque<O>,
    /// In an ordered stage, the results with their tickets instead.
    ticketed: Option<VecDeque<(u64, Option<O>)>>,
    cell: Arc<StageCell>,
}

impl<O> Outbox<O> {
    pub(crate) fn new(producer: Producer<O>, ordered: bool, cell: &Arc<StageCell>) -> Self {
        let ticketed = ordered.then(VecDeque::new);
        let (results, leaving) = (Vec::new(), VecDeque::new());
        Self { producer, results, leaving, ticketed, cell: Arc::clone(cell) }
    }

    /// Makes room for `items` more.
    pub(crate) fn reserve(&mut self, items: usize) {
        match &mut self.ticketed {
            None => self.results.reserve(items),
            Some(ticketed) => ticketed.reserve(items),
        }
    }

    /// The result of item `seq`.
    pub(crate) fn put(&mut self, seq: u64, result: O) {
        match &mut self.ticketed {
            None => self.results.push(result),
            Some(ticketed) => ticketed.push_back((seq, Some(result))),
        }
    }

    /// Item `seq` has no result.
    pub(crate) fn skip(&mut self, seq: u64) {
        if let Some(ticketed) = &mut self.ticketed {
            ticketed.push_back((seq, None));
        }
    }

    /// Whether all results have gone; an ordered stage does not wait to hand them on.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.results.len() + self.leaving.len()
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.ticketed.is_some() {
            return Poll::Ready(self.deposit());
        }
        while self.turn_over() {
            if let Err(closed) = ready!(self.producer.poll_push(cx, &mut self.leaving)) {
                return Poll::Ready(Err(closed));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands on what there is room for; whether that was all.
    pub(crate) fn try_flush(&mut self) -> bool {
        if self.ticketed.is_some() {
            return self.deposit().is_ok();
        }
        while self.turn_over() {
            if self.producer.try_push(&mut self.leaving).is_err() || !self.leaving.is_empty() {
                return false;
            }
        }
        true
    }

    fn deposit(&mut self) -> Result<(), Closed> {
        match &mut self.ticketed {
            Some(ticketed) if !ticketed.is_empty() => self.producer.deposit(ticketed),
            _ => Ok(()),
        }
    }

    /// Makes the results the ones that leave, once the older ones have left; false if there is
    /// nothing.
    fn turn_over(&mut self) -> bool {
        if self.leaving.is_empty() {
            // Exchanges the memory of the two, whichever has some.
            let memory = Vec::from(std::mem::take(&mut self.leaving));
            self.leaving = std::mem::replace(&mut self.results, memory).into();
        }
        !self.leaving.is_empty()
    }

    /// Waits until all results have gone. An error means that the worker has to end.
    pub(crate) async fn flush(&mut self, stop: &mut Stop, meter: &mut Meter) -> Result<(), Closed> {
        let mut waited = false;
        let flushed = poll_fn(|cx| {
            if stop.is_set() {
                return Poll::Ready(Err(Closed));
            }
            let polled = self.poll_flush(cx);
            if polled.is_pending() {
                waited = true;
                return stop.poll(cx).map(|()| Err(Closed));
            }
            polled
        })
        .await;
        if waited {
            meter.waited(Spent::Blocked);
        }
        flushed
    }
}

impl<O> Drop for Outbox<O> {
    fn drop(&mut self) {
        let ticketed = self.ticketed.iter_mut().flatten().filter_map(|(_, result)| result.take());
        let results = self.results.drain(..).chain(self.leaving.drain(..)).chain(ticketed);
        self.cell.add_cancelled(results.map(drop_quietly).count());
    }
}

/// Where the time of a worker goes; one reading of the clock per batch and per wait.
pub(crate) struct Meter {
    cell: Arc<StageCell>,
    lap: Lap,
    turn: Duration,
}

impl Meter {
    pub(crate) fn new(cell: &Arc<StageCell>) -> Self {
        Self { cell: Arc::clone(cell), lap: Lap::start(), turn: Duration::ZERO }
    }

    /// A batch has ended; returns how long it took.
    pub(crate) fn worked(&mut self) -> Duration {
        let time = self.lap.lap();
        self.cell.spend(Spent::Busy, time, 1);
        self.turn += time;
        time
    }

    /// A wait has ended: other tasks have run meanwhile.
    pub(crate) fn waited(&mut self, on: Spent) {
        let time = self.lap.lap();
        self.cell.spend(on, time, 1);
        self.turn = Duration::ZERO;
    }

    /// What has passed until now is counted by somebody else.
    pub(crate) fn restart(&mut self) {
        self.lap.lap();
        self.turn = Duration::ZERO;
    }

    /// Lets other tasks run, if it is their turn: by the clock, and by the runtime's budget,
    /// which also counts while the clock is paused.
    pub(crate) async fn breathe(&mut self) {
        if self.turn >= TURN {
            self.turn = Duration::ZERO;
            tokio::task::yield_now().await;
        } else {
            tokio::task::coop::consume_budget().await;
        }
    }
}
