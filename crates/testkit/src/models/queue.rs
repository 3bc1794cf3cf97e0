use crate::Model;
use std::collections::VecDeque;
use std::hash::Hash;
use std::marker::PhantomData;

/// A queue: first in, first out.
///
/// One whose operations wait is checked too: they never return [`Full`](QueueRet::Full) or
/// [`Empty`](QueueRet::Empty), and take effect when there is room, or a value.
#[derive(Clone, Debug)]
pub struct Queue<V> {
    capacity: Option<usize>,
    values: PhantomData<fn() -> V>,
}

/// An operation of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueOp<V> {
    /// Puts a value at the end: [`Pushed`](QueueRet::Pushed), or [`Full`](QueueRet::Full).
    Push(V),
    /// Takes the first value: [`Popped`](QueueRet::Popped), or [`Empty`](QueueRet::Empty).
    Pop,
}

/// What an operation of a [`Queue`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueRet<V> {
    /// The value is in the queue.
    Pushed,
    /// There was no room for it.
    Full,
    /// The value that was the first.
    Popped(V),
    /// There was none.
    Empty,
}

impl<V> Queue<V> {
    /// One that is never full.
    #[must_use]
    pub fn unbounded() -> Self {
        Self { capacity: None, values: PhantomData }
    }

    /// One that has room for so many values.
    #[must_use]
    pub fn bounded(capacity: usize) -> Self {
        Self { capacity: Some(capacity), values: PhantomData }
    }

    fn has_room(&self, values: &VecDeque<V>) -> bool {
        self.capacity.is_none_or(|capacity| values.len() < capacity)
    }
}

impl<V: Clone + Eq + Hash> Model for Queue<V> {
    type Op = QueueOp<V>;
    type Ret = QueueRet<V>;
    type State = VecDeque<V>;
    type Next = Option<VecDeque<V>>;
    type Key = ();

    fn partition(&self, _op: &QueueOp<V>) {}

    fn init(&self, (): &()) -> VecDeque<V> {
        VecDeque::new()
    }

    fn step(
        &self,
        values: &VecDeque<V>,
        op: &QueueOp<V>,
        ret: Option<&QueueRet<V>>,
    ) -> Option<VecDeque<V>> {
        let can_be = match (op, ret) {
            (_, None) => true,
            (QueueOp::Push(_), Some(QueueRet::Pushed)) => self.has_room(values),
            (QueueOp::Push(_), Some(QueueRet::Full)) => !self.has_room(values),
            (QueueOp::Pop, Some(QueueRet::Popped(value))) => values.front() == Some(value),
            (QueueOp::Pop, Some(QueueRet::Empty)) => values.is_empty(),
            (QueueOp::Push(_), Some(QueueRet::Popped(_) | QueueRet::Empty))
            | (QueueOp::Pop, Some(QueueRet::Pushed | QueueRet::Full)) => false,
        };
        if !can_be {
            return None;
        }
        let mut next = values.clone();
        match op {
            QueueOp::Push(value) if self.has_room(values) => next.push_back(value.clone()),
            QueueOp::Push(_) => {}
            QueueOp::Pop => drop(next.pop_front()),
        }
        Some(next)
    }
}
