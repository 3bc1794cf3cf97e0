//! Cancellations, deadlines and grace periods that meet what they are to end.

use super::{Alive, Error, explore, hasty, patient, said, sometime};
use crate::{Backoff, CancelToken, CauseKind, Cx, Reason, Retry, RetryStop, Scope, rt};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

#[test]
fn shuttle_a_cancellation_reaches_children_that_are_being_spawned() {
    let ways = ["0 born cancelled", "1 born cancelled", "2 born cancelled", "3 born cancelled"];
    explore("a_cancellation_reaches_children_that_are_being_spawned", &ways, || async {
        let (alive, born_cancelled) = (Alive::default(), Arc::<AtomicUsize>::default());
        let token = CancelToken::new();
        let canceller = rt::spawn({
            let token = token.clone();
            async move { token.cancel("enough") }
        });
        let result = Scope::builder("scope")
            .grace(Duration::MAX)
            .token(&token)
            .run(async |cx: Cx<Error>| {
                for _ in 0..3 {
                    let (living, inner) = (alive.one(), cx.clone());
                    let born_cancelled = Arc::clone(&born_cancelled);
                    cx.spawn("child", async move {
                        let _living = living;
                        if inner.is_cancelled() {
                            born_cancelled.fetch_add(1, Ordering::Relaxed);
                        }
                        inner.cancelled().await;
                        Ok(())
                    });
                }
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0);
        assert!(matches!(result.unwrap_err().reason(), Reason::Cancelled(_)));
        assert!(canceller.await.unwrap());
        format!("{} born cancelled", born_cancelled.load(Ordering::Relaxed))
    });
}

/// The grace period is over before, while or after a child ends by itself. One that ignores the
/// cancellation is aborted in any case, and the report names exactly those that were.
#[test]
fn shuttle_the_grace_period_races_with_the_end_of_a_child() {
    explore("the_grace_period_races_with_the_end_of_a_child", &["aborted", "ended"], || async {
        let (alive, ended) = (Alive::default(), Arc::<AtomicUsize>::default());
        let mut kept = None;
        let result = hasty("scope")
            .run(async |cx: Cx<Error>| {
                kept = Some(cx.clone());
                let living = alive.one();
                cx.spawn("ignores", async move {
                    let _living = living;
                    pending::<Result<(), _>>().await
                });
                let (living, inner, ended) = (alive.one(), cx.clone(), Arc::clone(&ended));
                cx.spawn("listens", async move {
                    let _living = living;
                    inner.cancelled().await;
                    sometime().await;
                    ended.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                });
                cx.cancel("enough");
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0);
        let said = said(&kept.unwrap(), result);
        assert_eq!(said.first, "aborted");
        if ended.load(Ordering::Relaxed) == 1 {
            assert_eq!(said.aborted, ["ignores"]);
            "ended".to_owned()
        } else {
            assert_eq!(said.aborted, ["ignores", "listens"]);
            "aborted".to_owned()
        }
    });
}

/// An abort that comes while children, and the body of a nested scope, are about to be suspended
/// for the first time is not missed by any of them.
#[test]
fn shuttle_an_abort_reaches_all_that_is_about_to_be_suspended() {
    explore(
        "an_abort_reaches_all_that_is_about_to_be_suspended",
        &["aborted 1", "aborted 2", "aborted 3"],
        || async {
            let alive = Alive::default();
            let mut kept = None;
            let result = hasty("scope")
                .run(async |cx: Cx<Error>| {
                    kept = Some(cx.clone());
                    let living = alive.one();
                    cx.spawn("child", async move {
                        let _living = living;
                        pending::<Result<(), _>>().await
                    });
                    let (alive, inner) = (alive.clone(), cx.clone());
                    cx.spawn("opener", async move {
                        let _living = alive.one();
                        let nested = patient("nested").parent(&inner).run(async |cx: Cx<Error>| {
                            let living = alive.one();
                            cx.spawn("deep", async move {
                                let _living = living;
                                pending::<Result<(), _>>().await
                            });
                            pending::<Result<(), Error>>().await
                        });
                        nested.await.map_err(|_| "nested")
                    });
                    Err::<(), _>("body")
                })
                .await;
            assert_eq!(alive.count(), 0);
            let said = said(&kept.unwrap(), result);
            assert_eq!(said.first, "body");
            assert!(said.aborted.iter().any(|name| name == "child"));
            format!("aborted {}", said.aborted.len().min(3))
        },
    );
}

/// The same for a nested scope that is run by somebody else: its own future is dropped by nobody.
#[test]
fn shuttle_an_abort_reaches_a_scope_that_an_outsider_opens() {
    let ways = ["aborted", "aborted at once", "refused"];
    explore("an_abort_reaches_a_scope_that_an_outsider_opens", &ways, || async {
        let (alive, mut outsider) = (Alive::default(), None);
        let result = hasty("scope")
            .run(async |cx: Cx<Error>| {
                let (inside, alive) = (cx.clone(), alive.clone());
                outsider = Some(rt::spawn(async move {
                    let mut has_begun = false;
                    let nested = patient("nested").parent(&inside).run(async |cx: Cx<Error>| {
                        has_begun = true;
                        let living = alive.one();
                        cx.spawn("deep", async move {
                            let _living = living;
                            pending::<Result<(), _>>().await
                        });
                        pending::<Result<(), Error>>().await
                    });
                    let error = nested.await.unwrap_err();
                    (has_begun, error.report().aborted().len())
                }));
                Err::<(), _>("body")
            })
            .await;
        assert_eq!(alive.count(), 0);
        assert_eq!(result.unwrap_err().error(), Some(&"body"));
        let (has_begun, aborted) = outsider.unwrap().await.unwrap();
        let way = match (has_begun, aborted) {
            (false, 0) => "refused",
            // The body.
            (false, 1) => "aborted at once",
            // With the child, unless that was refused.
            (true, 1 | 2) => "aborted",
            odd => panic!("{odd:?}"),
        };
        way.to_owned()
    });
}

/// A deadline is a timer that may go off at any moment.
#[test]
fn shuttle_a_deadline_races_with_the_end() {
    explore("a_deadline_races_with_the_end", &["expired", "in time"], || async {
        let alive = Alive::default();
        let timely = patient("scope").timeout(Duration::from_secs(60));
        let result = timely
            .run(async |cx: Cx<Error>| {
                let (living, inner) = (alive.one(), cx.clone());
                let child = cx.spawn("child", async move {
                    let _living = living;
                    Ok(inner.run(sometime()).await.is_ok())
                });
                Ok(child.await.unwrap())
            })
            .await;
        assert_eq!(alive.count(), 0);
        match result {
            Ok(was_in_time) => {
                assert!(was_in_time);
                "in time".to_owned()
            }
            Err(error) => {
                assert_eq!(error.cause().unwrap().origin(), Some("/scope"));
                "expired".to_owned()
            }
        }
    });
}

/// A deadline that is taken away, or has passed: the driver hears of it while it is suspended.
#[test]
fn shuttle_a_deadline_is_moved_while_its_timer_goes_off() {
    explore("a_deadline_is_moved_while_its_timer_goes_off", &["expired", "moved"], || async {
        let timely = patient("scope").timeout(Duration::from_secs(60));
        let result = timely
            .run(async |cx: Cx<Error>| {
                let inner = cx.clone();
                let mover = cx.spawn("mover", async move {
                    inner.set_deadline(None);
                    Ok(())
                });
                mover.await.unwrap();
                // Nothing is left that could end it, unless it was too late.
                Ok(())
            })
            .await;
        if result.is_ok() { "moved".to_owned() } else { "expired".to_owned() }
    });
}

/// A deadline that is set while the driver waits, or is about to: without the wake-up nobody would
/// ever look at it.
#[test]
fn shuttle_a_deadline_that_is_set_ends_who_waits() {
    explore("a_deadline_that_is_set_ends_who_waits", &["after", "before"], || async {
        let mut way = "";
        let result = patient("scope")
            .run(async |cx: Cx<Error>| {
                let inner = cx.clone();
                cx.spawn("setter", async move {
                    inner.set_deadline(Some(Instant::now() + Duration::from_secs(60)));
                    Ok(())
                });
                way = if cx.deadline().is_some() { "before" } else { "after" };
                cx.cancelled().await;
                Ok(())
            })
            .await;
        assert_eq!(result.unwrap_err().cause().unwrap().kind(), CauseKind::DeadlineExceeded);
        way.to_owned()
    });
}

/// A function that is to be called once, or never once it was taken back.
#[test]
fn shuttle_a_callback_is_called_or_taken_back() {
    explore("a_callback_is_called_or_taken_back", &["called", "taken back"], || async {
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let mut way = "";
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let on_cancel = cx.token().on_cancel(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            let inner = cx.clone();
            let canceller = cx.spawn("canceller", async move { Ok(inner.cancel("enough")) });
            let is_back = on_cancel.unregister();
            assert!(canceller.await.unwrap());
            assert_eq!(calls.load(Ordering::Relaxed), usize::from(!is_back));
            way = if is_back { "taken back" } else { "called" };
            Ok(())
        });
        scope.await.unwrap();
        way.to_owned()
    });
}

/// Who waits for a stop is told by a stop and by a cancellation.
#[test]
fn shuttle_a_stop_and_a_cancellation_wake_who_waits() {
    explore("a_stop_and_a_cancellation_wake_who_waits", &["cancel", "stop"], || async {
        let mut way = String::new();
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let waiting = cx.clone();
            let waiter = cx.spawn("waiter", async move {
                let cause = waiting.stopping().await.to_string();
                waiting.cancelled().await;
                Ok(cause)
            });
            let (stopper, canceller) = (cx.clone(), cx.clone());
            cx.spawn("stopper", async move { Ok(stopper.stop("by a stop")) });
            cx.spawn("canceller", async move { Ok(canceller.cancel("by a cancellation")) });
            let cause = waiter.await.unwrap();
            way = if cause.contains("stop") { "stop".to_owned() } else { "cancel".to_owned() };
            assert!(cx.cause().unwrap().to_string().contains("cancellation"));
            Ok(())
        });
        scope.await.unwrap();
        way
    });
}

