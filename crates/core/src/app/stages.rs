//! How long each stage of an ending program may take, and what ends it.

use crate::{
    CancelToken, Straggler,
    inspect::Snapshot,
    observe,
    rt::{sleep, timeout},
    scope::{self, Home, ScopeNode, orphans},
    sync::Arc,
};
use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How long work that was aborted may take to notice.
pub(super) const ABORT_WAIT: Duration = Duration::from_secs(1);

/// How often a program that ends says what it waits for.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long each stage may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) drain: Duration,
    pub(super) grace: Duration,
    pub(super) abort: Duration,
}

impl Times {
    /// The stages within `budget`, the later ones first: draining has what they leave, and
    /// aborting a quarter at most.
    pub(super) fn within(
        budget: Option<Duration>,
        drain: Option<Duration>,
        grace: Duration,
    ) -> Self {
        let Some(budget) = budget else {
            return Self { drain: drain.unwrap_or_default(), grace, abort: ABORT_WAIT };
        };
        let abort = ABORT_WAIT.min(budget / 4);
        let left = budget.saturating_sub(abort);
        let grace = grace.min(left);
        let left = left.saturating_sub(grace);
        Self { drain: drain.unwrap_or(left).min(left), grace, abort }
    }
}

/// Takes a program that is to end through its stages; ends when it has had its time for all.
pub(super) async fn pass(token: &CancelToken, node: &Arc<ScopeNode>, times: Times) {
    let mut draining = pin!(cancel_drained(token, node, times.drain));
    let mut telling = pin!(tell_who_is_left(node));
    let mut given_up = pin!(async {
        node.token().cancelled().await;
        sleep(times.grace.saturating_add(times.abort)).await;
    });
    poll_fn(|cx| {
        let _: Poll<Infallible> = draining.as_mut().poll(cx);
        let _: Poll<Infallible> = telling.as_mut().poll(cx);
        given_up.as_mut().poll(cx)
    })
    .await;
}

/// Cancels a program that is to stop when it has had its time to drain; never ends itself.
async fn cancel_drained(token: &CancelToken, node: &ScopeNode, drain: Duration) -> Infallible {
    let cause = node.token().stopping().await;
    if !drain.is_zero() {
        sleep(drain).await;
    }
    token.cancel(cause);
    pending().await
}

/// Says every second what a program waits for that is to stop; never ends itself.
async fn tell_who_is_left(node: &Arc<ScopeNode>) -> Infallible {
    node.token().stopping().await;
    loop {
        sleep(TELL_EVERY).await;
        observe::left(node.path(), &node.stragglers(), "still ending");
    }
}

/// Waits for what is left of root scopes that were dropped, for up to `patience`.
pub(super) async fn join_orphans(patience: Duration) {
    if orphans() > 0 {
        // Who is left is told by what is left.
        let _ = timeout(patience, scope::join_orphans()).await;
    }
}

/// What is left of root scopes that were dropped.
pub(super) fn left_by_orphans() -> Vec<Straggler> {
    if orphans() == 0 { Vec::new() } else { Snapshot::take().orphans(Home::here()) }
}

/// What is left of a program that is given up: of its scope, and of root scopes that were dropped.
pub(super) fn stuck(node: &Arc<ScopeNode>) -> Vec<Straggler> {
    let mut stuck = node.stragglers();
    stuck.extend(left_by_orphans());
    stuck
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn stages_fit_into_the_budget() {
        let times = |budget, drain: Option<u64>, grace| {
            let Times { drain, grace, abort } =
                Times::within(Some(secs(budget)), drain.map(secs), secs(grace));
            [drain, grace, abort].map(|time| time.as_millis())
        };
        assert_eq!(times(30, None, 5), [24_000, 5_000, 1_000]);
        assert_eq!(times(30, Some(10), 5), [10_000, 5_000, 1_000]);
        assert_eq!(times(30, Some(100), 5), [24_000, 5_000, 1_000]);
        assert_eq!(times(4, None, 5), [0, 3_000, 1_000]);
        assert_eq!(times(2, Some(9), 5), [0, 1_500, 500]);
        assert_eq!(times(0, Some(9), 5), [0, 0, 0]);
        let unlimited = Times { drain: secs(0), grace: secs(5), abort: ABORT_WAIT };
        assert_eq!(Times::within(None, None, secs(5)), unlimited);
    }
}
