//! A request.

use crate::{Priority, clock::Clock};
use std::time::Duration;
use tokio::time::Instant;

/// A request for permits: how many, how urgently, and for how long it may wait.
///
/// ```
/// use std::time::Duration;
/// use tidegate_bulkhead::{Ask, Bulkhead, Priority};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let bulkhead = Bulkhead::builder(10).build().unwrap();
/// let ask = Ask::new(3).priority(Priority::High).within(Duration::from_millis(50));
/// let permit = bulkhead.acquire_with(ask).await.unwrap();
/// assert_eq!(permit.weight(), 3);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it is passed to `acquire_with`"]
pub struct Ask {
    pub(super) weight: u32,
    pub(super) priority: Priority,
    bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    /// As long as anybody may.
    None,
    /// As long as it takes, whatever others may.
    Never,
    Within(Duration),
    Until(Instant),
}

impl Ask {
    /// For so many permits, at [normal](Priority::Normal) priority. None always enter, unless the bulkhead
    /// is closed.
    pub fn new(weight: u32) -> Self {
        Self { weight, priority: Priority::default(), bound: Bound::None }
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// It waits for so long at most, from when it takes its place in the line.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.bound = Bound::Within(timeout);
        self
    }

    /// It waits until then at most, by tokio's clock.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.bound = Bound::Until(deadline);
        self
    }

    /// It waits for as long as it takes.
    pub(super) fn unbounded(mut self) -> Self {
        self.bound = Bound::Never;
        self
    }

    /// When it has to have entered, if it joins the line now, where nobody may wait for longer than that.
    pub(super) fn deadline(&self, max_wait: Option<Duration>) -> Option<Instant> {
        let own = match self.bound {
            Bound::None => None,
            Bound::Never => return None,
            Bound::Within(timeout) => Clock::after(timeout),
            Bound::Until(deadline) => Some(deadline),
        };
        let all = max_wait.and_then(Clock::after);
        own.into_iter().chain(all).min()
    }
}
