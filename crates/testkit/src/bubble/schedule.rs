//! Seeded preemption: a poll with less of a budget than tokio gives it.

use super::shared::Inside;
use crate::{Rng, Seed};
use std::{
    future::{Future, poll_fn},
    pin::pin,
};

/// Decides what a poll may do.
#[derive(Debug)]
pub(super) struct Schedule(Rng);

/// One poll in so many is preempted.
const PREEMPTED: u64 = 2;

/// Before one of so many operations.
const OPERATIONS: u64 = 6;

impl Schedule {
    pub(super) fn new(seed: Seed) -> Self {
        // Apart from what the test draws from the same seed.
        Self(seed.rng().stream(u64::MAX))
    }

    /// How many operations the next poll may do; as many as it likes, if none.
    pub(super) fn next(&mut self) -> Option<usize> {
        let operations = self.0.below(OPERATIONS);
        self.0.one_in(PREEMPTED).then(|| usize::try_from(operations).unwrap_or(0))
    }
}

/// Has a future that is spawned in a bubble yield where the seed says, when the test is
/// [explored](crate::explore()): for builds without `tokio_unstable`, which do that to each task.
/// Elsewhere it changes nothing.
///
/// ```
/// use tidegate_testkit::{Seeds, explore, perturbed};
///
/// # #[cfg(not(miri))]
/// explore(Seeds::n(8), async |_seed| {
///     let task = tokio::spawn(perturbed(async { /* .. */ }));
///     task.await.unwrap();
/// })
/// .assert_passed();
/// ```
///
/// # Cancel safety
///
/// As the future, which is dropped with this one. Tested by
/// `what_is_perturbed_is_dropped_with_its_wrapper`.
pub async fn perturbed<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // Its task has been preempted already where that can be done.
        if !cfg!(tokio_unstable) {
            preempt();
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// A poll begins, in the bubble of the calling thread if there is one.
pub(super) fn preempt() {
    if let Some(shared) = Inside::current() {
        shared.preempt();
    }
}
