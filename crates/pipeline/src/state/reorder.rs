//! Puts results back into the order of their tickets.
//!
//! | event | effect |
//! |---|---|
//! | `insert(t, ..)`, t is not the oldest | kept until all older ones are in |
//! | `insert(t, ..)`, t is the oldest | it and the finished ones right after it can be popped |
//! | `pop` | the oldest, if it is finished; its ticket counts as released |
//!
//! How far tickets may run ahead of the oldest unreleased one is bounded by whoever issues
//! them: see `QueueState::raise_ticket_limit`.

use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Reorder<T> {
    /// The slot of ticket `released + i` is at `i`.
    slots: VecDeque<Slot<T>>,
    released: u64,
}

/// What came of an item; nothing, if it failed or was filtered out and only frees its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome<T>(pub(crate) Option<T>);

#[derive(Debug)]
enum Slot<T> {
    Unfinished,
    Finished(Option<T>),
}

impl<T> Reorder<T> {
    pub(crate) fn new() -> Self {
        Self { slots: VecDeque::new(), released: 0 }
    }

    /// How many tickets have been released: all below this number.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// Enters what came of the item with this ticket.
    ///
    /// A ticket is entered once; entering it again would put the later result in the place
    /// of the first, which is handed back.
    pub(crate) fn insert(&mut self, ticket: u64, result: Option<T>) -> Option<T> {
        let Some(at) = ticket.checked_sub(self.released) else {
            debug_assert!(false, "ticket {ticket} is released already");
            return result;
        };
        let Ok(at) = usize::try_from(at) else { return result };
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || Slot::Unfinished);
        }
        match std::mem::replace(&mut self.slots[at], Slot::Finished(result)) {
            Slot::Unfinished => None,
            Slot::Finished(first) => first,
        }
    }

    /// Releases the oldest ticket, if its item is finished, and returns what came of it.
    pub(crate) fn pop(&mut self) -> Option<Outcome<T>> {
        let Slot::Finished(result) = self.slots.front_mut()? else { return None };
        let outcome = Outcome(result.take());
        self.slots.pop_front();
        self.released += 1;
        Some(outcome)
    }

    /// Takes out every result that was not released.
    pub(crate) fn take_rest(&mut self) -> Vec<T> {
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Finished(result) => result,
                Slot::Unfinished => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_until_the_oldest_is_finished() {
        let mut reorder = Reorder::new();
        assert_eq!(reorder.pop(), None);
        reorder.insert(2, Some('c'));
        reorder.insert(1, None);
        assert_eq!(reorder.pop(), None);
        reorder.insert(0, Some('a'));
        assert_eq!(reorder.pop(), Some(Outcome(Some('a'))));
        assert_eq!(reorder.pop(), Some(Outcome(None)));
        assert_eq!(reorder.released(), 2);
        assert_eq!(reorder.pop(), Some(Outcome(Some('c'))));
        assert_eq!(reorder.pop(), None);
        reorder.insert(5, Some('f'));
        assert_eq!(reorder.take_rest(), ['f']);
    }

    /// An interpreter takes minutes to make up the cases.
    #[cfg(not(miri))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            /// Any order of arrival gives the order of the tickets, and nothing is lost.
            #[test]
            fn equals_sorting(order in Just((0_u64..40).collect::<Vec<_>>()).prop_shuffle(), absent in prop::collection::vec(any::<bool>(), 40)) {
                let mut reorder = Reorder::new();
                let mut out = Vec::new();
                for (n, ticket) in order.iter().enumerate() {
                    let result = (!absent[usize::try_from(*ticket).unwrap()]).then_some(*ticket);
                    prop_assert_eq!(reorder.insert(*ticket, result), None);
                    while let Some(Outcome(result)) = reorder.pop() {
                        out.extend(result);
                    }
                    let prefix = (0..40).take_while(|t| order[..=n].contains(t)).count();
                    prop_assert_eq!(reorder.released(), u64::try_from(prefix).unwrap());
                }
                let expected: Vec<u64> = (0..40).filter(|t| !absent[usize::try_from(*t).unwrap()]).collect();
                prop_assert_eq!(out, expected);
            }
        }
    }
}
