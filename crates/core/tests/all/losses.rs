//! One test for each way in which an error, a panic or a piece of work could get lost.

#[cfg(feature = "tracing")]
use crate::events::Events;
use crate::{caught::caught, scope::Broken};
use std::{
    convert::Infallible,
    error::Error,
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_core::{CancelToken, CauseKind, Cx, Reason, Scope, scope};
use tokio::{sync::oneshot, task::yield_now};

/// Polls `future` once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *future).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn an_error_that_cannot_be_displayed_vanishes() {
    #[derive(Debug, PartialEq)]
    struct Trap;
    impl std::fmt::Display for Trap {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("from Display")
        }
    }
    let events = Events::listen();
    let child = scope("job", async |cx| {
        cx.spawn("bad", async { Err::<(), _>(Trap) });
        Ok(())
    })
    .await;
    assert_eq!(child.unwrap_err().error(), Some(&Trap));
    let body = scope("job", async |_| Err::<(), _>(Trap)).await;
    assert_eq!(body.unwrap_err().error(), Some(&Trap));
    assert_eq!(events.count(&["failed", "cannot be displayed"]), 2);
}

#[tokio::test]
async fn a_body_that_unwraps_a_failed_task_hides_its_error() {
    let error = scope("job", async |cx: Cx<Broken>| {
        let task = cx.spawn("bad", async { Err::<(), _>(Broken("disk full")) });
        task.await.unwrap();
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("disk full")));
    let [Reason::Panicked(panic)] = error.report().also() else { panic!("{error}") };
    assert_eq!(panic.task().path(), "/job");
    assert!(panic.message().contains("disk full"), "{panic}");
}

#[tokio::test]
async fn a_panicking_body_hides_an_error_that_came_after_a_cancellation() {
    let error = scope("job", async |cx: Cx<Broken>| {
        cx.cancel("enough");
        let flush = cx.spawn("flush", async { Err::<(), _>(Broken("disk full")) });
        flush.await.unwrap();
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("disk full")));
    assert!(matches!(error.report().also(), [Reason::Panicked(_)]), "{error}");
}

#[tokio::test]
async fn a_body_stops_at_a_failed_task_with_a_question_mark() {
    let error = scope("job", async |cx: Cx<Box<dyn Error + Send + Sync>>| {
        let left = cx.spawn("left", async { Ok(1) });
        let right = cx.spawn("right", async { Err::<i32, _>("disk full".into()) });
        Ok(left.await? + right.await?)
    })
    .await
    .unwrap_err();
    assert_eq!(error.error().unwrap().to_string(), "disk full");
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_panic_of_the_body_is_no_event() {
    let events = Events::listen();
    let panicking = scope("job", async |cx: Cx<Broken>| {
        let own = cx.clone();
        cx.spawn("late", async move {
            own.cancelled().await;
            Err::<(), _>(Broken("too late"))
        });
        yield_now().await;
        panic!("deliberate");
        #[expect(unreachable_code, reason = "it gives the body its type")]
        Ok(())
    });
    assert_eq!(caught(panicking).await.unwrap_err(), "deliberate");
    assert_eq!(events.count(&["panicked", "task=\"/job\"", "deliberate"]), 1);
    assert_eq!(events.count(&["failed", "task=\"/job/late\"", "too late"]), 1);
}

#[tokio::test]
async fn a_panic_in_the_bodys_destructor_escapes_before_the_join() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from a destructor");
        }
    }
    /// Keeps its bomb when it is ready.
    struct Body {
        good: bool,
        _bomb: Bomb,
    }
    impl Future for Body {
        type Output = Result<(), Broken>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(if self.good { Ok(()) } else { Err(Broken("disk full")) })
        }
    }
    for good in [true, false] {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let running = scope("job", |cx: Cx<Broken>| {
            let own = cx.clone();
            cx.spawn("child", async move {
                own.cancelled().await;
                yield_now().await;
                flag.store(true, Ordering::SeqCst);
                Ok(())
            });
            Body { good, _bomb: Bomb }
        });
        let outcome = caught(running).await;
        assert!(ended.load(Ordering::SeqCst), "the panic did not wait for the child");
        if good {
            assert_eq!(outcome.unwrap_err(), "from a destructor");
        } else {
            let error = outcome.unwrap().unwrap_err();
            assert_eq!(error.error(), Some(&Broken("disk full")));
            assert!(matches!(error.report().also(), [Reason::Panicked(_)]), "{error}");
        }
    }
}

