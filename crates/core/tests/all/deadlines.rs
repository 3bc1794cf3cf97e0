//! Time on a paused clock: it moves on when everybody waits.

use std::{convert::Infallible, future::pending, time::Duration};
use tidegate_core::{App, Cause, CauseKind, Cx, Reason, Scope, ScopeError, scope};
use tokio::{sync::oneshot, time::Instant};

/// Real time, for who is never idle.
const MOMENT: Duration = Duration::from_millis(20);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The cause of an end by a deadline.
#[track_caller]
fn expired<E: std::fmt::Display>(error: &ScopeError<E>) -> &Cause {
    let Reason::Cancelled(cause) = error.reason() else { panic!("{}", error.reason()) };
    assert_eq!(cause.kind(), CauseKind::DeadlineExceeded);
    cause
}

async fn until_cancelled(cx: Cx<Infallible>) -> Result<(), Infallible> {
    cx.cancelled().await;
    Ok(())
}

#[tidegate_testkit::test]
async fn a_scope_that_runs_out_of_time_is_named() {
    let start = Instant::now();
    let line = line!() + 1;
    let request = Scope::builder("request").timeout(secs(3));
    let error = request
        .run(async |cx| {
            cx.spawn("child", until_cancelled(cx.clone()));
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), secs(3));
    let cause = expired(&error);
    assert_eq!((cause.origin(), cause.location().line()), (Some("/request"), line));
    let text = format!("cancelled: /request ran out of time (at {}:{line})", file!());
    assert_eq!(error.to_string(), text);
}

/// The body has done its part, and a child has not: the scope has not.
#[tidegate_testkit::test]
async fn what_ignores_a_deadline_is_aborted_after_the_grace_period() {
    let start = Instant::now();
    let request = Scope::builder("request").timeout(secs(3)).grace(secs(2));
    let error = request
        .run(async |cx: Cx<Infallible>| {
            cx.spawn("deaf", pending::<Result<(), _>>());
            Ok("value")
        })
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), secs(5));
    expired(&error);
    assert_eq!(error.report().aborted()[0].task().path(), "/request/deaf");
}

#[tidegate_testkit::test]
async fn work_done_in_time_is_kept() {
    let start = Instant::now();
    let value = Scope::builder("request").timeout(secs(3)).run(async |cx: Cx<Infallible>| {
        cx.spawn("child", async {
            tokio::time::sleep(secs(2)).await;
            Ok(())
        });
        Ok("value")
    });
    assert_eq!(value.await.unwrap(), "value");
    assert_eq!(start.elapsed(), secs(2));
}

#[tidegate_testkit::test]
async fn a_scope_cancelled_by_its_body_before_its_deadline_keeps_its_value() {
    let value = Scope::builder("request").timeout(secs(3)).run(async |cx: Cx<Infallible>| {
        cx.spawn("slow to end", async {
            tokio::time::sleep(secs(4)).await;
            Ok(())
        });
        cx.cancel("enough");
        Ok("value")
    });
    assert_eq!(value.await.unwrap(), "value");
}

/// Kotlin's `withTimeout` throws what looks like a cancellation of the coroutine around it.
#[tidegate_testkit::test]
async fn a_timeout_of_an_inner_scope_is_no_cancellation_of_the_outer() {
    let value = Scope::builder("outer").timeout(secs(9)).run(async |cx: Cx<Infallible>| {
        let inner = Scope::builder("inner").parent(&cx).timeout(secs(1));
        let error = inner.run(until_cancelled).await.unwrap_err();
        assert_eq!(expired(&error).origin(), Some("/outer/inner"));
        assert!(!cx.is_cancelled());
        Ok("value")
    });
    assert_eq!(value.await.unwrap(), "value");
}