/// A ticker is stopped before a call, during one, or while it waits for the next.
#[test]
fn shuttle_a_ticker_that_is_stopped() {
    explore("a_ticker_that_is_stopped", &["0 calls", "1 calls", "2 calls"], || async {
        let calls = Arc::<AtomicUsize>::default();
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let (inner, calls) = (cx.clone(), Arc::clone(&calls));
            let ticker = cx.every("ticker", Duration::from_secs(1), move || {
                if calls.fetch_add(1, Ordering::Relaxed) == 1 {
                    inner.stop("two are enough");
                }
                sometime_ok()
            });
            let stopper = cx.clone();
            cx.spawn("stopper", async move { Ok(stopper.stop("sooner")) });
            ticker.await.unwrap();
            Ok(())
        });
        scope.await.unwrap();
        format!("{} calls", calls.load(Ordering::Relaxed))
    });
}

async fn sometime_ok() -> Result<(), Error> {
    sometime().await;
    Ok(())
}

/// An attempt that takes too long, or whose caller is cancelled, in the middle or between two.
#[test]
fn shuttle_a_retry_runs_out_of_attempts_or_is_cancelled() {
    let ways = ["answered", "cancelled", "exhausted"];
    explore("a_retry_runs_out_of_attempts_or_is_cancelled", &ways, || async {
        let alive = Alive::default();
        let mut way = "";
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let canceller = cx.clone();
            cx.spawn("canceller", async move {
                sometime().await;
                sometime().await;
                Ok(canceller.cancel("enough"))
            });
            let backoff = Backoff::exponential(Duration::from_secs(1)).limit(1);
            let retry = Retry::new(backoff).attempt_timeout(Duration::from_secs(1));
            let attempt = |_| {
                let living = alive.one();
                async move {
                    let _living = living;
                    sometime_ok().await
                }
            };
            way = match retry.run(cx.token(), attempt).await {
                Ok(()) => "answered",
                Err(error) if matches!(error.stop(), RetryStop::Cancelled(_)) => "cancelled",
                Err(_) => "exhausted",
            };
            assert_eq!(alive.count(), 0);
            Ok(())
        });
        scope.await.unwrap();
        way.to_owned()
    });
}
