use crate::Model;
use std::hash::Hash;

/// A value that is read, written, and exchanged if it is the expected one.
#[derive(Clone, Debug)]
pub struct Register<V> {
    initial: V,
}

/// An operation of a [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOp<V> {
    /// Returns the [`Value`](RegisterRet::Value).
    Read,
    /// Puts this value in place of the other: [`Written`](RegisterRet::Written).
    Write(V),
    /// Puts the second value in place, if it is the first: [`Swapped`](RegisterRet::Swapped).
    CompareAndSet(V, V),
}

/// What an operation of a [`Register`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterRet<V> {
    /// What was read.
    Value(V),
    /// A write has nothing to tell.
    Written,
    /// Whether the value was the expected one.
    Swapped(bool),
}

impl<V> Register<V> {
    /// One that starts with `initial`.
    #[must_use]
    pub fn new(initial: V) -> Self {
        Self { initial }
    }
}

impl<V: Clone + Eq + Hash> Model for Register<V> {
    type Op = RegisterOp<V>;
    type Ret = RegisterRet<V>;
    type State = V;
    type Next = Option<V>;
    type Key = ();

    fn partition(&self, _op: &RegisterOp<V>) {}

    fn init(&self, (): &()) -> V {
        self.initial.clone()
    }

    fn step(&self, state: &V, op: &RegisterOp<V>, ret: Option<&RegisterRet<V>>) -> Option<V> {
        let (next, answer) = match op {
            RegisterOp::Read => (state, RegisterRet::Value(state)),
            RegisterOp::Write(value) => (value, RegisterRet::Written),
            RegisterOp::CompareAndSet(expected, new) if expected == state => {
                (new, RegisterRet::Swapped(true))
            }
            RegisterOp::CompareAndSet(..) => (state, RegisterRet::Swapped(false)),
        };
        ret.is_none_or(|ret| ret.by_ref() == answer).then(|| next.clone())
    }
}

impl<V> RegisterRet<V> {
    /// Without a clone of the value, which would be one for each step of a search.
    fn by_ref(&self) -> RegisterRet<&V> {
        match self {
            Self::Value(value) => RegisterRet::Value(value),
            Self::Written => RegisterRet::Written,
            Self::Swapped(was) => RegisterRet::Swapped(*was),
        }
    }
}
