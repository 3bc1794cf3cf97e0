//! Which few operations cannot be put in order, whatever the others did.
//!
//! To leave an operation out would prove nothing: a read of what was written is wrong once the
//! write is gone. So it is taken to be *optional* instead: what it returned no longer counts, and
//! it has taken effect in its interval or not at all. Whatever orders there were before are there
//! still, so if there is none now, there was none then. The operations that still count at the
//! end are the witness. The way there is delta debugging (Zeller and Hildebrandt, *Simplifying
//! and Isolating Failure-Inducing Input*, TSE 28(2), 2002): large parts first.

use super::search::{Item, Outcome, search};
use super::{Model, Operations, Witness, item};
use crate::Operation;

/// The least work that is given to one try.
const LEAST_STEPS: u64 = 2_000;

struct Shrink<'a, M: Model> {
    model: &'a M,
    key: &'a M::Key,
    operations: &'a [Operation<M::Op, M::Ret>],
    /// What is invoked later is left out, and what returns later does not count.
    cut: u64,
    counts: Vec<bool>,
    steps_left: u64,
    is_minimal: bool,
}

/// Of operations that cannot be put in order.
pub(super) fn minimal<M>(
    model: &M,
    key: &M::Key,
    operations: Operations<M>,
    max_steps: u64,
) -> Witness<M::Op, M::Ret>
where
    M: Model,
{
    let counts = operations.iter().map(|operation| operation.ret().is_some()).collect();
    let mut shrink = Shrink {
        model,
        key,
        operations: &operations,
        cut: u64::MAX,
        counts,
        steps_left: max_steps,
        is_minimal: true,
    };
    shrink.cut_end();
    shrink.drop_parts();
    let Shrink { cut, counts, is_minimal, .. } = shrink;
    let known = operations.into_iter().zip(counts);
    let known = known.filter(|(operation, _)| operation.invoked_at() <= cut);
    let (blamed, others): (Vec<_>, Vec<_>) = known.partition(|(_, counts)| *counts);
    let operations = |part: Vec<(_, bool)>| part.into_iter().map(|(operation, _)| operation);
    Witness::new(operations(blamed).collect(), operations(others).collect(), is_minimal)
}

impl<M: Model> Shrink<'_, M> {
    /// Finds the first return after which there is no order. From then on there is none either,
    /// so that it is found by halving.
    fn cut_end(&mut self) {
        let mut returns: Vec<u64> =
            self.operations.iter().filter_map(Operation::returned_at).collect();
        returns.sort_unstable();
        let (mut below, mut above) = (0, returns.len());
        while below + 1 < above {
            let middle = usize::midpoint(below, above);
            self.cut = returns[middle - 1];
            if self.has_no_order() {
                above = middle;
            } else {
                below = middle;
            }
        }
        self.cut = returns.get(above.saturating_sub(1)).copied().unwrap_or(u64::MAX);
        for (counts, operation) in self.counts.iter_mut().zip(self.operations) {
            *counts &= operation.returned_at().is_some_and(|at| at <= self.cut);
        }
    }

    /// Takes operations to be optional, as many at once as may be, as long as there is no order.
    ///
    /// Each is tried once on its own at the end. One that is needed then is needed later, too:
    /// with more that are optional there are more orders.
    fn drop_parts(&mut self) {
        let mut size = self.counting().len().div_ceil(2);
        while size > 0 {
            // What could not be decided in a larger part may be decided in a smaller one.
            self.is_minimal = true;
            for part in self.counting().chunks(size) {
                self.set(part, false);
                if !self.has_no_order() {
                    self.set(part, true);
                }
            }
            size /= 2;
        }
    }

    fn set(&mut self, part: &[usize], counts: bool) {
        for index in part {
            self.counts[*index] = counts;
        }
    }

    fn counting(&self) -> Vec<usize> {
        (0..self.counts.len()).filter(|index| self.counts[*index]).collect()
    }

    /// False, if that would be too much work to know.
    fn has_no_order(&mut self) -> bool {
        let steps = self.steps_left.min(LEAST_STEPS.max(self.steps_left / 8));
        let known = self.operations.iter().zip(&self.counts);
        let items = known.filter(|(operation, _)| operation.invoked_at() <= self.cut);
        let items = items.map(|(operation, counts)| Item {
            ret: operation.ret().filter(|_| *counts && item(operation).returned <= self.cut),
            ..item(operation)
        });
        let init = self.model.init(self.key);
        let (outcome, steps) = search(self.model, init, items.collect(), steps);
        self.steps_left = self.steps_left.saturating_sub(steps);
        self.is_minimal &= outcome != Outcome::OutOfSteps;
        outcome == Outcome::None
    }
}
