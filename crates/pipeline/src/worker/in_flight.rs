//! The futures one worker has in flight.
//!
//! Each has a slot that is used again and again: the allocation of the future, its waker and
//! its entry in the list of the woken are made once per slot, not once per item. Only futures
//! that were woken are polled.

use crate::panic::{caught, drop_quietly};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Wake, Waker},
};
use tidegate_core::sync::{Arc, Mutex, lock};

/// Which slots have been woken since the worker looked last, and how to wake the worker.
pub(crate) struct WokenList {
    state: Mutex<Woken>,
}

struct Woken {
    /// Whether a slot is in `list`.
    queued: Vec<bool>,
    list: Vec<usize>,
    worker: Option<Waker>,
}

impl WokenList {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(Woken { queued: Vec::new(), list: Vec::new(), worker: None }) }
    }

    pub(crate) fn add_slot(&self) -> usize {
        let mut state = lock(&self.state);
        state.queued.push(false);
        state.queued.len() - 1
    }

    /// Enters a slot; wakes the worker if the list was empty, as it takes the whole list.
    pub(crate) fn wake(&self, slot: usize) {
        let worker = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.queued[slot], true) {
                return;
            }
            state.list.push(slot);
            if state.list.len() > 1 {
                return;
            }
            state.worker.take()
        };
        if let Some(worker) = worker {
            worker.wake();
        }
    }

    /// Takes the list into `into`. From now on a new entry wakes `waker`.
    pub(crate) fn take(&self, waker: &Waker, into: &mut VecDeque<usize>) {
        // Made before the lock is taken: doing so may run the caller's code.
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let Woken { queued, list, worker } = &mut *state;
        for slot in list.drain(..) {
            queued[slot] = false;
            into.push_back(slot);
        }
        let stale = worker.replace(waker);
        drop(state);
        drop(stale);
    }
}

/// The waker of one slot.
struct SlotWaker {
    slot: usize,
    list: Arc<WokenList>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.list.wake(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.wake(self.slot);
    }
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    seq: u64,
    waker: Waker,
}

/// The futures in flight. Dropping it drops them, and survives their destructors.
pub(crate) struct InFlight<F> {
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    /// Slots to poll in this turn, oldest first.
    turn: VecDeque<usize>,
    woken: Arc<WokenList>,
}

impl<F> InFlight<F> {
    pub(crate) fn new() -> Self {
        let woken = Arc::new(WokenList::new());
        Self { slots: Vec::new(), free: Vec::new(), turn: VecDeque::new(), woken }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<F: Future> InFlight<F> {
    /// Adds a future; it is polled for the first time by the next [`poll`](Self::poll).
    pub(crate) fn insert(&mut self, seq: u64, future: F) {
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            let slot = self.woken.add_slot();
            let waker = Waker::from(Arc::new(SlotWaker { slot, list: Arc::clone(&self.woken) }));
            self.slots.push(Slot { future: Box::pin(None), seq, waker });
            slot
        };
        self.slots[slot].future.as_mut().set(Some(future));
        self.slots[slot].seq = seq;
        self.turn.push_back(slot);
    }

    /// Polls every future that is new or was woken, and hands out what is finished: its
    /// number, and its output or the message of its panic. `Pending` if the task has used
    /// up its turn; it will be polled again.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut finished: impl FnMut(u64, Result<F::Output, String>),
    ) -> Poll<()> {
        // Those left over from an unfinished turn are older than those woken since.
        self.woken.take(cx.waker(), &mut self.turn);
        while let Some(&slot) = self.turn.front() {
            let Poll::Ready(progress) = tokio::task::coop::poll_proceed(cx) else {
                return Poll::Pending;
            };
            progress.made_progress();
            self.turn.pop_front();
            if let Some((seq, output)) = self.poll_slot(slot) {
                finished(seq, output);
            }
        }
        Poll::Ready(())
    }

    fn poll_slot(&mut self, at: usize) -> Option<(u64, Result<F::Output, String>)> {
        let slot = &mut self.slots[at];
        let waker = &slot.waker;
        // A waker kept by an earlier item of this slot may have woken an empty slot.
        let future = slot.future.as_mut().as_pin_mut()?;
        let output = match caught(|| future.poll(&mut Context::from_waker(waker))) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(message) => Err(message),
        };
        // The destructor of the future is the item's, too.
        let dropped = caught(|| slot.future.as_mut().set(None));
        self.free.push(at);
        let output = match (output, dropped) {
            (Ok(output), Err(message)) => {
                drop_quietly(output);
                Err(message)
            }
            (output, _) => output,
        };
        Some((slot.seq, output))
    }
}

impl<F> Drop for InFlight<F> {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            drop_quietly(slot.future);
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

#[cfg(all(test, tidegate_loom))]
mod loom_tests;
