//! The queue between two stages.
//!
//! Items wait in `ready`, at most `capacity` of them; a worker takes several at once and gets
//! the number of the first, its ticket. Behind an ordered stage, results first wait in the
//! reorder buffer, and move into `ready` in the order of the tickets as room permits: the
//! stage never waits for room, it waits for tickets instead.
//!
//! | event | effect | who can go on |
//! |---|---|---|
//! | `push` | moves what fits | a consumer, if something can be taken; a producer, if room is left |
//! | `deposit` | results enter the reorder buffer, finished ones move on | a consumer |
//! | `pop` | takes up to n, never more than there are tickets | a producer, once at most half full; a consumer, if something is left |
//! | `raise_ticket_limit` | more tickets | a consumer |
//! | last producer gone | finished once empty | every consumer |
//! | last consumer gone | closed: pushing gives up | every producer |

use super::reorder::{Outcome, Reorder};
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct QueueState<T> {
    ready: VecDeque<T>,
    reorder: Option<Reorder<T>>,
    capacity: usize,
    /// Producers are woken when no more than this is left, so that they run less often and
    /// push more at once. The consumers reach it without them: what is queued can be taken.
    low: usize,
    next_ticket: u64,
    ticket_limit: u64,
    entered: u64,
    /// `None` before the first one: a queue that nobody fills yet is not finished.
    producers: Option<usize>,
    consumers: usize,
}

impl<T> QueueState<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            ready: VecDeque::new(),
            reorder: None,
            capacity,
            low: capacity / 2,
            next_ticket: 0,
            ticket_limit: u64::MAX,
            entered: 0,
            producers: None,
            consumers: 0,
        }
    }

    pub(crate) fn set_ordered(&mut self) {
        self.reorder = Some(Reorder::new());
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity - self.ready.len()
    }

    /// How many items have ever come in, in order.
    pub(crate) fn entered(&self) -> u64 {
        self.entered
    }

    /// How many items can be taken now.
    pub(crate) fn poppable(&self) -> usize {
        let tickets = self.ticket_limit.saturating_sub(self.next_ticket);
        usize::try_from(tickets).unwrap_or(usize::MAX).min(self.ready.len())
    }

    /// Whether producers that wait for room should run again after a pop.
    pub(crate) fn is_low(&self) -> bool {
        self.ready.len() <= self.low
    }

    /// Whether items wait for tickets: the stage behind is the one to wait for.
    pub(crate) fn is_held_by_window(&self) -> bool {
        !self.ready.is_empty() && self.poppable() == 0
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.producers == Some(0) && self.ready.is_empty()
    }

    /// Moves items in from the front of `from`, as many as fit.
    pub(crate) fn push(&mut self, from: &mut VecDeque<T>) {
        let moved = self.room().min(from.len());
        move_front(from, moved, &mut self.ready);
        self.entered += moved as u64;
    }

    /// Enters results of an ordered stage; they are at most as many as there were tickets.
    pub(crate) fn deposit(&mut self, results: &mut VecDeque<(u64, Option<T>)>) {
        if let Some(reorder) = &mut self.reorder {
            for (ticket, result) in results.drain(..) {
                let twice = reorder.insert(ticket, result);
                debug_assert!(twice.is_none(), "ticket {ticket} was used twice");
            }
        }
        self.release();
    }

    /// Moves finished results into the queue in order, as long as there is room. Returns how
    /// many tickets have been released so far, if there are any.
    pub(crate) fn release(&mut self) -> Option<u64> {
        let reorder = self.reorder.as_mut()?;
        while self.ready.len() < self.capacity {
            let Some(Outcome(result)) = reorder.pop() else { break };
            if let Some(item) = result {
                self.ready.push_back(item);
                self.entered += 1;
            }
        }
        Some(reorder.released())
    }

    /// Takes up to `max` items into `into`, which is empty. Returns the ticket of the first;
    /// `None` if nothing can be taken now.
    pub(crate) fn pop(&mut self, max: usize, into: &mut VecDeque<T>) -> Option<u64> {
        debug_assert!(into.is_empty());
        let count = self.poppable().min(max);
        if count == 0 {
            return None;
        }
        move_front(&mut self.ready, count, into);
        let first = self.next_ticket;
        self.next_ticket += count as u64;
        Some(first)
    }

    /// Allows tickets below `limit`. Limits that arrive late are ignored.
    pub(crate) fn raise_ticket_limit(&mut self, limit: u64) {
        self.ticket_limit = self.ticket_limit.max(limit);
    }

    pub(crate) fn set_ticket_limit(&mut self, limit: u64) {
        self.ticket_limit = limit;
    }

    pub(crate) fn add_producer(&mut self) {
        self.producers = Some(self.producers.unwrap_or(0) + 1);
    }

    /// Returns whether it was the last one.
    pub(crate) fn remove_producer(&mut self) -> bool {
        self.producers = self.producers.map(|producers| producers.saturating_sub(1));
        self.producers == Some(0)
    }

    pub(crate) fn add_consumer(&mut self) {
        self.consumers += 1;
    }

    /// Returns whether it was the last one.
    pub(crate) fn remove_consumer(&mut self) -> bool {
        self.consumers = self.consumers.saturating_sub(1);
        self.consumers == 0
    }

    /// Whether nobody will ever take what is pushed.
    pub(crate) fn is_closed(&self) -> bool {
        self.consumers == 0
    }

    /// Takes out everything: what was queued, and what still waited for older results.
    pub(crate) fn take_rest(&mut self) -> (VecDeque<T>, Vec<T>) {
        let held = self.reorder.as_mut().map(Reorder::take_rest).unwrap_or_default();
        (std::mem::take(&mut self.ready), held)
    }
}

/// From this many items on, copying a whole block and allocating once is cheaper than moving
/// one item after the other.
const BLOCK: usize = 32;

/// Moves the first `count` items of `from` to the end of `into`: by exchanging or copying
/// whole blocks where possible.
fn move_front<T>(from: &mut VecDeque<T>, count: usize, into: &mut VecDeque<T>) {
    if count < from.len() {
        if count < BLOCK {
            into.extend(from.drain(..count));
            return;
        }
        let rest = from.split_off(count);
        move_front(from, count, into);
        *from = rest;
    } else if into.is_empty() {
        std::mem::swap(from, into);
    } else {
        into.append(from);
    }
}

#[cfg(test)]
mod tests;
