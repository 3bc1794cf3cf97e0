use crate::Model;

/// A number that is added to, and that each operation returns as it was before, as `fetch_add`
/// does.
#[derive(Clone, Debug)]
pub struct Counter {
    initial: i64,
}

/// An operation of a [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterOp {
    /// Reads it.
    Get,
    /// Adds so much; it wraps around.
    Add(i64),
}

impl Counter {
    /// One that starts at `initial`.
    #[must_use]
    pub fn new(initial: i64) -> Self {
        Self { initial }
    }
}

impl Model for Counter {
    type Op = CounterOp;
    type Ret = i64;
    type State = i64;
    type Next = Option<i64>;
    type Key = ();

    fn partition(&self, _op: &CounterOp) {}

    fn init(&self, (): &()) -> i64 {
        self.initial
    }

    fn step(&self, state: &i64, op: &CounterOp, ret: Option<&i64>) -> Option<i64> {
        let next = match op {
            CounterOp::Get => *state,
            CounterOp::Add(n) => state.wrapping_add(*n),
        };
        ret.is_none_or(|ret| ret == state).then_some(next)
    }
}
