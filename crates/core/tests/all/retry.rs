//! What is tried again, how often, and what ends it.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    time::Duration,
};
use tidegate_core::{AttemptError, Backoff, CancelToken, Jitter, Retry, RetryBudget, RetryStop};
use tokio::time::Instant;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn backoff(limit: u32) -> Backoff {
    Backoff::exponential(MS(100)).jitter(Jitter::None).limit(limit)
}

#[tidegate_testkit::test]
async fn attempts_come_after_the_delays_of_the_backoff() {
    let (start, times) = (Instant::now(), RefCell::new(Vec::new()));
    let error = Retry::new(backoff(3))
        .run(&CancelToken::new(), async |attempt| {
            times.borrow_mut().push(start.elapsed());
            Err::<(), _>(attempt)
        })
        .await
        .unwrap_err();
    assert_eq!(times.into_inner(), [MS(0), MS(100), MS(300), MS(700)]);
    assert!(matches!(error.stop(), RetryStop::Exhausted));
    assert_eq!(error.to_string(), "no attempts are left after 4 failed attempts: 3");
    assert_eq!((error.attempts(), error.into_error()), (4, Some(3)));
}

#[tidegate_testkit::test]
async fn it_can_be_run_in_a_task() {
    let answer = tidegate_core::scope("app", async |cx: tidegate_core::Cx<String>| {
        let token = cx.token().clone();
        let asked = cx.spawn("ask", async move {
            let asked = String::from("what");
            let ask = async |attempt: u32| {
                tokio::task::yield_now().await;
                if attempt == 1 { Ok(asked.len()) } else { Err("busy") }
            };
            Retry::new(backoff(1)).run(&token, ask).await.map_err(|error| error.to_string())
        });
        asked.await.map_err(|error| error.to_string())
    });
    assert_eq!(answer.await.unwrap(), 4);
}

#[tidegate_testkit::test]
async fn a_policy_can_be_used_again() {
    let retry = Retry::new(backoff(1));
    for _ in 0..3 {
        let start = Instant::now();
        let twice = async |attempt| if attempt == 1 { Ok(attempt) } else { Err("not yet") };
        assert_eq!(retry.run(&CancelToken::new(), twice).await.unwrap(), 1);
        assert_eq!(start.elapsed(), MS(100), "the backoff starts anew");
    }
}

#[tidegate_testkit::test]
async fn a_permanent_error_is_not_tried_again() {
    let retry = Retry::new(backoff(9)).when(|error: &&str| *error == "busy");
    let op = async |attempt| Err::<(), _>(if attempt == 0 { "busy" } else { "gone" });
    let error = retry.run(&CancelToken::new(), op).await.unwrap_err();
    assert!(matches!(error.stop(), RetryStop::Permanent), "{error}");
    assert_eq!((error.attempts(), error.into_error()), (2, Some("gone")));
}

#[tidegate_testkit::test]
async fn an_error_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() {
    let start = Instant::now();
    let retry = Retry::new(backoff(2).max(MS(100))).retry_after(|wait: &Duration| Some(*wait));
    let waits = [Duration::from_secs(60), MS(1), MS(0)];
    let op = async |attempt: u32| Err::<(), _>(waits[attempt as usize]);
    let error = retry.run(&CancelToken::new(), op).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
    assert_eq!(start.elapsed(), Duration::from_secs(60) + MS(100));
}

struct Count<'a>(&'a Cell<u32>);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[tidegate_testkit::test]
async fn an_attempt_that_takes_too_long_is_dropped_and_tried_again() {
    let dropped = Cell::new(0);
    let retry = Retry::new(backoff(1)).attempt_timeout(MS(10)).when(|()| false);
    let error = retry
        .run(&CancelToken::new(), async |_| {
            let _count = Count(&dropped);
            pending::<Result<(), ()>>().await
        })
        .await
        .unwrap_err();
    assert_eq!(error.last(), Some(&AttemptError::TimedOut(MS(10))));
    assert_eq!((error.attempts(), dropped.get()), (2, 2));
}

