//! tokio's budget of a task, by which it makes a task yield that never waits: each operation of
//! its channels, locks and timers takes a unit, and is pending when there is none left.

use std::{
    iter::from_fn,
    task::{Context, Poll, Waker},
};
use tokio::task::coop::{RestoreOnPending, has_budget_remaining, poll_proceed};

/// More units than a task has. Outside a runtime there is no end of them.
const AMPLE: usize = 1024;

/// Takes units until there is none; they come back when what it returns is dropped, the last
/// first.
fn take_all() -> Vec<RestoreOnPending> {
    let unit = from_fn(|| {
        // A task is woken when it asks in vain: so it is not asked for more than there is.
        let poll = || poll_proceed(&mut Context::from_waker(Waker::noop()));
        match has_budget_remaining().then(poll) {
            Some(Poll::Ready(unit)) => Some(unit),
            _ => None,
        }
    });
    unit.take(AMPLE).collect()
}

/// How many units the calling task has left.
pub(crate) fn remaining() -> usize {
    let mut units = take_all();
    let count = units.len();
    // Each gives back what there was before it: the first comes last.
    while units.pop().is_some() {}
    count
}

/// Leaves the calling task no more than so many units, and says how many it has.
pub(crate) fn limit(units: usize) -> usize {
    let surplus = remaining().saturating_sub(units);
    for _ in 0..surplus {
        if let Poll::Ready(unit) = poll_proceed(&mut Context::from_waker(Waker::noop())) {
            unit.made_progress();
        }
    }
    remaining()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn in_a_task(test: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut test = Some(test);
        runtime.block_on(poll_fn(|_| {
            test.take().unwrap()();
            Poll::Ready(())
        }));
    }

    #[test]
    fn the_budget_is_counted_and_left_as_it_was() {
        in_a_task(|| {
            let all = remaining();
            assert!(all > 1, "{all}");
            assert_eq!(remaining(), all);
            assert_eq!(limit(all + 1), all);
            assert_eq!(limit(3), 3);
            assert_eq!(remaining(), 3);
            assert_eq!(limit(0), 0);
            assert!(!has_budget_remaining());
        });
    }
}
