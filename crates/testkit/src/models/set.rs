use crate::Model;
use std::hash::Hash;
use std::marker::PhantomData;

/// A set of which each operation is about one value and returns whether that was in it before.
///
/// Each value is checked on its own.
#[derive(Clone, Debug)]
pub struct Set<V> {
    values: PhantomData<fn() -> V>,
}

/// An operation of a [`Set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetOp<V> {
    /// Looks whether a value is in the set.
    Contains(V),
    /// Puts a value in.
    Insert(V),
    /// Takes a value out.
    Remove(V),
}

impl<V> Set<V> {
    /// One that starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self { values: PhantomData }
    }
}

impl<V> Default for Set<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Eq + Hash> Model for Set<V> {
    type Op = SetOp<V>;
    type Ret = bool;
    type State = bool;
    type Next = Option<bool>;
    type Key = V;

    fn partition(&self, op: &SetOp<V>) -> V {
        let (SetOp::Contains(value) | SetOp::Insert(value) | SetOp::Remove(value)) = op;
        value.clone()
    }

    fn init(&self, _value: &V) -> bool {
        false
    }

    fn step(&self, is_in: &bool, op: &SetOp<V>, ret: Option<&bool>) -> Option<bool> {
        let next = match op {
            SetOp::Contains(_) => *is_in,
            SetOp::Insert(_) => true,
            SetOp::Remove(_) => false,
        };
        ret.is_none_or(|ret| ret == is_in).then_some(next)
    }
}