#[tokio::test]
async fn the_errors_of_a_dropped_scope_are_lost() {
    let error = scope("outer", async |cx: Cx<Broken>| {
        let mut nested = Box::pin(cx.scope("nested", async |cx: Cx<Broken>| {
            cx.spawn("early", async { Err::<(), _>(Broken("early")) });
            let own = cx.clone();
            cx.spawn::<(), _>("late", async move {
                // Aborted, and panics as it is dropped: after the scope has gone.
                struct Bomb;
                impl Drop for Bomb {
                    fn drop(&mut self) {
                        panic!("late");
                    }
                }
                let _bomb = Bomb;
                own.cancelled().await;
                pending().await
            });
            pending::<Result<(), Broken>>().await
        }));
        poll_once(&mut nested).await;
        yield_now().await;
        drop(nested);
        cx.scope("other", async |_: Cx<Broken>| Ok(())).await.unwrap();
        Err::<(), _>(Broken("to see the report"))
    })
    .await
    .unwrap_err();
    let adopted = error.report().adopted();
    assert_eq!(adopted.len(), 2, "{adopted:?}");
    assert_eq!(adopted[0].downcast_ref(), Some(&Broken("early")));
    assert_eq!(adopted[0].task().path(), "/outer/nested/early");
    assert_eq!(adopted[1].panic().unwrap().message(), "late");
}

#[tokio::test]
async fn a_scope_dropped_after_its_last_child_cancels_nothing() {
    scope("outer", async |cx: Cx<Infallible>| {
        let (tx, rx) = oneshot::channel::<()>();
        let (token_tx, token) = oneshot::channel::<CancelToken>();
        let mut nested = Box::pin(cx.scope("nested", async |cx: Cx<Infallible>| {
            token_tx.send(cx.token().child()).unwrap();
            cx.spawn("child", async {
                drop(rx.await);
                Ok(())
            });
            Ok(())
        }));
        poll_once(&mut nested).await;
        let token = token.await.unwrap();
        drop(tx);
        // The child ends and wakes the nested scope, which is dropped before it looks.
        while cx.live() > 1 || !tokio_is_idle().await {}
        assert!(!token.is_cancelled());
        drop(nested);
        assert_eq!(token.cause().unwrap().kind(), CauseKind::ScopeDropped);
        Ok(())
    })
    .await
    .unwrap();
}

/// On a runtime of one thread every task that is ready has run after a few turns.
async fn tokio_is_idle() -> bool {
    for _ in 0..10 {
        yield_now().await;
    }
    true
}

/// A server whose requests time out, and which stops in good order.
#[tidegate_testkit::test]
async fn dropped_nested_scopes_pile_up_and_cost_the_value() {
    let value = scope("server", async |cx: Cx<Broken>| {
        for _ in 0..100 {
            let request = cx.scope("request", async |cx: Cx<Broken>| {
                cx.spawn("deaf", pending::<Result<(), Broken>>());
                pending::<Result<(), Broken>>().await
            });
            assert!(tokio::time::timeout(Duration::from_secs(1), request).await.is_err());
        }
        Ok("served")
    })
    .await;
    assert_eq!(value.unwrap(), "served");
    let error = scope("server", async |cx: Cx<Broken>| {
        for _ in 0..100 {
            let request = cx.scope("request", async |cx: Cx<Broken>| {
                cx.spawn("deaf", pending::<Result<(), Broken>>());
                pending::<Result<(), Broken>>().await
            });
            assert!(tokio::time::timeout(Duration::from_secs(1), request).await.is_err());
        }
        Err::<(), _>(Broken("to see the report"))
    })
    .await
    .unwrap_err();
    assert_eq!((error.report().adopted().len(), error.report().adopted_more()), (16, 84));
}

/// A waker of an executor that has its own ideas.
struct PanicsOnWake;

impl Wake for PanicsOnWake {
    fn wake(self: Arc<Self>) {
        panic!("from a waker");
    }
}

#[test]
fn a_panicking_waker_keeps_the_rest_of_the_tree_uncancelled() {
    let root = CancelToken::new();
    let child = root.child();
    let waker = Waker::from(Arc::new(PanicsOnWake));
    let mut waiting = pin!(root.cancelled());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(root.cancel("now"));
    assert!(child.is_cancelled());
}

