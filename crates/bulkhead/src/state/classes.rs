//! Which class goes next.

use crate::Priority;

/// Chooses among the classes that somebody waits in: the most urgent one, unless a class was passed over
/// for too long.
///
/// A class is passed over each time a more urgent one goes first. After `patience` times it goes next,
/// whatever comes; of several such classes the one that was passed over most often. So the first of a
/// class sees at most `patience` of more urgent ones go first, and one more for each other class.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    /// None, if the urgent may starve the others.
    patience: Option<u32>,
    passed_over: [u32; Priority::CLASSES],
}

impl Classes {
    pub(crate) fn new(patience: Option<u32>) -> Self {
        Self { patience, passed_over: [0; Priority::CLASSES] }
    }

    /// The class that goes next, of those in which somebody waits.
    pub(super) fn next(&self, waits: impl Fn(usize) -> bool) -> Option<usize> {
        let is_due = |class: &usize| {
            self.patience.is_some_and(|patience| self.passed_over[*class] >= patience)
        };
        let waiting = || (0..Priority::CLASSES).filter(|class| waits(*class));
        // The last of equals would win.
        let due = waiting().filter(is_due).rev().max_by_key(|class| self.passed_over[*class]);
        due.or_else(|| waiting().next())
    }

    /// One of that class goes.
    pub(super) fn went(&mut self, class: usize, waits: impl Fn(usize) -> bool) {
        self.passed_over[class] = 0;
        for other in class + 1..Priority::CLASSES {
            let passed_over = &mut self.passed_over[other];
            *passed_over = if waits(other) { passed_over.saturating_add(1) } else { 0 };
        }
    }

    /// Nobody waits any more in that class.
    pub(super) fn is_empty(&mut self, class: usize) {
        self.passed_over[class] = 0;
    }
}