#[tidegate_testkit::test]
async fn a_cancellation_ends_an_attempt_and_a_wait() {
    for (after, attempts) in [(MS(5), 0), (MS(50), 1)] {
        let token = CancelToken::new();
        let op = async |_| {
            tokio::time::sleep(MS(10)).await;
            Err::<(), _>("busy")
        };
        let start = Instant::now();
        let retry = Retry::new(backoff(9));
        let (ended, ()) = tokio::join!(retry.run(&token, op), async {
            tokio::time::sleep(after).await;
            token.cancel("enough");
        });
        let error = ended.unwrap_err();
        assert!(matches!(error.stop(), RetryStop::Cancelled(_)), "{error}");
        assert_eq!((error.attempts(), start.elapsed()), (attempts, after));
        assert_eq!(error.into_error(), (attempts > 0).then_some("busy"));
    }
}

#[tidegate_testkit::test]
async fn a_cancelled_token_lets_nothing_begin() {
    let token = CancelToken::new();
    token.cancel("enough");
    let begun = Cell::new(false);
    let op = async |_| {
        begun.set(true);
        Ok::<_, ()>(())
    };
    let error = Retry::new(backoff(9)).run(&token, op).await.unwrap_err();
    assert!(matches!(error.stop(), RetryStop::Cancelled(_)) && error.last().is_none());
    assert!(!begun.get());
}

/// Without a budget a server that is down gets four times the load.
#[tidegate_testkit::test]
async fn a_budget_bounds_what_many_failing_operations_try_again() {
    let budget = RetryBudget::new(10, 0.1);
    let retry = Retry::new(backoff(3)).budget(&budget);
    let calls = Cell::new(0_u32);
    let mut refused = 0;
    for _ in 0..1000 {
        let op = async |_| {
            calls.set(calls.get() + 1);
            Err::<(), _>(())
        };
        let error = retry.run(&CancelToken::new(), op).await.unwrap_err();
        refused += u32::from(matches!(error.stop(), RetryStop::NoBudget));
    }
    assert!((1100..=1111).contains(&calls.get()), "{} calls", calls.get());
    assert!(refused > 900, "{refused}");
    assert_eq!(budget.left(), 0);
}

#[test]
fn odd_ratios_make_a_budget_all_the_same() {
    for (ratio, after) in [(f64::NAN, 0), (-1.0, 0), (f64::INFINITY, 3), (0.4999, 0), (1.0, 1)] {
        let budget = RetryBudget::new(3, ratio);
        while budget.withdraw() {}
        budget.deposit();
        assert_eq!(budget.left(), after, "{ratio}");
    }
    assert!(!RetryBudget::new(0, 1.0).withdraw());
}

/// Dropped in an attempt and in a wait: nothing runs on, and the budget has what was not used.
#[tidegate_testkit::test]
async fn a_run_that_is_dropped_leaves_nothing_behind() {
    let budget = RetryBudget::new(1, 0.0);
    let retry = Retry::new(backoff(9)).budget(&budget);
    let token = CancelToken::new();
    for (after, begun, dropped) in [(MS(5), 1, 1), (MS(50), 1, 1), (MS(115), 2, 2)] {
        let (begins, drops) = (Cell::new(0), Cell::new(0));
        let op = async |_| {
            begins.set(begins.get() + 1);
            let _count = Count(&drops);
            tokio::time::sleep(MS(10)).await;
            Err::<(), _>("busy")
        };
        assert!(tokio::time::timeout(after, retry.run(&token, op)).await.is_err());
        assert_eq!((begins.get(), drops.get()), (begun, dropped), "after {after:?}");
        assert_eq!(budget.left(), u64::from(begun == 1), "after {after:?}");
    }
}

#[tidegate_testkit::test]
async fn a_cancelled_wait_gives_the_budget_back() {
    let (budget, token) = (RetryBudget::new(1, 0.0), CancelToken::new());
    let retry = Retry::new(backoff(9)).budget(&budget);
    let (ended, ()) = tokio::join!(retry.run(&token, async |_| Err::<(), _>("busy")), async {
        tokio::time::sleep(MS(50)).await;
        token.cancel("enough");
    });
    assert!(matches!(ended.unwrap_err().stop(), RetryStop::Cancelled(_)));
    assert_eq!(budget.left(), 1);
}
