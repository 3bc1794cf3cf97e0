//! Every public future, dropped after no poll, after one, after two, and so on until it ends: at
//! each await nothing may be left behind, and what it worked on must be as good as before.

use crate::scope::{Alive, Broken};
use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tidegate_core::{
    Adopted, App, Backoff, CancelToken, CauseKind, Cx, Jitter, OnError, Retry, RetryBudget, Scope,
    inspect::{Resource, waiting},
    join_orphans, orphans, scope,
};
use tokio::time::sleep;

pub(crate) type Never = Result<(), Infallible>;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Polls `future` so many times, a millisecond apart, and drops it. What it ended with, if it did.
pub(crate) async fn cut_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        sleep(MS).await;
    }
    None
}

/// Makes a trial with 0, 1, 2 ... polls, which checks what is left and tells whether the future
/// ended; until it does, which takes more than one poll, or nothing was ever cut off.
pub(crate) async fn everywhere(mut trial: impl AsyncFnMut(usize) -> bool) {
    for polls in 0..100 {
        if trial(polls).await {
            assert!(polls > 1, "it ended at its first poll");
            return;
        }
    }
    panic!("it never ends");
}

pub(crate) fn count(counter: &Arc<AtomicUsize>) -> usize {
    counter.load(Ordering::SeqCst)
}

/// Takes two milliseconds and lives meanwhile.
pub(crate) async fn work<T>(alive: &Arc<AtomicUsize>, value: T) -> T {
    let _alive = Alive::new(alive);
    sleep(MS).await;
    sleep(MS).await;
    value
}

/// Waits for what comes to the token after two milliseconds.
pub(crate) async fn both<T>(wait: impl Future<Output = T>, comes: impl FnOnce()) -> T {
    let event = async {
        sleep(2 * MS).await;
        comes();
    };
    tokio::join!(wait, event).0
}

#[tidegate_testkit::test]
async fn cancelled_and_stopping() {
    everywhere(async |polls| {
        let token = CancelToken::new();
        let other = token.child();
        let cancel = || assert!(token.cancel("now"));
        let waits = async { (token.cancelled().await, other.cancelled_owned().await) };
        let ended = cut_after(polls, both(waits, cancel)).await;
        // Who waits is asked before what it waits for has come, and hears of it at the next poll.
        let was_cancelled = token.is_cancelled();
        assert!(was_cancelled || ended.is_none());
        assert_eq!(token.cancel("later"), !was_cancelled);
        assert!(other.cancelled().await.same(&token.cancelled().await));
        ended.is_some()
    })
    .await;
    everywhere(async |polls| {
        let token = CancelToken::new();
        let stop = || assert!(token.stop("now"));
        let ended = cut_after(polls, both(token.stopping(), stop)).await;
        let was_stopping = token.is_stopping();
        assert!(was_stopping || ended.is_none());
        assert!(token.stop("later") != was_stopping && !token.is_cancelled());
        token.stopping().await;
        ended.is_some()
    })
    .await;
    // The same of a scope.
    everywhere(async |polls| {
        let token = CancelToken::new();
        let job = Scope::builder("job").token(&token).run(async |cx: Cx<Infallible>| {
            let waits = async {
                let stopped = both(cx.stopping(), || assert!(cx.stop("now"))).await;
                (stopped, both(cx.cancelled(), || assert!(cx.cancel("now"))).await)
            };
            let ended = cut_after(polls, waits).await;
            let (was_stopping, was_cancelled) = (cx.is_stopping(), cx.is_cancelled());
            assert!(was_cancelled || ended.is_none());
            assert!(cx.stop("later") != was_stopping && cx.cancel("later") != was_cancelled);
            cx.stopping().await;
            cx.cancelled().await;
            Ok(ended.is_some())
        });
        job.await.unwrap()
    })
    .await;
}

