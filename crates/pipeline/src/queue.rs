//! The queue between two stages: [`QueueState`] behind a lock, and who waits at its ends.
//!
//! No wake-up is lost, because a waiter enters its waker under the lock that guards the
//! condition, and because every event that lets somebody go on takes out one waiter:
//! whoever was taken out either uses its turn, and then wakes the next one if more is
//! possible, or passes the turn on when it leaves (`Consumer::forgo`, both `Drop`s).

use crate::{
    panic::drop_quietly,
    state::{chunk::fair_share, queue::QueueState, waiters::Waiters},
    stats::StageCell,
};
use std::{
    collections::VecDeque,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};
use tidegate_core::sync::{Arc, Mutex, lock};

/// The end of a queue that issues tickets, as seen by the queue that releases them.
pub(crate) trait TicketGate: Send + Sync {
    /// Tickets below `limit` may be issued.
    fn raise_ticket_limit(&self, limit: u64);
}

/// A queue of whatever type, once nobody works on it any more.
pub(crate) trait Sweep: Send + Sync {
    /// Drops what is left and counts it as cancelled.
    fn sweep(&self);
}

pub(crate) struct Queue<T> {
    locked: Mutex<Locked<T>>,
    /// The stage that pushes, and the one that takes.
    from: Arc<StageCell>,
    to: Arc<StageCell>,
    /// Set if the stage that pushes is ordered: the queue in front of it, and its window.
    gate: OnceLock<(Arc<dyn TicketGate>, u64)>,
}

struct Locked<T> {
    state: QueueState<T>,
    producers: Waiters<Waker>,
    consumers: Waiters<Waker>,
    ids: u64,
}

/// Whom to wake once the lock is released.
#[derive(Default)]
#[must_use]
struct Wake {
    producer: Option<Waker>,
    consumer: Option<Waker>,
    /// A waker that was replaced: dropped, not woken.
    stale: Option<Waker>,
}

impl Wake {
    fn run(self) {
        if let Some(waker) = self.producer {
            waker.wake();
        }
        if let Some(waker) = self.consumer {
            waker.wake();
        }
    }
}

impl<T> Locked<T> {
    fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Takes out one consumer, if there is something for it: items, or the end.
    fn next_consumer(&mut self) -> Option<Waker> {
        if self.consumers.is_empty() || (self.state.poppable() == 0 && !self.state.is_finished()) {
            return None;
        }
        self.consumers.next()
    }

    /// Takes out one producer, if there is room for it.
    fn next_producer(&mut self) -> Option<Waker> {
        if self.producers.is_empty() || self.state.room() == 0 {
            return None;
        }
        self.producers.next()
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize, from: Arc<StageCell>, to: Arc<StageCell>) -> Self {
        let state = QueueState::new(capacity);
        Self {
            locked: Mutex::new(Locked {
                state,
                producers: Waiters::new(),
                consumers: Waiters::new(),
                ids: 0,
            }),
            from,
            to,
            gate: OnceLock::new(),
        }
    }

    /// Makes this the queue behind an ordered stage, which takes its items from `input` and
    /// may run `window` items ahead of the oldest that is not finished.
    pub(crate) fn set_ordered<I: Send + 'static>(&self, input: &Arc<Queue<I>>, window: usize) {
        let window = (window as u64).max(1);
        lock(&input.locked).state.set_ticket_limit(window);
        lock(&self.locked).state.set_ordered();
        let gate = Arc::clone(input) as Arc<dyn TicketGate>;
        let fresh = self.gate.set((gate, window)).is_ok();
        debug_assert!(fresh, "a queue has one stage that pushes");
    }

    pub(crate) fn capacity(&self) -> usize {
        let locked = lock(&self.locked);
        locked.state.len() + locked.state.room()
    }

    fn note(&self, state: &QueueState<T>) {
        self.to.set_queue(state.entered(), state.len());
        self.from.set_left(state.entered());
    }

    /// Lets the ordered stage that pushes here go on, after `released` tickets.
    fn open_gate(&self, released: Option<u64>) {
        if let (Some(released), Some((gate, window))) = (released, self.gate.get()) {
            gate.raise_ticket_limit(released.saturating_add(*window));
        }
    }
}