#[tokio::test]
async fn a_panicking_waker_hangs_the_parent_scope() {
    let waker = Waker::from(Arc::new(PanicsOnWake));
    scope("outer", async |cx: Cx<Infallible>| {
        let mut nested = Box::pin(cx.scope("nested", async |cx: Cx<Infallible>| {
            cx.spawn("deaf", pending::<Result<(), Infallible>>());
            cx.cancelled().await;
            pending::<Result<(), Infallible>>().await
        }));
        assert!(nested.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(nested);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_nested_scope_that_is_never_polled_hangs_its_parent() {
    let held = Mutex::new(None);
    scope("outer", async |cx: Cx<Infallible>| {
        let nested =
            Box::pin(async move { cx.scope("nested", async |_: Cx<Infallible>| Ok(())).await });
        *held.lock().unwrap() = Some(nested);
        Ok(())
    })
    .await
    .unwrap();
    // Polled too late, it is refused.
    let nested = held.into_inner().unwrap().unwrap();
    assert!(matches!(nested.await.unwrap_err().reason(), Reason::Cancelled(_)));
}

#[tidegate_testkit::test]
async fn an_abort_does_not_reach_a_nested_scope_in_a_foreign_task() {
    let nested = Mutex::new(None);
    let error = Scope::builder("outer")
        .grace(Duration::from_secs(1))
        .run(async |cx: Cx<Infallible>| {
            let (opened, is_open) = oneshot::channel();
            let own = cx.clone();
            // Nobody but the runtime owns this task.
            #[expect(clippy::disallowed_methods, reason = "what a user may do")]
            let task = tokio::spawn(async move {
                let nested = own.scope("nested", async |_: Cx<Infallible>| {
                    opened.send(()).unwrap();
                    pending::<Result<(), Infallible>>().await
                });
                nested.await.map_err(|error| error.report().aborted().len())
            });
            *nested.lock().unwrap() = Some(task);
            is_open.await.unwrap();
            cx.cancel("enough");
            Ok(())
        })
        .await;
    error.unwrap();
    let nested = nested.into_inner().unwrap().unwrap();
    assert_eq!(nested.await.unwrap(), Err(1), "its body is the straggler");
}

#[cfg(feature = "tracing")]
#[tidegate_testkit::test]
async fn refused_work_disappears_without_a_word() {
    let events = Events::listen();
    let error = Scope::builder("job")
        .grace(Duration::ZERO)
        .run(async |cx: Cx<Infallible>| {
            let own = cx.clone();
            cx.spawn("stubborn", async move {
                struct Respawn(Cx<Infallible>);
                impl Drop for Respawn {
                    fn drop(&mut self) {
                        self.0.spawn("late", async { Ok(()) });
                        self.0.spawn_blocking("late", || Ok(()));
                    }
                }
                let _respawn = Respawn(own);
                pending::<Result<(), Infallible>>().await
            });
            yield_now().await;
            cx.cancel("enough");
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.report().refused(), 2);
    assert_eq!(events.count(&["refused", "task=\"/job/late\"", "enough"]), 2);
}

#[cfg(feature = "tracing")]
#[tidegate_testkit::test]
async fn a_stuck_scope_says_nothing() {
    let events = Events::listen();
    let error = Scope::builder("job")
        .grace(Duration::from_secs(1))
        .run(async |cx: Cx<Infallible>| {
            for _ in 0..20 {
                cx.spawn("deaf", pending::<Result<(), Infallible>>());
            }
            let left: Vec<_> = cx.stragglers().iter().map(ToString::to_string).collect();
            assert_eq!(left.len(), 21, "{left:?}");
            assert!(left[0].starts_with("scope /job (spawned at "), "{left:?}");
            assert!(left[1].starts_with("task /job/deaf (spawned at "), "{left:?}");
            cx.cancel("enough");
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.report().aborted().len(), 20);
    let parts = ["aborting", "scope=\"/job\"", "count=20", "task /job/deaf (spawned at ", ", ..."];
    assert_eq!(events.count(&parts), 1);
}

/// Spawns when it is dropped.
struct Spawns(Cx<Infallible>);

impl Drop for Spawns {
    fn drop(&mut self) {
        self.0.spawn("too late", async { Ok(()) });
    }
}

/// Before it was dropped, and while its children are being aborted.
#[tokio::test]
async fn what_a_dropped_scope_refused_is_counted_by_its_parent() {
    let (result, report) = Scope::builder("parent")
        .run_with_report(async |cx: Cx<Infallible>| {
            let middle = cx.scope("middle", async |cx: Cx<Infallible>| {
                let nested = Scope::builder("nested").parent(&cx).limit(1);
                let nested = nested.run(async |cx: Cx<Infallible>| {
                    let spawns = Spawns(cx.clone());
                    cx.spawn("holds the slot", async move {
                        let _spawns = spawns;
                        pending::<Result<(), Infallible>>().await
                    });
                    yield_now().await;
                    cx.spawn("has no slot", async { Ok(()) });
                    cx.cancel("enough");
                    pending::<Result<(), Infallible>>().await
                });
                let mut nested = Box::pin(nested);
                for _ in 0..4 {
                    poll_once(&mut nested).await;
                    yield_now().await;
                }
                drop(nested);
                pending::<Result<(), Infallible>>().await
            });
            let mut middle = Box::pin(middle);
            for _ in 0..6 {
                poll_once(&mut middle).await;
                yield_now().await;
            }
            drop(middle);
            Ok(())
        })
        .await;
    assert!(result.is_ok());
    assert_eq!(report.refused(), 2);
}