#[tidegate_testkit::test]
async fn an_inner_scope_has_no_more_time_than_the_outer() {
    let start = Instant::now();
    let error = Scope::builder("outer")
        .timeout(secs(1))
        .run(async |cx: Cx<Infallible>| {
            let inner = Scope::builder("inner").parent(&cx).timeout(secs(9));
            let error = inner
                .run(async |cx: Cx<Infallible>| {
                    assert_eq!(cx.remaining().left(), Some(secs(1)));
                    assert_eq!(cx.deadline(), Some(start + secs(1)));
                    until_cancelled(cx).await
                })
                .await
                .unwrap_err();
            assert_eq!(expired(&error).origin(), Some("/outer"), "whose deadline it was");
            Ok(())
        })
        .await
        .unwrap_err();
    expired(&error);
    assert_eq!(start.elapsed(), secs(1));
}

#[tidegate_testkit::test]
async fn a_deadline_can_be_moved_and_taken_away() {
    let start = Instant::now();
    for (first, then, ends) in
        [(3, Some(5), Some(5)), (3, Some(2), Some(2)), (3, Some(0), Some(1)), (3, None, None)]
    {
        let start_of_round = Instant::now();
        let moved = then.map(|then| start_of_round + secs(then));
        let ended = Scope::builder("request")
            .deadline(start_of_round + secs(first))
            .run(async |cx: Cx<Infallible>| {
                let other = cx.clone();
                cx.spawn("mover", async move {
                    tokio::time::sleep(secs(1)).await;
                    other.set_deadline(moved);
                    Ok(())
                });
                drop(cx.run(tokio::time::sleep(secs(20))).await);
                Ok(())
            })
            .await;
        match ends {
            Some(ends) => {
                expired(&ended.unwrap_err());
                assert_eq!(start_of_round.elapsed(), secs(ends), "{first} {then:?}");
            }
            None => ended.unwrap(),
        }
    }
    assert!(start.elapsed() >= secs(20), "the last one had no deadline");
}

/// While the outer deadline was earlier the inner one had no timer; now it needs one.
#[tidegate_testkit::test]
async fn an_inner_deadline_counts_again_when_the_outer_one_moves() {
    let start = Instant::now();
    Scope::builder("outer")
        .timeout(secs(1))
        .run(async |cx: Cx<Infallible>| {
            let (tell, told) = oneshot::channel();
            let outer = cx.clone();
            let inner = cx.spawn("runs inner", async move {
                let inner = Scope::builder("inner").parent(&outer).timeout(secs(2));
                let ended = inner.run(async |cx: Cx<Infallible>| {
                    tell.send(()).unwrap();
                    until_cancelled(cx).await
                });
                Ok(ended.await.unwrap_err())
            });
            told.await.unwrap();
            cx.set_deadline(Some(start + secs(10)));
            let error = inner.await.unwrap();
            assert_eq!(expired(&error).origin(), Some("/outer/inner"));
            assert_eq!(start.elapsed(), secs(2));
            Ok(())
        })
        .await
        .unwrap();
}

#[tidegate_testkit::test]
async fn a_deadline_that_is_over_cancels_before_the_body_waits() {
    let over = Instant::now();
    tokio::time::advance(secs(1)).await;
    let error = Scope::builder("late")
        .deadline(over)
        .run(async |cx: Cx<Infallible>| {
            assert!(cx.remaining().is_spent());
            until_cancelled(cx).await
        })
        .await
        .unwrap_err();
    expired(&error);
}

#[tidegate_testkit::test]
async fn a_scope_without_a_deadline_has_no_limit() {
    scope("free", async |cx: Cx<Infallible>| {
        assert_eq!((cx.deadline(), cx.remaining().left()), (None, None));
        Ok(())
    })
    .await
    .unwrap();
    let far = Scope::builder("far").timeout(Duration::MAX);
    let deadline = far.run(async |cx: Cx<Infallible>| Ok(cx.deadline())).await.unwrap();
    assert_eq!(deadline, None, "further away than the clock reaches");
}

/// Uses up the budget of its task at every poll, as a socket that is always ready does; in real
/// time, since a paused clock waits for everybody to be idle.
async fn busy<T>() -> T {
    loop {
        tokio::task::coop::consume_budget().await;
    }
}

