//! Why a history is not linearizable.

use super::timeline;
use crate::Operation;
use std::fmt;

/// The operations beside those that are to blame are drawn, if there are no more of them.
const FEW: usize = 8;

/// Of those that are to blame so many are drawn, the last ones: there are more only if they are
/// not known to be minimal, and a longer line is not read.
const MOST: usize = 16;

/// A few operations of one partition that no order explains, whatever the others did.
///
/// Its text has a line for each client, with the operations as intervals. The others are drawn
/// with dots, if they are few.
///
/// It is small if the effects of many operations come to few states, as with a register, and if
/// the history is short. That of a long history of a queue [may not be minimal](Self::is_minimal).
///
/// ```
/// use tidegate_testkit::models::{Queue, QueueOp::*, QueueRet::*};
/// use tidegate_testkit::{History, check_linearizable};
///
/// let history = History::new();
/// let (a, b) = (history.client(0), history.client(1));
/// let late = b.begin(Push(3)); // Its future is dropped.
/// drop(late);
/// a.begin(Push(1)).end(Pushed);
/// a.begin(Push(2)).end(Pushed);
/// b.begin(Pop).end(Popped(2));
/// let verdict = check_linearizable(&Queue::unbounded(), &history);
/// let witness = verdict.witness().unwrap();
/// assert_eq!(witness.operations().len(), 2);
/// assert_eq!(
///     witness.to_string(),
///     "not linearizable: no order of these 2 operations explains what they returned, \
///      whatever 2 others (dotted) did\n\
///      client 0   |-Push(1) -> Pushed-||.Push(2) -> Pushed.|\n\
///      client 1  |.Push(3).....................................................\n\
///      client 1                                             |-Pop -> Popped(2)-|"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Witness<O, R> {
    operations: Vec<Operation<O, R>>,
    others: Vec<Operation<O, R>>,
    is_minimal: bool,
}

impl<O, R> Witness<O, R> {
    pub(super) fn new(
        operations: Vec<Operation<O, R>>,
        others: Vec<Operation<O, R>>,
        is_minimal: bool,
    ) -> Self {
        Self { operations, others, is_minimal }
    }

    /// The operations that no order explains, even if every other operation returned anything at
    /// all, and took effect at some time in its interval or never.
    #[must_use]
    pub fn operations(&self) -> &[Operation<O, R>] {
        &self.operations
    }

    /// The other operations that were invoked by then.
    #[must_use]
    pub fn others(&self) -> &[Operation<O, R>] {
        &self.others
    }

    /// Whether it is known that there is an order without any one of them; else the bound of the
    /// work was hit, and there may be more operations than it needs.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        self.is_minimal
    }
}

impl<O: fmt::Debug, R: fmt::Debug> fmt::Display for Witness<O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.operations.len() == 1;
        let what = if one { "this operation" } else { "these" };
        write!(f, "not linearizable: no order of {what}")?;
        if !one {
            write!(f, " {} operations", self.operations.len())?;
        }
        write!(f, " explains what {} returned", if one { "it" } else { "they" })?;
        let others = self.others.len();
        let are_drawn = others <= FEW;
        if others > 0 {
            let dotted = if are_drawn { " (dotted)" } else { "" };
            let plural = if others == 1 { "other" } else { "others" };
            write!(f, ", whatever {others} {plural}{dotted} did")?;
        }
        let hidden = self.operations.len().saturating_sub(MOST);
        if hidden > 0 {
            write!(f, " (the last {MOST} of them drawn)")?;
        }
        let blamed = self.operations[hidden..].iter().map(|operation| (operation, '-'));
        let drawn = if are_drawn { &self.others[..] } else { &[] };
        let others = drawn.iter().map(|operation| (operation, '.'));
        timeline::draw(f, blamed.chain(others).collect())
    }
}