impl<T: Send> TicketGate for Queue<T> {
    fn raise_ticket_limit(&self, limit: u64) {
        let consumer = {
            let mut locked = lock(&self.locked);
            locked.state.raise_ticket_limit(limit);
            locked.next_consumer()
        };
        Wake { consumer, ..Wake::default() }.run();
    }
}

impl<T> Queue<T> {
    /// Drops what is left and counts it as cancelled.
    fn clear(&self) {
        let (ready, held) = {
            let mut locked = lock(&self.locked);
            let rest = locked.state.take_rest();
            self.note(&locked.state);
            rest
        };
        self.to.add_cancelled(ready.len());
        self.from.add_cancelled(held.len());
        // One destructor that panics must not take the others and the report of the run along.
        ready.into_iter().chain(held).for_each(drop_quietly);
    }
}

impl<T: Send> Sweep for Queue<T> {
    fn sweep(&self) {
        self.clear();
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What came of waiting for items.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped {
    /// There are some; this is the ticket of the first.
    Items(u64),
    /// There will never be more.
    Finished,
}

/// The right to take items. The last one to go closes the queue.
pub(crate) struct Consumer<T> {
    queue: Arc<Queue<T>>,
    id: u64,
    waiting: bool,
    held_by_window: bool,
    /// Among how many workers the items are shared.
    workers: usize,
}

impl<T> Consumer<T> {
    pub(crate) fn new(queue: &Arc<Queue<T>>, workers: usize) -> Self {
        let id = {
            let mut locked = lock(&queue.locked);
            locked.state.add_consumer();
            locked.new_id()
        };
        Self { queue: Arc::clone(queue), id, waiting: false, held_by_window: false, workers }
    }

    /// Whether the last wait was for tickets rather than for items.
    pub(crate) fn is_held_by_window(&self) -> bool {
        self.held_by_window
    }

    /// Takes up to `max` items into `into`, which is empty, and no more than a fair share.
    pub(crate) fn poll_pop(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        into: &mut VecDeque<T>,
    ) -> Poll<Popped> {
        let mut popped = self.try_pop(max, into);
        if popped.is_none() {
            // A waker is made before the lock is taken: doing so may run the caller's code.
            popped = self.pop(Some(cx.waker().clone()), max, into);
        }
        popped.map_or(Poll::Pending, Poll::Ready)
    }

    /// Like [`poll_pop`](Self::poll_pop), without waiting.
    pub(crate) fn try_pop(&mut self, max: usize, into: &mut VecDeque<T>) -> Option<Popped> {
        self.pop(None, max, into)
    }

    /// With a waker, waits if there is nothing.
    fn pop(&mut self, waker: Option<Waker>, max: usize, into: &mut VecDeque<T>) -> Option<Popped> {
        let mut wake = Wake::default();
        let mut released = None;
        let result = {
            let mut locked = lock(&self.queue.locked);
            let share = fair_share(locked.state.poppable(), self.workers);
            if let Some(first) = locked.state.pop(share.min(max), into) {
                released = locked.state.release();
                self.queue.note(&locked.state);
                if self.waiting {
                    self.waiting = false;
                    wake.stale = locked.consumers.remove(self.id);
                }
                wake.consumer = locked.next_consumer();
                if locked.state.is_low() {
                    wake.producer = locked.next_producer();
                }
                Some(Popped::Items(first))
            } else if locked.state.is_finished() {
                if self.waiting {
                    self.waiting = false;
                    wake.stale = locked.consumers.remove(self.id);
                }
                // Each one that hears of the end tells the next.
                wake.consumer = locked.next_consumer();
                Some(Popped::Finished)
            } else {
                if let Some(waker) = waker {
                    self.held_by_window = locked.state.is_held_by_window();
                    self.waiting = true;
                    wake.stale = locked.consumers.insert(self.id, waker);
                }
                None
            }
        };
        wake.run();
        self.queue.open_gate(released);
        result
    }

    /// Stops waiting, so that items go to others; a turn that has come already is passed on.
    pub(crate) fn forgo(&mut self) {
        if !self.waiting {
            return;
        }
        self.waiting = false;
        let wake = {
            let mut locked = lock(&self.queue.locked);
            match locked.consumers.remove(self.id) {
                Some(stale) => Wake { stale: Some(stale), ..Wake::default() },
                None => Wake { consumer: locked.next_consumer(), ..Wake::default() },
            }
        };
        wake.run();
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.forgo();
        let all = {
            let mut locked = lock(&self.queue.locked);
            locked.state.remove_consumer().then(|| locked.producers.take_all())
        };
        for waker in all.into_iter().flatten() {
            waker.wake();
        }
    }
}

/// Nobody takes items any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The right to push items. When the last one goes, the queue is finished once it is empty.
pub(crate) struct Producer<T> {
    queue: Arc<Queue<T>>,
    id: u64,
    waiting: bool,
}

impl<T> Producer<T> {
    pub(crate) fn new(queue: &Arc<Queue<T>>) -> Self {
        let id = {
            let mut locked = lock(&queue.locked);
            locked.state.add_producer();
            locked.new_id()
        };
        Self { queue: Arc::clone(queue), id, waiting: false }
    }

    /// Pushes all of `from`; what did not fit yet stays in it.
    pub(crate) fn poll_push(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut VecDeque<T>,
    ) -> Poll<Result<(), Closed>> {
        let mut pushed = self.try_push(from);
        if pushed.is_ok() && !from.is_empty() {
            // A waker is made before the lock is taken: doing so may run the caller's code.
            pushed = self.push(Some(cx.waker().clone()), from);
        }
        match pushed {
            Ok(()) if !from.is_empty() => Poll::Pending,
            done => Poll::Ready(done),
        }
    }

    /// Pushes as much of `from` as fits, without waiting for room.
    pub(crate) fn try_push(&mut self, from: &mut VecDeque<T>) -> Result<(), Closed> {
        self.push(None, from)
    }

    /// With a waker, waits for room for what did not fit.
    fn push(&mut self, waker: Option<Waker>, from: &mut VecDeque<T>) -> Result<(), Closed> {
        let mut wake = Wake::default();
        let result = {
            let mut locked = lock(&self.queue.locked);
            if locked.state.is_closed() {
                Err(Closed)
            } else {
                locked.state.push(from);
                self.queue.note(&locked.state);
                wake.consumer = locked.next_consumer();
                if from.is_empty() {
                    if self.waiting {
                        self.waiting = false;
                        wake.stale = locked.producers.remove(self.id);
                    }
                    wake.producer = locked.next_producer();
                } else if let Some(waker) = waker {
                    self.waiting = true;
                    wake.stale = locked.producers.insert(self.id, waker);
                }
                Ok(())
            }
        };
        wake.run();
        result
    }

    /// Enters results of an ordered stage. Never waits: there are as many places as tickets.
    pub(crate) fn deposit(
        &mut self,
        results: &mut VecDeque<(u64, Option<T>)>,
    ) -> Result<(), Closed> {
        let (consumer, released) = {
            let mut locked = lock(&self.queue.locked);
            if locked.state.is_closed() {
                return Err(Closed);
            }
            locked.state.deposit(results);
            let released = locked.state.release();
            self.queue.note(&locked.state);
            (locked.next_consumer(), released)
        };
        Wake { consumer, ..Wake::default() }.run();
        self.queue.open_gate(released);
        Ok(())
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let wake = {
            let mut locked = lock(&self.queue.locked);
            let mut wake = Wake::default();
            if self.waiting {
                wake.stale = locked.producers.remove(self.id);
                if wake.stale.is_none() {
                    wake.producer = locked.next_producer();
                }
            }
            if locked.state.remove_producer() {
                wake.consumer = locked.next_consumer();
            }
            wake
        };
        wake.run();
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

#[cfg(all(test, tidegate_loom))]
pub(crate) mod loom_tests;