#[tokio::test]
async fn a_body_that_is_never_idle_runs_out_of_time() {
    let job = Scope::builder("job").timeout(MOMENT).grace(MOMENT);
    let error = job.run(async |_| busy::<Result<(), Infallible>>().await).await.unwrap_err();
    assert_eq!(error.cause().unwrap().kind(), CauseKind::DeadlineExceeded);

    let job = Scope::builder("job").timeout(MOMENT);
    let error = job
        .run(async |cx: Cx<Infallible>| Ok(cx.run(busy::<()>()).await.is_ok()))
        .await
        .unwrap_err();
    expired(&error);
}

#[tokio::test]
async fn a_shielded_future_that_is_never_idle_has_its_grace_and_no_more() {
    let token = tidegate_core::CancelToken::new();
    token.cancel("now");
    assert!(token.shield(MOMENT, busy::<()>()).await.is_err());
}

#[tokio::test]
async fn an_app_that_is_never_idle_is_cancelled_when_it_has_drained() {
    let app = App::new("app").drain(MOMENT).grace(MOMENT);
    app.token().stop("enough");
    let report = app.run(async |_| busy::<Result<(), Infallible>>().await).await;
    assert_eq!(report.aborted()[0].task().path(), "/app");
}

#[tidegate_testkit::test]
async fn a_scope_without_any_time_begins_cancelled() {
    let late = Scope::builder("late").timeout(Duration::ZERO);
    let error = late.run(async |cx: Cx<Infallible>| {
        assert!(cx.is_cancelled());
        Ok(())
    });
    expired(&error.await.unwrap_err());
}

/// The cause of an inner deadline, passed on, is no deadline of the outer scope.
#[tidegate_testkit::test]
async fn a_body_that_passes_a_deadlines_cause_on_keeps_its_value() {
    let value = scope("outer", async |cx: Cx<Infallible>| {
        let inner = Scope::builder("inner").parent(&cx).timeout(secs(1));
        let error = inner.run(until_cancelled).await.unwrap_err();
        cx.cancel(expired(&error).clone());
        Ok("value")
    });
    assert_eq!(value.await.unwrap(), "value");
}

#[tidegate_testkit::test]
async fn a_deadline_at_the_end_of_the_clock_is_none() {
    let mut end = Instant::now();
    let mut step = Duration::MAX;
    while step > Duration::ZERO {
        match end.checked_add(step) {
            Some(later) => end = later,
            None => step /= 2,
        }
    }
    scope("job", async |cx: Cx<Infallible>| {
        cx.set_deadline(Some(end));
        tokio::time::sleep(secs(1)).await;
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn a_scope_without_cancel_goes_on_for_the_grace_period_of_its_parent() {
    let start = Instant::now();
    let job = Scope::builder("job").timeout(secs(1)).grace(secs(5)).value("user");
    let error = job
        .run(async |cx: Cx<Infallible>| {
            cx.cancelled().await;
            let cleanup = |time| {
                let cleanup = Scope::builder("cleanup").parent(&cx).without_cancel();
                cleanup.timeout(secs(time)).grace(Duration::ZERO).run(async move |cx| {
                    assert_eq!(cx.value(), Some(&"user"));
                    assert!(!cx.is_stopping());
                    assert_eq!(cx.remaining().left(), Some(secs(time)), "its own time alone");
                    until_cancelled(cx).await
                })
            };
            let error = cleanup(2).await.unwrap_err();
            assert_eq!(expired(&error).origin(), Some("/job/cleanup"));
            assert_eq!(start.elapsed(), secs(3), "it had a timer of its own");
            drop(cleanup(20).await);
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), secs(6));
    let aborted: Vec<_> = error.report().aborted().iter().map(|s| s.task().path()).collect();
    assert_eq!(aborted, ["/job"], "the grace period of the parent is over");
}
