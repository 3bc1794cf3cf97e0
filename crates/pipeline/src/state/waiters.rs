//! Who waits at one end of a queue, first come first served.

use std::collections::VecDeque;

/// Waiting parties by id, oldest first. A party that has been taken out to be woken is no
/// longer in the list: if it goes away instead of using its turn, it passes the turn on.
#[derive(Debug)]
pub(crate) struct Waiters<W>(VecDeque<(u64, W)>);

impl<W> Waiters<W> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Enters `id`, or replaces how to wake it and keeps its place; the replaced one is
    /// returned, to be dropped outside the lock.
    pub(crate) fn insert(&mut self, id: u64, waker: W) -> Option<W> {
        if let Some((_, old)) = self.0.iter_mut().find(|(waiting, _)| *waiting == id) {
            return Some(std::mem::replace(old, waker));
        }
        self.0.push_back((id, waker));
        None
    }

    /// Takes `id` out; `None` means that it was taken out to be woken before.
    pub(crate) fn remove(&mut self, id: u64) -> Option<W> {
        let at = self.0.iter().position(|(waiting, _)| *waiting == id)?;
        self.0.remove(at).map(|(_, waker)| waker)
    }

    /// Takes out the one that has waited longest, to wake it.
    pub(crate) fn next(&mut self) -> Option<W> {
        self.0.pop_front().map(|(_, waker)| waker)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out everybody, to wake them all.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.0).into_iter().map(|(_, waker)| waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_in_order_of_arrival_and_keeps_a_place() {
        let mut waiters = Waiters::new();
        assert_eq!(waiters.insert(1, 'a'), None);
        assert_eq!(waiters.insert(2, 'b'), None);
        assert_eq!(waiters.insert(1, 'c'), Some('a'));
        assert_eq!(waiters.next(), Some('c'));
        assert_eq!(waiters.remove(1), None, "its turn has come already");
        assert_eq!(waiters.remove(2), Some('b'));
        assert!(waiters.is_empty());
        waiters.insert(3, 'd');
        assert_eq!(waiters.take_all().collect::<String>(), "d");
        assert_eq!(waiters.next(), None);
    }
}
