//! Whether some sequential order explains a concurrent history.
//!
//! An object is *linearizable* if each operation seems to take effect at one moment between its
//! invocation and its return (Herlihy and Wing, *Linearizability: A Correctness Condition for
//! Concurrent Objects*, TOPLAS 12(3), 1990).
//!
//! The search is that of Wing and Gong (*Testing and Verifying Concurrent Objects*, JPDC 17,
//! 1993): put an operation next that may come next, and go back if the model refuses. Lowe
//! (*Testing for Linearizability*, CCPE 29(4), 2017) added to it the memory of which operations
//! were in order in which state, so that nothing is searched twice; the checker
//! [porcupine](https://github.com/anishathalye/porcupine) does the same. Partitions are checked
//! each on their own (Horn and Kroening, *Faster Linearizability Checking via
//! P-compositionality*, FORTE 2015).
//!
//! Open operations would double the work each. So orders with fewer of them that took effect come
//! first, and a place that was reached before with fewer of them, and no later, is not searched
//! again: whatever can follow could have followed then as well.
//!
//! The question is NP-complete (Gibbons and Korach, *Testing Shared Memories*, SIAM J. Comput.
//! 26(4), 1997), so the work is bounded, and the bound is a verdict of its own.

mod search;
mod sets;
mod shrink;
mod timeline;
mod witness;

pub use self::witness::Witness;

use self::search::{Item, Outcome, search};
use crate::{History, Operation};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// More than a test of a minute does.
const MAX_STEPS: u64 = 1_000_000;

/// What an object does if one operation comes after the other.
///
/// ```
/// use tidegate_testkit::{History, Model, check_linearizable};
///
/// /// A flag that is raised once: says whether it was raised before.
/// struct Flag;
///
/// impl Model for Flag {
///     type Op = ();
///     type Ret = bool;
///     type State = bool;
///     type Next = Option<bool>;
///     type Key = ();
///
///     fn partition(&self, (): &()) {}
///
///     fn init(&self, (): &()) -> bool {
///         false
///     }
///
///     fn step(&self, raised: &bool, (): &(), ret: Option<&bool>) -> Option<bool> {
///         ret.is_none_or(|ret| ret == raised).then_some(true)
///     }
/// }
///
/// let history = History::new();
/// let (first, second) = (history.client(0).begin(()), history.client(1).begin(()));
/// first.end(false);
/// second.end(false);
/// assert!(!check_linearizable(&Flag, &history).is_linearizable(), "both were the first");
/// ```
pub trait Model {
    /// What clients ask for.
    type Op;
    /// What they are answered.
    type Ret;
    /// What the object is like between two operations.
    type State: Clone + Eq + Hash;
    /// The states that can follow: an `Option` if there is one at most, a `Vec` if the object may
    /// choose.
    type Next: IntoIterator<Item = Self::State>;
    /// Which of several independent objects an operation is about; `()`, if there is one.
    type Key: Eq + Hash;

    /// The object that `op` is about. Those of different keys must not depend on each other.
    fn partition(&self, op: &Self::Op) -> Self::Key;

    /// The state before the first operation.
    fn init(&self, key: &Self::Key) -> Self::State;

    /// The states after `op` was answered with `ret`; none, if that cannot be.
    ///
    /// Without `ret` the operation is open, and nobody knows the answer: these must be all states
    /// that *some* answer leads to.
    fn step(&self, state: &Self::State, op: &Self::Op, ret: Option<&Self::Ret>) -> Self::Next;
}

/// What [`check_linearizable`] has found.
#[derive(Clone, Debug)]
#[must_use = "a verdict that is not looked at proves nothing"]
pub enum Verdict<O, R> {
    /// There is an order that explains every return.
    Linearizable {
        /// How much work it was to find.
        steps: u64,
    },
    /// There is none, and this is why.
    NotLinearizable(Witness<O, R>),
    /// The work was bounded, and the bound was hit: nothing is known.
    Inconclusive {
        /// How much work was done.
        steps: u64,
    },
}

