//! Suites that any implementation of a common object can be put through.
//!
//! Most race threads on fresh objects, as their [`Stress`](crate::Stress) says, record what those
//! asked for and were answered, and check that history, and what is left in the object.
//! [`wait_pool`] is about who waits and gives up: it has seeds, and no threads.

mod limiter;
mod pool;
mod queue;
mod semaphore;
mod wait_pool;

pub use self::limiter::{Limit, TryLimiter, limiter};
pub use self::pool::{TryPool, pool};
pub use self::queue::{TryQueue, queue};
pub use self::semaphore::{Refusals, TrySemaphore, semaphore};
pub use self::wait_pool::{Fairness, WaitPool, wait_pool};

use crate::{Client, Rng};

/// Operations of a round, over all threads: few enough for a round of a millisecond and for a
/// history that is checked in as long.
const OPERATIONS: u64 = 24;

/// How many of them a thread does.
fn share(threads: usize, rng: &mut Rng) -> u64 {
    let most = OPERATIONS / (threads as u64).max(1);
    1 + rng.below(most.max(1))
}

/// Records an operation of which the result is not the return.
fn record<O, R, T>(client: &Client<O, R>, op: O, run: impl FnOnce() -> T, ret: fn(&T) -> R) -> T {
    let call = client.begin(op);
    let result = run();
    call.end(ret(&result));
    result
}
