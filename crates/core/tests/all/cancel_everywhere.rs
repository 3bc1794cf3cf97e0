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
    Adopted, App, Backoff, CancelToken, CauseKind, Cx, Jitter, OnError, Ready, Retry, RetryBudget,
    Scope,
    inspect::{Resource, waiting},
    join_orphans, orphans, scope,
};
use tokio::time::sleep;

type Never = Result<(), Infallible>;

const MS: Duration = Duration::from_millis(1);

/// Polls `future` so many times, a millisecond apart, and drops it. What it ended with, if it did.
async fn cut_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
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
async fn everywhere(mut trial: impl AsyncFnMut(usize) -> bool) {
    for polls in 0..100 {
        if trial(polls).await {
            assert!(polls > 1, "it ended at its first poll");
            return;
        }
    }
    panic!("it never ends");
}

fn count(counter: &Arc<AtomicUsize>) -> usize {
    counter.load(Ordering::SeqCst)
}

/// Takes two milliseconds and lives meanwhile.
async fn work<T>(alive: &Arc<AtomicUsize>, value: T) -> T {
    let _alive = Alive::new(alive);
    sleep(MS).await;
    sleep(MS).await;
    value
}

/// Waits for what comes to the token after two milliseconds.
async fn both<T>(wait: impl Future<Output = T>, comes: impl FnOnce()) -> T {
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

#[tidegate_testkit::test]
async fn starting_a_child() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let value = Alive::new(&alive);
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let start = cx.start("child", |ready: Ready<Alive>| async move {
                work(&own, ()).await;
                // It comes back, or is dropped: nobody has two.
                drop(ready.up(value));
                work(&own, ()).await;
                Ok(7)
            });
            let Some(started) = cut_after(polls, start).await else { return Ok(false) };
            let (value, task) = started.unwrap();
            drop(value);
            assert_eq!(task.await.unwrap(), 7);
            Ok(true)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0, "after {polls} polls");
        ended
    })
    .await;
}

#[tidegate_testkit::test]
async fn awaiting_a_task() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let value = Alive::new(&alive);
            let mut task = cx.spawn("child", async move { Ok(work(&own, value).await) });
            let ended = cut_after(polls, &mut task).await;
            if let Some(value) = ended {
                drop(value.unwrap());
                return Ok(true);
            }
            // The wait was dropped, and the task not: it has lost nothing.
            drop(task.await.unwrap());
            Ok(false)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0);
        ended
    })
    .await;
    // A ticker, which goes on when its task is dropped.
    everywhere(async |polls| {
        let ticks = Arc::new(AtomicUsize::new(0));
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let counted = Arc::clone(&ticks);
            let task = cx.every("tick", MS, move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            });
            let ended = cut_after(polls, both(task, || assert!(cx.stop("now")))).await;
            let before = count(&ticks);
            sleep(3 * MS).await;
            assert_eq!(count(&ticks) == before, cx.is_stopping(), "after {polls} polls");
            cx.stop("now");
            Ok(ended.is_some())
        });
        ended.await.unwrap()
    })
    .await;
}

/// It did not come up, and is handed out for that.
#[tidegate_testkit::test]
async fn awaiting_a_child_that_is_not_ready() {
    everywhere(async |polls| {
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let start = cx.start("child", |ready: Ready<()>| async move {
                drop(ready);
                sleep(MS).await;
                sleep(MS).await;
                Ok(7)
            });
            let Err(not_ready) = start.await else { panic!("it never said so") };
            let mut task = not_ready.into_task();
            let ended = cut_after(polls, &mut task).await;
            let was_over = ended.is_some();
            let value = if let Some(value) = ended { value } else { task.await };
            assert_eq!(value.unwrap(), 7);
            Ok(was_over)
        });
        ended.await.unwrap()
    })
    .await;
}

/// Its wait is given up, or its task dropped, and it goes on.
#[tidegate_testkit::test]
async fn awaiting_work_that_blocks() {
    for polls in 0..6 {
        let alive = Arc::new(AtomicUsize::new(0));
        let guard = Alive::new(&alive);
        let job = scope("job", async |cx: Cx<Infallible>| {
            let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
            let mut task = cx.spawn_blocking("blocking", move || {
                let _guard = guard;
                held.recv().ok();
                Ok(7)
            });
            for _ in 0..polls / 2 {
                crate::losses::poll_once(&mut task).await;
            }
            assert_eq!(count(&alive), 1, "it goes on");
            if polls % 2 == 0 {
                drop((task, let_go));
                return Ok(7);
            }
            drop(let_go);
            Ok(task.await.unwrap())
        });
        assert_eq!(job.await.unwrap(), 7);
        assert_eq!(count(&alive), 0, "the scope has waited for it");
    }
}

#[tidegate_testkit::test]
async fn spawning_in_turn() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let ended = Scope::builder("job").limit(1).run(async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let first = cx.try_spawn("first", async move { Ok(work(&own, 0).await) });
            assert!(first.is_ok());
            let own = Arc::clone(&alive);
            let second = cx.spawn_in_turn("second", async move { Ok(work(&own, 0).await) });
            let ended = cut_after(polls, second).await.is_some();
            // Its place in the row is free: the next one has its turn.
            let third = cx.spawn_in_turn("third", async { Ok(7) }).await.unwrap();
            assert_eq!(third.await.unwrap(), 7);
            assert_eq!(cx.live(), 0);
            assert!(cx.try_spawn("fourth", async { Ok(()) }).is_ok());
            Ok(ended)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0, "after {polls} polls");
        ended
    })
    .await;
}

#[tidegate_testkit::test]
async fn futures_that_borrow() {
    let alive = Arc::new(AtomicUsize::new(0));
    scope("job", async |cx: Cx<Infallible>| {
        everywhere(async |polls| {
            let futures = (0..5_u8).map(|n| {
                let alive = &alive;
                async move { Ok::<_, Infallible>(work(alive, n).await) }
            });
            let ended = cut_after(polls, cx.concurrent(futures).limit(2)).await;
            assert_eq!(count(&alive), 0, "after {polls} polls");
            ended.is_some_and(|values| values.unwrap() == [0, 1, 2, 3, 4])
        })
        .await;
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn joining_orphans() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        // Work that blocks holds a scope that was dropped open, for as long as it likes.
        let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let guard = Alive::new(&alive);
        let job = scope("job", async move |cx: Cx<Infallible>| {
            cx.spawn_blocking("blocking", move || {
                let _guard = guard;
                begun.send(()).unwrap();
                held.recv().ok();
                Ok(())
            });
            pending::<Never>().await
        });
        tokio::select! {
            biased;
            _ = job => unreachable!("it never ends by itself"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!(orphans(), 1);
        let mut joining = Box::pin(join_orphans());
        for _ in 0..polls {
            crate::losses::poll_once(&mut joining).await;
        }
        drop(joining);
        assert_eq!((orphans(), count(&alive)), (1, 1), "it is still there");
        drop(let_go);
        join_orphans().await;
        assert_eq!((orphans(), count(&alive)), (0, 0));
        polls == 3
    })
    .await;
}