#[tidegate_testkit::test]
async fn run_and_shield() {
    let alive = Arc::new(AtomicUsize::new(0));
    scope("job", async |cx: Cx<Infallible>| {
        let token = CancelToken::new();
        everywhere(async |polls| {
            let ended = cut_after(polls, token.run(work(&alive, 7))).await;
            assert_eq!(count(&alive), 0);
            ended.is_some_and(|value| value.unwrap() == 7)
        })
        .await;
        everywhere(async |polls| {
            let ended = cut_after(polls, cx.run(work(&alive, 7))).await;
            assert_eq!(count(&alive), 0);
            ended.is_some_and(|value| value.unwrap() == 7)
        })
        .await;
        // A run of the token's own end, and a shield from it.
        everywhere(async |polls| {
            let token = CancelToken::new();
            let run = async {
                assert!(token.run(pending::<()>()).await.is_err());
                token.shield(3 * MS, work(&alive, 7)).await.unwrap();
                token.shield(3 * MS, pending::<()>()).await.unwrap_err()
            };
            let ended = cut_after(polls, both(run, || assert!(token.cancel("now")))).await;
            assert_eq!(count(&alive), 0);
            let was_cancelled = token.is_cancelled();
            assert_eq!(token.cancel("later"), !was_cancelled);
            ended.is_some()
        })
        .await;
        assert!(token.cancel("as good as before"));
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn waiting_for_something() {
    let alive = Arc::new(AtomicUsize::new(0));
    scope("job", async |cx: Cx<Infallible>| {
        let lock = Resource::new("lock", "a");
        let waits = || cx.tree().work().iter().map(|work| work.waits().len()).sum::<usize>();
        everywhere(async |polls| {
            let both = waiting("both", lock.waiting("lock", work(&alive, ())));
            let mut both = Box::pin(both);
            let ended = cut_after(polls, &mut both).await;
            assert_eq!(waits(), if ended.is_some() || polls == 0 { 0 } else { 2 });
            drop(both);
            assert_eq!((waits(), count(&alive)), (0, 0), "after {polls} polls");
            ended.is_some()
        })
        .await;
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn retrying() {
    let alive = Arc::new(AtomicUsize::new(0));
    everywhere(async |polls| {
        let budget = RetryBudget::new(5, 0.0);
        let backoff = Backoff::constant(MS).jitter(Jitter::None).limit(3);
        let retry = Retry::new(backoff).budget(&budget);
        let (token, begun) = (CancelToken::new(), AtomicUsize::new(0));
        let run = retry.run(&token, async |attempt| {
            begun.fetch_add(1, Ordering::SeqCst);
            work(&alive, if attempt < 2 { Err(attempt) } else { Ok(attempt) }).await
        });
        let ended = cut_after(polls, run).await;
        assert_eq!(count(&alive), 0);
        // Each attempt after the first has cost one, and what had not begun nothing.
        let retries = begun.load(Ordering::SeqCst).saturating_sub(1);
        assert_eq!(budget.left(), 5 - retries as u64, "after {polls} polls");
        ended.is_some_and(|value| value.unwrap() == 2)
    })
    .await;
}

/// A body with a child, a nested scope with another, and blocking work.
async fn family(cx: Cx<Broken>, alive: Arc<AtomicUsize>) -> Result<u8, Broken> {
    let own = Arc::clone(&alive);
    cx.spawn("child", async move { Ok(work(&own, 0).await) });
    let nested = cx.scope("nested", async |cx: Cx<Broken>| {
        let own = Arc::clone(&alive);
        let child = cx.spawn("leaf", async move { Ok(work(&own, 3_u8).await) });
        Ok(child.await.unwrap())
    });
    let three = nested.await.unwrap();
    let blocking = cx.spawn_blocking("blocking", || Ok(4_u8));
    Ok(work(&alive, three + blocking.await.unwrap()).await)
}

#[tidegate_testkit::test]
async fn a_root_scope() {
    let alive = Arc::new(AtomicUsize::new(0));
    everywhere(async |polls| {
        let run = scope("root", async |cx| family(cx, Arc::clone(&alive)).await);
        let ended = cut_after(polls, run).await;
        join_orphans().await;
        assert_eq!((count(&alive), orphans()), (0, 0), "after {polls} polls");
        ended.is_some_and(|value| value.unwrap() == 7)
    })
    .await;
}

/// A poll that goes on to the next await stops at neither: these do, wherever tokio would not wait.
#[test]
fn cancel_a_root_scope_at_awaits_that_are_ready() {
    let report = tidegate_testkit::cancel_everywhere(
        || Arc::new(AtomicUsize::new(0)),
        async |alive| {
            let root = scope("root", async |cx: Cx<Broken>| {
                let (send, mut receive) = tokio::sync::mpsc::channel(2);
                send.send(3).await.unwrap();
                send.send(4).await.unwrap();
                let own = Arc::clone(alive);
                let child = cx.spawn("child", async move { Ok(work(&own, 0_u8).await) });
                let seven = receive.recv().await.unwrap() + receive.recv().await.unwrap();
                Ok(seven + child.await.unwrap())
            });
            assert_eq!(root.await.unwrap(), 7);
        },
        async |alive, point| {
            join_orphans().await;
            assert_eq!(count(alive), 0, "{point}");
        },
    );
    assert!(report.operations() >= 4 && report.suspensions() >= 1, "{report:?}");
}

#[tidegate_testkit::test]
async fn a_nested_scope() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let root = Scope::builder("root").run_with_report(async |cx: Cx<Infallible>| {
            let run = cx.scope("inner", async |cx| family(cx, Arc::clone(&alive)).await);
            let ended = cut_after(polls, run).await;
            assert!(!cx.is_cancelled());
            // What is left of it may take its time, and what comes after it is its own.
            assert_eq!(cx.spawn("after", async { Ok(7) }).await.unwrap(), 7);
            Ok(ended.is_some_and(|value| value.unwrap() == 7))
        });
        let (ended, report) = root.await;
        assert_eq!(count(&alive), 0, "after {polls} polls");
        let ended = ended.unwrap();
        assert!(!ended || report.adopted().is_empty());
        assert!(report.adopted().iter().all(Adopted::is_aborted));
        ended
    })
    .await;
}

/// The same with a report, a resource, and as the first of several to succeed.
#[tidegate_testkit::test]
async fn other_ways_to_run_a_scope() {
    let alive = Arc::new(AtomicUsize::new(0));
    everywhere(async |polls| {
        let job = Scope::builder("job").on_error(OnError::Collect { max: 3 });
        let run = job.run_with_report(async |cx: Cx<Broken>| {
            let own = Arc::clone(&alive);
            cx.spawn("bad", async move { Err::<(), _>(work(&own, Broken("bad")).await) });
            family(cx, Arc::clone(&alive)).await
        });
        let ended = cut_after(polls, run).await;
        join_orphans().await;
        assert_eq!(count(&alive), 0);
        ended.is_some_and(|(result, _)| result.is_err())
    })
    .await;
    everywhere(async |polls| {
        let resource = Alive::new(&alive);
        let run = Scope::builder("job").run_with(resource, async |cx: Cx<Broken>, lent| {
            let own = Arc::clone(&alive);
            cx.spawn("child", async move {
                let _lent = lent;
                Ok(work(&own, 0).await)
            });
            work(&alive, ()).await;
            Ok(())
        });
        let ended = cut_after(polls, run).await;
        join_orphans().await;
        let is_back = ended.map(|(result, resource)| {
            result.unwrap();
            drop(resource.ok().unwrap());
        });
        assert_eq!(count(&alive), 0, "after {polls} polls");
        is_back.is_some()
    })
    .await;
    everywhere(async |polls| {
        let attempts =
            [Err(Broken("bad")), Ok(7), Ok(8)].into_iter().enumerate().map(|(n, end)| {
                let alive = Arc::clone(&alive);
                let attempt = async move {
                    sleep(MS * u32::try_from(n).unwrap()).await;
                    work(&alive, end).await
                };
                (format!("{n}"), attempt)
            });
        let ended = cut_after(polls, Scope::builder("first").first_ok(attempts)).await;
        join_orphans().await;
        assert_eq!((count(&alive), orphans()), (0, 0), "after {polls} polls");
        ended.is_some_and(|value| value.unwrap() == 7)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_app() {
    let alive = Arc::new(AtomicUsize::new(0));
    everywhere(async |polls| {
        let app = App::new("app").drain(3 * MS).grace(3 * MS);
        let token = app.token().clone();
        let (own, seen) = (Arc::clone(&alive), CancelToken::new());
        let inside = seen.clone();
        let run = app.run(async move |cx: Cx<Broken>| {
            let token = cx.token().clone();
            token.on_cancel(move |cause| assert!(inside.cancel(cause.clone()))).keep();
            cx.spawn("deaf", async move {
                work(&own, ()).await;
                pending::<Result<(), Broken>>().await
            });
            cx.stopping().await;
            Ok(cx.cancelled().await)
        });
        let ended = cut_after(polls, both(run, || assert!(token.stop("now")))).await;
        join_orphans().await;
        assert_eq!((count(&alive), orphans()), (0, 0), "after {polls} polls");
        // The program that is dropped is cancelled, and the token that could have done it not.
        let is_told = seen.cause().is_some_and(|cause| cause.kind() == CauseKind::ScopeDropped);
        assert!(polls == 0 || ended.is_some() || is_told || token.is_cancelled());
        ended.is_some_and(|report| report.aborted().len() == 1)
    })
    .await;
}