impl<O, R> Verdict<O, R> {
    /// Whether it is known to be.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable { .. })
    }

    /// Why it is not, if that is known.
    #[must_use]
    pub fn witness(&self) -> Option<&Witness<O, R>> {
        match self {
            Self::NotLinearizable(witness) => Some(witness),
            Self::Linearizable { .. } | Self::Inconclusive { .. } => None,
        }
    }

    /// For the check of a [`Stress`](crate::Stress) run.
    ///
    /// # Errors
    ///
    /// With the text of the verdict, if it is any other than linearizable: a check that has proved
    /// nothing does not pass.
    pub fn into_result(self) -> Result<(), String>
    where
        O: fmt::Debug,
        R: fmt::Debug,
    {
        if self.is_linearizable() { Ok(()) } else { Err(self.to_string()) }
    }
}

impl<O: fmt::Debug, R: fmt::Debug> fmt::Display for Verdict<O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable { steps } => write!(f, "linearizable, in {steps} steps"),
            Self::NotLinearizable(witness) => write!(f, "{witness}"),
            Self::Inconclusive { steps } => {
                write!(f, "INCONCLUSIVE: not known to be linearizable after {steps} steps")
            }
        }
    }
}

/// Whether some sequential order of the operations explains every return, with a million steps of
/// work for each partition.
///
/// ```
/// use tidegate_testkit::models::{Register, RegisterOp::*, RegisterRet::*};
/// use tidegate_testkit::{History, check_linearizable};
///
/// let history = History::new();
/// let (a, b) = (history.client(0), history.client(1));
/// a.begin(Write(1)).end(Written);
/// b.begin(Read).end(Value(0)); // Stale.
/// let verdict = check_linearizable(&Register::new(0), &history);
/// assert_eq!(
///     verdict.to_string(),
///     "not linearizable: no order of these 2 operations explains what they returned\n\
///      client 0  |-Write(1) -> Written-|\n\
///      client 1                         |-Read -> Value(0)-|"
/// );
/// ```
pub fn check_linearizable<M>(model: &M, history: &History<M::Op, M::Ret>) -> Verdict<M::Op, M::Ret>
where
    M: Model,
    M::Op: Clone,
    M::Ret: Clone,
{
    check_linearizable_within(model, history, MAX_STEPS)
}

/// As [`check_linearizable`], with another bound on the work for each partition: questions to the
/// model, and comparisons of two ways to one state. Memory grows with it as well, by the size of
/// a state and about 200 bytes each.
///
/// Once it is known that there is no order, it takes as much work again, at the most, to make the
/// witness small.
pub fn check_linearizable_within<M>(
    model: &M,
    history: &History<M::Op, M::Ret>,
    max_steps: u64,
) -> Verdict<M::Op, M::Ret>
where
    M: Model,
    M::Op: Clone,
    M::Ret: Clone,
{
    let (mut all_steps, mut is_known) = (0, true);
    for (key, operations) in partitions(model, history.operations()) {
        let items = operations.iter().map(item).collect();
        let (outcome, steps) = search(model, model.init(&key), items, max_steps);
        all_steps += steps;
        match outcome {
            Outcome::Found => {}
            Outcome::OutOfSteps => is_known = false,
            Outcome::None => {
                let witness = shrink::minimal(model, &key, operations, max_steps);
                return Verdict::NotLinearizable(witness);
            }
        }
    }
    if is_known {
        Verdict::Linearizable { steps: all_steps }
    } else {
        Verdict::Inconclusive { steps: all_steps }
    }
}

type Operations<M> = Vec<Operation<<M as Model>::Op, <M as Model>::Ret>>;

/// By key, in the order in which the keys appear, so that a history has one verdict.
fn partitions<M: Model>(model: &M, operations: Operations<M>) -> Vec<(M::Key, Operations<M>)> {
    let mut numbers = HashMap::new();
    let mut parts: Vec<Operations<M>> = Vec::new();
    for operation in operations {
        let number = *numbers.entry(model.partition(operation.op())).or_insert(parts.len());
        if number == parts.len() {
            parts.push(Vec::new());
        }
        parts[number].push(operation);
    }
    let mut keys: Vec<_> = numbers.into_iter().collect();
    keys.sort_unstable_by_key(|(_, number)| *number);
    keys.into_iter().map(|(key, _)| key).zip(parts).collect()
}

fn item<O, R>(operation: &Operation<O, R>) -> Item<'_, O, R> {
    Item {
        op: operation.op(),
        invoked: operation.invoked_at(),
        returned: operation.returned_at().unwrap_or(u64::MAX),
        ret: operation.ret(),
    }
}
