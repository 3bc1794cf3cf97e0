//! Which children of a scope may run: so many at once, in the order in which they came.
//!
//! | event | there is a free slot and nobody waits | otherwise |
//! |---|---|---|
//! | a child comes | it has a slot | it waits, as the last |
//! | a child with a slot ends | one more slot is free | the first that waits has it |
//! | a child that waits is dropped | – | it waits no more; a slot it was given meanwhile goes on |
//! | the slots are closed | – | whoever waits is told, and is given none |

use crate::{
    panic::wake_quietly,
    sync::{Mutex, lock},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    task::{Context, Poll, Waker},
};

/// The slots of a scope.
#[derive(Debug)]
pub(super) struct Slots(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Whoever waits, the first first; a waker once it was polled.
    waiting: BTreeMap<u64, Option<Waker>>,
    /// Whoever has waited and does not know yet that it has a slot.
    given: BTreeSet<u64>,
    next: u64,
    is_closed: bool,
}

/// A place in the row of those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// There are no slots any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Slots {
    /// One slot at least.
    pub(super) fn new(slots: usize) -> Self {
        let (waiting, given) = (BTreeMap::new(), BTreeSet::new());
        let free = slots.max(1);
        Self(Mutex::new(State { free, waiting, given, next: 0, is_closed: false }))
    }

    /// Takes a slot that is free, past nobody who waits.
    pub(super) fn try_take(&self) -> bool {
        let mut state = lock(&self.0);
        // A free slot means that nobody waits.
        let taken = state.free.checked_sub(1);
        state.free = taken.unwrap_or(0);
        taken.is_some()
    }

    /// Takes a free slot, or a place in the row.
    pub(super) fn queue(&self) -> Option<Ticket> {
        let mut state = lock(&self.0);
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return None;
        }
        let ticket = state.next;
        state.next += 1;
        // Who comes late is sent away by its first poll, and given nothing before that.
        if !state.is_closed {
            state.waiting.insert(ticket, None);
        }
        Some(Ticket(ticket))
    }

    /// Ready with a slot, or without one if there are none any more.
    pub(super) fn poll(
        &self,
        Ticket(ticket): Ticket,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        // A waker's clone and drop are foreign code: neither runs under the lock.
        let waker = Some(cx.waker().clone());
        let mut state = lock(&self.0);
        if state.given.remove(&ticket) {
            return Poll::Ready(Ok(()));
        }
        if state.is_closed {
            return Poll::Ready(Err(Closed));
        }
        let former = state.waiting.insert(ticket, waker);
        drop(state);
        drop(former);
        Poll::Pending
    }

    /// Gives a slot back.
    pub(super) fn give_back(&self) {
        let mut state = lock(&self.0);
        let Some((ticket, waker)) = state.waiting.pop_first() else {
            state.free += 1;
            return;
        };
        state.given.insert(ticket);
        drop(state);
        waker.into_iter().for_each(wake_quietly);
    }

    /// Leaves the row.
    pub(super) fn leave(&self, Ticket(ticket): Ticket) {
        let mut state = lock(&self.0);
        let waker = state.waiting.remove(&ticket);
        let was_given = state.given.remove(&ticket);
        drop(state);
        drop(waker);
        if was_given {
            self.give_back();
        }
    }

    /// Sends everybody away who waits now. A slot that is free may still be taken.
    pub(super) fn close(&self) {
        let mut state = lock(&self.0);
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().flatten().for_each(wake_quietly);
    }

    /// How many are free, and how many wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.0);
        (state.free, state.waiting.len())
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn poll(slots: &Slots, ticket: Ticket) -> Poll<Result<(), Closed>> {
        slots.poll(ticket, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn slots_go_to_those_who_wait_in_their_order() {
        let slots = Slots::new(1);
        assert_eq!(slots.queue(), None);
        assert!(!slots.try_take());
        let [first, second, third] = [(); 3].map(|()| slots.queue().unwrap());
        assert!(poll(&slots, second).is_pending());
        slots.give_back();
        assert!(!slots.try_take(), "nobody gets in front");
        assert!(poll(&slots, second).is_pending());
        assert_eq!(poll(&slots, first), Poll::Ready(Ok(())));
        slots.leave(second);
        slots.give_back();
        assert_eq!(poll(&slots, third), Poll::Ready(Ok(())));
        slots.give_back();
        assert_eq!(slots.counts(), (1, 0));
    }

    #[test]
    fn a_slot_that_was_given_to_one_who_left_goes_on() {
        let slots = Slots::new(1);
        assert!(slots.try_take());
        let [first, second] = [(); 2].map(|()| slots.queue().unwrap());
        slots.give_back();
        slots.leave(first);
        assert_eq!(poll(&slots, second), Poll::Ready(Ok(())));
        slots.give_back();
        assert_eq!(slots.counts(), (1, 0));
    }

    #[test]
    fn who_waits_is_sent_away_and_who_has_a_slot_is_not() {
        let slots = Slots::new(2);
        assert!(slots.try_take() && slots.try_take());
        let [first, second] = [(); 2].map(|()| slots.queue().unwrap());
        slots.give_back();
        slots.close();
        assert_eq!(poll(&slots, first), Poll::Ready(Ok(())), "it was given one before");
        assert_eq!(poll(&slots, second), Poll::Ready(Err(Closed)));
        slots.leave(second);
        let late = slots.queue().unwrap();
        assert_eq!(poll(&slots, late), Poll::Ready(Err(Closed)));
        assert_eq!(slots.counts(), (0, 0));
        slots.give_back();
        assert_eq!(slots.counts(), (1, 0), "nobody has it");
        assert!(slots.try_take());
    }

    /// An interpreter takes minutes to make up the cases.
    #[cfg(not(miri))]
    mod model {
        use super::*;
        use proptest::prelude::*;
        use std::collections::VecDeque;

        #[derive(Clone, Copy, Debug)]
        enum Step {
            Come,
            Try,
            /// The one at this place among those who hold a slot, or wait.
            End(usize),
            Leave(usize),
        }

        fn steps() -> impl Strategy<Value = Vec<Step>> {
            let step = prop_oneof![
                4 => Just(Step::Come),
                1 => Just(Step::Try),
                3 => (0..8_usize).prop_map(Step::End),
                1 => (0..8_usize).prop_map(Step::Leave),
            ];
            prop::collection::vec(step, 0..60)
        }

        proptest! {
            /// A queue and a number say the same.
            #[test]
            fn agrees_with_a_queue(limit in 1..4_usize, steps in steps()) {
                let slots = Slots::new(limit);
                let mut running: Vec<Option<Ticket>> = Vec::new();
                let mut row = VecDeque::new();
                for step in steps {
                    match step {
                        Step::Come => match slots.queue() {
                            None => running.push(None),
                            Some(ticket) => row.push_back(ticket),
                        },
                        Step::Try => {
                            let taken = slots.try_take();
                            prop_assert_eq!(taken, running.len() < limit);
                            running.extend(taken.then_some(None));
                        }
                        Step::End(n) if n < running.len() => {
                            running.remove(n);
                            slots.give_back();
                            running.extend(row.pop_front().map(Some));
                        }
                        Step::Leave(n) if n < row.len() => slots.leave(row.remove(n).unwrap()),
                        Step::End(_) | Step::Leave(_) => {}
                    }
                    prop_assert!(running.len() <= limit);
                    prop_assert!(row.is_empty() || running.len() == limit);
                    prop_assert_eq!(slots.counts(), (limit - running.len(), row.len()));
                    for ticket in running.iter_mut().filter_map(Option::take) {
                        prop_assert_eq!(poll(&slots, ticket), Poll::Ready(Ok(())));
                    }
                    for ticket in &row {
                        prop_assert!(poll(&slots, *ticket).is_pending());
                    }
                }
            }
        }
    }
}
