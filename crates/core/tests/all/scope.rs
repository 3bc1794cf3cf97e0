use std::{
    convert::Infallible,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    CancelToken, CauseKind, Cx, Reason, Scope, ScopeError, TaskError, WorkKind, scope,
};
use tokio::{
    sync::{Barrier, oneshot},
    time::{Instant, sleep},
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// Counts how many of its kind are alive.
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn returns_the_value_of_the_body_and_of_children() {
    let sum = scope("sum", async |cx| {
        let tasks: Vec<_> = (0..10).map(|n| cx.spawn("add", async move { Ok(n) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok::<_, Infallible>(sum)
    })
    .await
    .unwrap();
    assert_eq!(sum, 45);
}

#[tokio::test]
async fn the_body_may_borrow() {
    let text = String::from("borrowed");
    let length = scope("borrow", async |_cx| Ok::<_, Infallible>(text.len())).await.unwrap();
    assert_eq!(length, text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_child_outlives_its_scope() {
    for _ in 0..200 {
        let alive = Arc::new(AtomicUsize::new(0));
        scope("outer", async |cx| {
            for _ in 0..20 {
                let (alive, inner) = (Arc::clone(&alive), cx.clone());
                cx.spawn("child", async move {
                    let _alive = Alive::new(&alive);
                    tokio::task::yield_now().await;
                    let nested = Arc::clone(&alive);
                    inner.spawn("grandchild", async move {
                        let _alive = Alive::new(&nested);
                        tokio::task::yield_now().await;
                        Ok(())
                    });
                    Ok(())
                });
            }
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
}

#[tidegate_testkit::test]
async fn the_first_error_cancels_the_siblings_and_is_returned() {
    let begun = Instant::now();
    let error = scope("job", async |cx| {
        for name in ["a", "b", "c"] {
            let own = cx.clone();
            cx.spawn(name, async move {
                let cause = own.cancelled().await;
                assert_eq!(cause.kind(), CauseKind::ChildFailed);
                assert_eq!(cause.origin(), Some("/job/bad"));
                assert_eq!(cause.downcast_ref::<Broken>(), Some(&Broken("no luck")));
                Ok(())
            });
        }
        cx.spawn("bad", async {
            sleep(Duration::from_millis(10)).await;
            Err::<(), _>(Broken("no luck"))
        });
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("no luck")));
    assert_eq!(begun.elapsed(), Duration::from_millis(10));
    let Reason::Failed(failure) = error.into_reason() else { panic!("not a failure") };
    assert_eq!((failure.task().path(), failure.task().name().as_str()), ("/job/bad", "bad"));
    assert!(failure.task().location().file().ends_with("scope.rs"));
}

#[tokio::test]
async fn an_error_of_the_body_cancels_the_children() {
    let error = scope("job", async |cx| {
        let own = cx.clone();
        cx.spawn("child", async move {
            own.cancelled().await;
            Ok(())
        });
        Err::<(), _>(Broken("body"))
    })
    .await
    .unwrap_err();
    assert!(error.to_string().starts_with("/job (spawned at "), "{error}");
    assert_eq!(error.error(), Some(&Broken("body")));
}

#[tokio::test]
async fn a_panic_names_the_task_and_cancels_the_siblings() {
    let line = line!() + 7;
    let error = scope("job", async |cx: Cx<Broken>| {
        let own = cx.clone();
        cx.spawn("sibling", async move {
            assert_eq!(own.cancelled().await.kind(), CauseKind::ChildPanicked);
            Ok(())
        });
        let task = cx.spawn::<(), _>("bad", async { panic!("nothing there") });
        let Err(TaskError::Panicked(panic)) = task.await else { panic!("not a panic") };
        assert_eq!(panic.message(), "nothing there");
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("not a panic: {error}") };
    assert_eq!((panic.task().path(), panic.task().location().line()), ("/job/bad", line));
    let (text, at) = (error.to_string(), format!(") panicked at {}:{line}:", file!()));
    assert!(text.contains(&at) && text.ends_with(": nothing there"), "{text}");
}

#[tokio::test]
async fn a_panic_of_the_body_goes_on_after_the_join() {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let joined = tokio::task::LocalSet::new()
        .run_until(async move {
            let outer = tokio::task::spawn_local(scope("job", async move |cx: Cx<Broken>| {
                let own = cx.clone();
                cx.spawn("child", async move {
                    let cause = own.cancelled().await;
                    assert!(cause.to_string().contains("panicked: deliberate"), "{cause}");
                    flag.store(true, Ordering::SeqCst);
                    Ok(())
                });
                tokio::task::yield_now().await;
                panic!("deliberate");
                #[expect(unreachable_code, reason = "it gives the body its type")]
                Ok(())
            }));
            outer.await
        })
        .await;
    assert!(joined.unwrap_err().is_panic());
    assert!(ended.load(Ordering::SeqCst), "the panic went on before the child had ended");
}

#[tidegate_testkit::test]
async fn what_ignores_the_cancellation_is_aborted_and_named() {
    let begun = Instant::now();
    let error = Scope::builder("job")
        .grace(Duration::from_secs(3))
        .run(async |cx| {
            cx.spawn("deaf", pending::<Result<(), Broken>>());
            let own = cx.clone();
            cx.spawn("polite", async move {
                own.cancelled().await;
                sleep(Duration::from_secs(2)).await;
                Ok(())
            });
            cx.spawn("bad", async { Err::<(), _>(Broken("no luck")) });
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let aborted: Vec<_> = error.report().aborted().iter().map(|s| s.task().path()).collect();
    assert_eq!(aborted, ["/job/deaf"]);
    assert!(error.to_string().contains("aborted: task /job/deaf (spawned at "), "{error}");
}

#[tidegate_testkit::test]
async fn a_body_that_ignores_the_cancellation_is_dropped_and_named() {
    let error = Scope::builder("job")
        .run(async |cx| {
            cx.spawn("bad", async { Err::<(), _>(Broken("no luck")) });
            pending::<Result<(), Broken>>().await
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("no luck")));
    assert_eq!(error.report().aborted()[0].task().kind(), WorkKind::Scope);
}

#[tidegate_testkit::test]
async fn later_errors_are_kept_and_counted() {
    let error = scope("job", async |cx| {
        for _ in 0..30 {
            let own = cx.clone();
            cx.spawn("late", async move {
                own.cancelled().await;
                Err::<(), _>(Broken("late"))
            });
        }
        tokio::task::yield_now().await;
        Err::<(), _>(Broken("first"))
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("first")));
    assert_eq!((error.report().also().len(), error.report().more()), (16, 14));
    assert!(error.to_string().ends_with("; 30 more failed after it was cancelled"));
}

#[tokio::test]
async fn an_error_goes_by_value_and_anything_else_stays_whole() {
    let failed = scope("job", async |_| Err::<(), _>(Broken("disk full"))).await.unwrap_err();
    assert_eq!(*failed.into_error().unwrap(), Broken("disk full"));
    let panicked = scope("job", async |cx: Cx<Broken>| {
        assert!(cx.spawn("bad", async { panic!("deliberate") as Result<(), _> }).await.is_err());
        Err::<(), _>(Broken("in the body"))
    });
    let whole = panicked.await.unwrap_err().into_error().unwrap_err();
    assert!(matches!(whole.reason(), Reason::Panicked(_)), "{whole}");
    assert_eq!(whole.report().also().len(), 1);
}

#[tokio::test]
async fn a_value_survives_the_scopes_own_cancellation() {
    let value = scope("race", async |cx| {
        for n in 0..3 {
            let own = cx.clone();
            cx.spawn("loser", async move {
                own.cancelled().await;
                Ok(n)
            });
        }
        cx.cancel("found it");
        Ok::<_, Broken>("won")
    })
    .await;
    assert_eq!(value.unwrap(), "won");
}

#[tokio::test]
async fn an_error_after_the_scopes_own_cancellation_is_not_lost() {
    let error = scope("race", async |cx| {
        let own = cx.clone();
        cx.spawn("loser", async move {
            own.cancelled().await;
            Err::<(), _>(Broken("could not flush"))
        });
        cx.cancel("found it");
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("could not flush")));
}

#[tokio::test]
async fn cancelled_from_outside_is_an_error_with_the_cause() {
    let token = CancelToken::new();
    let own = token.clone();
    let error = Scope::builder("job")
        .token(&token)
        .run(async |cx: Cx<Broken>| {
            own.cancel("lights out");
            cx.cancelled().await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.cause().unwrap().same(&token.cause().unwrap()));
}

#[tokio::test]
async fn the_token_of_an_ended_scope_is_cancelled() {
    let token = scope("job", async |cx| Ok::<_, Infallible>(cx.token().child())).await.unwrap();
    assert_eq!(token.cause().unwrap().kind(), CauseKind::ScopeClosed);
}

#[tokio::test]
async fn nested_scopes_have_paths_and_errors_of_their_own() {
    let outer: Result<(), ScopeError<Infallible>> = scope("outer", async |cx| {
        let inner = cx
            .scope("inner", async |cx| {
                assert_eq!(cx.path(), "/outer/inner");
                cx.spawn("leaf", async { Err::<(), _>(Broken("inner only")) });
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(inner.error(), Some(&Broken("inner only")));
        assert!(!cx.is_cancelled());
        Ok(())
    })
    .await;
    outer.unwrap();
}

#[tokio::test]
async fn dropping_a_task_neither_aborts_nor_detaches() {
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    scope("job", async |cx| {
        drop(cx.spawn("child", async move {
            tokio::task::yield_now().await;
            flag.store(true, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        }));
        Ok(())
    })
    .await
    .unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_body_is_dropped_before_the_join() {
    // The child ends when the sender, which the body owns, is dropped.
    scope("job", async |cx| {
        let (_sender, receiver) = oneshot::channel::<()>();
        cx.spawn("child", async move {
            assert!(receiver.await.is_err());
            Ok::<_, Infallible>(())
        });
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn blocking_work_is_joined_and_its_errors_and_panics_are_kept() {
    let error = scope("job", async |cx| {
        assert_eq!(cx.spawn_blocking("fine", || Ok(7)).await.unwrap(), 7);
        cx.spawn_blocking("bad", || -> Result<(), Broken> { panic!("on a thread") });
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("not a panic: {error}") };
    assert_eq!((panic.task().path(), panic.task().kind()), ("/job/bad", WorkKind::Blocking));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_nested_scope_leaves_nothing_running_when_its_parent_ends() {
    let alive = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(Barrier::new(11));
    let error = scope("outer", async |cx| {
        {
            let nested = cx.scope("nested", async |cx| {
                for _ in 0..10 {
                    let (alive, started) = (Arc::clone(&alive), Arc::clone(&started));
                    cx.spawn("deaf", async move {
                        let _alive = Alive::new(&alive);
                        started.wait().await;
                        pending::<Result<(), Broken>>().await
                    });
                }
                pending::<Result<(), Broken>>().await
            });
            tokio::select! {
                _ = nested => unreachable!("it never ends by itself"),
                _ = started.wait() => {}
            }
        }
        Err::<(), _>(Broken("to see the report"))
    })
    .await
    .unwrap_err();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    // Their parent names them, and the body that was dropped with the future is no straggler.
    assert!(error.report().aborted().is_empty(), "{error}");
    let adopted = error.report().adopted();
    assert_eq!(adopted.len(), 10);
    assert!(adopted.iter().all(|a| a.is_aborted() && a.task().path() == "/outer/nested/deaf"));
}

#[tokio::test]
async fn tracks_how_many_live() {
    scope("job", async |cx: Cx<Infallible>| {
        assert_eq!(cx.live(), 0);
        let (tx, rx) = oneshot::channel::<()>();
        let task = cx.spawn("child", async move {
            drop(rx.await);
            Ok(())
        });
        assert_eq!(cx.live(), 1);
        assert!(!task.is_finished());
        drop(tx);
        task.await.unwrap();
        assert_eq!(cx.live(), 0);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_slash_in_a_name_breaks_the_path() {
    let error = scope("copy", async |cx: Cx<Broken>| {
        cx.spawn("/etc/a%b", async { Err::<(), _>(Broken("no luck")) });
        Ok(())
    })
    .await
    .unwrap_err();
    let (reason, report) = error.into_parts();
    let Reason::Failed(failure) = reason else { panic!("{reason}") };
    assert_eq!(failure.task().path(), "/copy/%2Fetc%2Fa%25b");
    assert_eq!(failure.task().name().as_str(), "/etc/a%b");
    assert_eq!(*failure.into_shared(), Broken("no luck"));
    assert!(report.into_also().is_empty());
}

/// As `anyhow::Error` is: shown, but no `std::error::Error`.
#[tokio::test]
async fn an_error_of_a_scope_is_an_error_whatever_is_inside() {
    async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        scope("app", async |cx: Cx<Box<dyn std::error::Error + Send + Sync>>| {
            cx.spawn("child", async { Err::<(), _>("no such host".into()) }).await?;
            Ok(())
        })
        .await?;
        Ok(())
    }
    let error = run().await.unwrap_err();
    assert!(error.to_string().contains("/app/child (spawned at "), "{error}");
}
