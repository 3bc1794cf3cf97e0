//! Moving the clock of a bubble by hand.

use super::shared::{Inside, Shared};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};
use tokio::{sync::oneshot, time::Instant};

fn current() -> Arc<Shared> {
    Inside::current().expect("it is called in a bubble, on the thread of its test")
}

/// Waits until no task can go on without time passing, and does not move the clock: Go's
/// `synctest.Wait`.
///
/// Work on threads is not waited for.
///
/// ```
/// use tidegate_testkit::{bubble, settle};
/// use tokio::task::yield_now;
///
/// # #[cfg(not(miri))]
/// bubble(async {
///     let task = tokio::spawn(async {
///         for _ in 0..100 {
///             yield_now().await;
///         }
///     });
///     settle().await;
///     assert!(task.is_finished());
/// });
/// ```
///
/// # Panics
///
/// Outside a [bubble](super::Bubble).
///
/// # Cancel safety
///
/// Cancel safe: dropping the future loses nothing. Tested by
/// `what_waits_for_the_bubble_may_be_dropped`.
pub async fn settle() {
    let settling = Settling::new(current());
    poll_fn(|cx| {
        if settling.shared.idle_times() > settling.since {
            return Poll::Ready(());
        }
        settling.shared.when_idle(settling.number, cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// Somebody who waits until nobody can go on; dropped, it leaves nothing behind.
struct Settling {
    shared: Arc<Shared>,
    number: u64,
    /// How often that had been so before.
    since: u64,
}

impl Settling {
    fn new(shared: Arc<Shared>) -> Self {
        Self { number: shared.settler(), since: shared.idle_times(), shared }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.shared.forget(self.number);
    }
}

/// Moves the clock on by `time`, and lets everybody go on who can, before and after. It moves in one
/// step, as tokio's own does: a loop that sleeps shorter than that has one turn.
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{advance, bubble};
/// use tokio::time::sleep;
///
/// # #[cfg(not(miri))]
/// bubble(async {
///     let task = tokio::spawn(sleep(Duration::from_secs(5)));
///     advance(Duration::from_millis(4_999)).await;
///     assert!(!task.is_finished());
///     advance(Duration::from_millis(1)).await;
///     assert!(task.is_finished());
/// });
/// ```
///
/// # Panics
///
/// Outside a [bubble](super::Bubble), or if its clock is the real one.
///
/// # Cancel safety
///
/// Dropping the future loses nothing, but the clock may have moved already. Tested by
/// `what_waits_for_the_bubble_may_be_dropped`.
pub async fn advance(time: Duration) {
    settle().await;
    tokio::time::advance(time).await;
    settle().await;
}

/// Moves the clock on to the next timer that somebody waits for, lets everybody go on who can, before
/// and after, and says which moment that is. If there is no timer within a year, it says so, and
/// the clock stands; timers that are armed and wake nobody any more it passes, and they may move it.
///
/// Timers of tokio go off at the first whole millisecond of the bubble at or after their deadline.
/// The clock stands while there is blocking work, so that its end is waited for, unless no thread
/// has begun with it.
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{advance_to_next_timer, bubble};
/// use tokio::time::{Instant, sleep};
///
/// # #[cfg(not(miri))]
/// bubble(async {
///     let begun = Instant::now();
///     let secs = Duration::from_secs;
///     let tasks = [7, 3, 3].map(|n| tokio::spawn(sleep(secs(n))));
///     assert_eq!(advance_to_next_timer().await, Some(begun + secs(3)));
///     assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), 2);
///     assert_eq!(advance_to_next_timer().await, Some(begun + secs(7)));
///     assert_eq!(advance_to_next_timer().await, None);
///     assert_eq!(begun.elapsed(), secs(7));
/// });
/// ```
///
/// # Panics
///
/// Outside a [bubble](super::Bubble), or if its clock is the real one.
///
/// # Cancel safety
///
/// Dropping the future loses nothing, but the clock may have moved already. Tested by
/// `what_waits_for_the_bubble_may_be_dropped`.
pub async fn advance_to_next_timer() -> Option<Instant> {
    let shared = current();
    assert!(shared.is_virtual(), "a clock that is the real one is not moved by hand");
    let (asking, told) = oneshot::channel();
    shared.ask_for_step(asking);
    // It is told before the bubble ends.
    let at = told.await.ok().flatten();
    settle().await;
    at
}
