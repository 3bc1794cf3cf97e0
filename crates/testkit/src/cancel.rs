//! Dropping a future at each of its awaits, one after the other.
//!
//! A future that is dropped by a timeout or a `select!` stops at an await. Which one, is chance;
//! here it is each. There are two kinds, and both are visited:
//!
//! - *while it is pending* for the first time, the second, and so on, whatever it waits for;
//! - *before an operation* of tokio, whether or not it would have been ready: the future is
//!   polled with a budget of so many units, each of which lets one operation through. The next
//!   one is pending, as it is for a task that has used up its budget. So is whatever takes no unit
//!   and waits, `yield_now` for instance, but that goes on: what is pending more often than the
//!   future ever waits was refused.
//!
//! Counting polls alone, as most checkers do, visits no await that happens to be ready, such as
//! a `send` into a channel that has room: the message is lost there as well.

use crate::{Bubble, coop, tell::tell};
use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    task::Poll,
};
use tokio::task::{
    coop::{Coop, cooperative},
    yield_now,
};

/// More points than anybody waits for.
const MOST: usize = 100_000;

/// Where a future was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelPoint {
    /// So many operations of tokio went through, and the next one did not.
    BeforeOperation(usize),
    /// It was pending for so many times, from 1.
    WhilePending(usize),
}

impl fmt::Display for CancelPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeOperation(n) => write!(f, "before operation {n} (from 0)"),
            Self::WhilePending(n) => write!(f, "while it was pending for time {n}"),
        }
    }
}

/// Which points [`cancel_everywhere`] has visited.
#[must_use = "a future without points was not tested: see `assert_covered`"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelReport {
    operations: usize,
    suspensions: usize,
}

impl CancelReport {
    /// How many operations of tokio the future went through when it was not dropped.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// How often it was pending.
    #[must_use]
    pub fn suspensions(&self) -> usize {
        self.suspensions
    }

    /// At how many points it was dropped.
    #[must_use]
    pub fn points(&self) -> usize {
        self.operations + self.suspensions
    }

    /// Checks that the test has not become an empty one.
    ///
    /// # Panics
    ///
    /// If fewer points were visited.
    #[track_caller]
    pub fn assert_covered(self, points: usize) {
        assert!(self.points() >= points, "{self:?}: fewer than {points} points were visited");
    }
}

/// Runs `op` again and again, each time on a fresh subject, drops it at the next point, and lets
/// `after` say what must be true then: that nothing is lost, and that the subject can be used
/// again. It ends when `op` has run to its end, and prints `cancel-points: <test> <points>`.
///
/// Each run has a [`Bubble`] of its own: an `after` that waits for a permit that was lost is a
/// deadlock, and a task that is left behind is a leak.
///
/// # Limits
///
/// - `op` has to do the same in each run, as far as it gets: a `select!` without `biased` looks at
///   its branches in a random order, and what is visited is up to chance then.
/// - Points are those of `op` itself. What it spawns is not dropped with it, and operations under
///   tokio's `unconstrained` are not seen.
/// - A future that does 128 operations without waiting is made to yield by tokio, which is a point, too.
///
/// ```
/// use tidegate_testkit::cancel_everywhere;
/// use tokio::sync::Semaphore;
///
/// # #[cfg(not(miri))]
/// let report = cancel_everywhere(
///     || Semaphore::new(2),
///     async |permits: &Semaphore| {
///         let _one = permits.acquire().await.unwrap();
///         let _other = permits.acquire().await.unwrap();
///     },
///     async |permits: &Semaphore, point| {
///         assert_eq!(permits.available_permits(), 2, "{point}");
///     },
/// );
/// # #[cfg(not(miri))]
/// assert_eq!(report.operations(), 2, "neither has to wait, and each is visited");
/// ```
///
/// # Panics
///
/// If a check fails, or the bubble does: with the point in its text. If there is no end of points.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "closures are written where they are passed")]
pub fn cancel_everywhere<S, T>(
    make: impl Fn() -> S,
    op: impl AsyncFn(&S) -> T,
    after: impl AsyncFn(&S, CancelPoint),
) -> CancelReport {
    let count = |waits: usize, points: &dyn Fn(usize) -> CancelPoint| {
        let end = (0..MOST).find(|n| !drops_at(points(*n), waits, &make, &op, &after));
        end.unwrap_or_else(|| panic!("there is no end after {MOST} points"))
    };
    let suspensions = count(0, &|n| CancelPoint::WhilePending(n + 1));
    let operations = count(suspensions, &CancelPoint::BeforeOperation);
    let report = CancelReport { operations, suspensions };
    tell("cancel-points", report.points() as u64);
    report
}

/// Makes a future one operation more for [`cancel_everywhere`], which else sees only those of
/// tokio, and others while they are pending.
///
/// ```
/// use std::future::ready;
/// use tidegate_testkit::{cancel_everywhere, counted};
///
/// # #[cfg(not(miri))]
/// let report = cancel_everywhere(
///     || (),
///     async |()| {
///         ready(1).await;
///         counted(ready(2)).await;
///     },
///     async |(), _| {},
/// );
/// # #[cfg(not(miri))]
/// assert_eq!(report.points(), 1);
/// ```
pub fn counted<F: Future>(future: F) -> Coop<F> {
    cooperative(future)
}

/// One run; false, if the future ended before the point. It waits so often if it is let be.
#[track_caller]
fn drops_at<S, T>(
    point: CancelPoint,
    waits: usize,
    make: &impl Fn() -> S,
    op: &impl AsyncFn(&S) -> T,
    after: &impl AsyncFn(&S, CancelPoint),
) -> bool {
    let run = || {
        Bubble::new().run(async {
            let subject = make();
            let was_dropped = {
                let op = pin!(op(&subject));
                run_until(point, waits, op).await
            };
            if was_dropped {
                // The check is polled with a budget of its own.
                yield_now().await;
                after(&subject, point).await;
            }
            was_dropped
        })
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(was_dropped)) => was_dropped,
        Ok(Err(failure)) => panic!("to be dropped {point}: {failure}"),
        Err(payload) => {
            say(point);
            resume_unwind(payload)
        }
    }
}

/// After the words of the panic that goes on, which does not know of the point.
#[expect(clippy::print_stderr, reason = "where the words of a panic are")]
fn say(point: CancelPoint) {
    eprintln!("dropped {point}");
}

/// Polls until the point, or the end; true, if the point came first.
async fn run_until<F: Future>(point: CancelPoint, waits: usize, mut op: Pin<&mut F>) -> bool {
    let (mut operations, mut pending) = (0, 0);
    poll_fn(|cx| {
        let given = match point {
            CancelPoint::BeforeOperation(n) => coop::limit(n - operations),
            CancelPoint::WhilePending(_) => 0,
        };
        if op.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        let is_there = match point {
            CancelPoint::BeforeOperation(n) => {
                operations += given - coop::remaining();
                pending += usize::from(operations == n);
                // One of these was no waiting: an operation was refused, which wakes who asks.
                pending > waits
            }
            CancelPoint::WhilePending(n) => {
                pending += 1;
                pending == n
            }
        };
        if is_there { Poll::Ready(true) } else { Poll::Pending }
    })
    .await
}
