use std::{convert::Infallible, future::pending, time::Duration};
use tidegate_core::{App, CauseKind, Cx, ExitReport, Reason, join_orphans, orphans, scope};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn ends_with_its_value() {
    let report = App::new("app").run(async |_: Cx<Infallible>| Ok(7)).await;
    assert_eq!((report.exit_code(), report.signal(), report.stuck()), (0, None, &[][..]));
    assert_eq!(report.into_result().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_app_has_its_grace_period_and_names_who_ignored_it() {
    let begun = Instant::now();
    let app = App::new("app").grace(Duration::from_secs(2));
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<Infallible>| {
            cx.scope("jobs", async |cx: Cx<Infallible>| {
                cx.spawn("deaf", pending::<Result<(), _>>());
                token.cancel("lights out");
                pending::<Result<(), Infallible>>().await
            })
            .await
            .unwrap_err();
            Ok(())
        })
        .await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(report.exit_code(), 1);
    let aborted: Vec<_> = report.aborted().iter().map(|s| s.task().path().to_owned()).collect();
    assert!(aborted.contains(&"/app/jobs/deaf".to_owned()), "{aborted:?}");
    assert!(report.stuck().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_up_on_blocking_work_that_never_ends() {
    let report = given_up(async |_| Ok(())).await;
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_dropped_cancels_and_aborts_its_children() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (held, alive) = tokio::sync::oneshot::channel::<()>();
    let app = App::new("app").run(async |cx: Cx<Infallible>| {
        let token = cx.token().clone();
        cx.spawn("child", async move {
            let _held = held;
            tell.send(token).unwrap();
            pending::<Result<(), Infallible>>().await
        })
        .await
        .unwrap();
        Ok(())
    });
    assert!(tokio::time::timeout(Duration::from_secs(1), app).await.is_err());
    assert_eq!(told.await.unwrap().cause().unwrap().kind(), CauseKind::ScopeDropped);
    assert!(alive.await.is_err(), "the child's future is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_failing_child_ends_the_app() {
    let report = App::new("app")
        .run(async |cx| {
            cx.spawn("bad", async { Err::<(), _>("no luck") });
            let cause = cx.cancelled().await;
            assert_eq!(cause.kind(), CauseKind::ChildFailed);
            Ok(())
        })
        .await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.result().unwrap_err().error(), Some(&"no luck"));
}

/// Runs an app whose body makes a blocking child that never ends, and gives it up.
async fn given_up<F>(body: impl FnOnce(Cx<&'static str>) -> F) -> ExitReport<(), &'static str>
where
    F: Future<Output = Result<(), &'static str>>,
{
    let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
    // Time for a body to see that a child has failed: the scope is cancelled a moment earlier.
    let app = App::new("app").grace(Duration::from_secs(1));
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<&'static str>| {
            let (started, is_started) = tokio::sync::oneshot::channel();
            cx.spawn_blocking("stuck", move || {
                started.send(()).unwrap();
                let _ = rx.recv();
                Ok(())
            });
            is_started.await.unwrap();
            token.cancel("lights out");
            body(cx).await
        })
        .await;
    drop(tx);
    assert!(report.gave_up());
    assert_eq!(report.stuck()[0].task().path(), "/app/stuck");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_forgets_the_errors_so_far() {
    let report = given_up(async |cx| {
        let bad = cx.spawn("bad", async { Err::<(), _>("disk full") });
        assert!(bad.await.is_err());
        cx.spawn("deaf", pending::<Result<(), _>>());
        Ok(())
    })
    .await;
    let error = report.result().unwrap_err();
    assert!(matches!(error.reason(), Reason::Cancelled(_)), "{error}");
    let [Reason::Failed(failure)] = error.report().also() else { panic!("{error}") };
    assert_eq!(failure.error(), &"disk full");
    let aborted: Vec<_> = report.aborted().iter().map(|s| s.task().path()).collect();
    assert_eq!(aborted, ["/app/deaf"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_forgets_the_panic_of_the_body() {
    let report = given_up(async |_| panic!("deliberate")).await;
    let [Reason::Panicked(panic)] = report.result().unwrap_err().report().also() else {
        panic!("{report:?}")
    };
    assert_eq!((panic.task().path(), panic.message()), ("/app", "deliberate"));
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// An app with 20 s to drain and 5 s of grace that is stopped at once.
async fn stopped<F>(body: impl FnOnce(Cx<Infallible>) -> F) -> ExitReport<&'static str, Infallible>
where
    F: Future<Output = Result<&'static str, Infallible>>,
{
    let app = App::new("app").drain(secs(20)).grace(secs(5));
    assert!(app.token().stop("a new version takes over"));
    app.run(body).await
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_is_finished_in_the_time_to_drain() {
    let begun = Instant::now();
    let report = stopped(async |cx| {
        cx.stopping().await;
        tokio::time::sleep(secs(19)).await;
        assert!(!cx.is_cancelled());
        Ok("drained")
    })
    .await;
    assert_eq!((begun.elapsed(), report.exit_code()), (secs(19), 0));
    assert_eq!(report.into_result().unwrap(), "drained");
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_to_drain_is_cancelled_for_the_same_cause() {
    let begun = Instant::now();
    let report = stopped(async |cx| {
        assert!(cx.cancelled().await.to_string().contains("a new version"));
        assert_eq!(begun.elapsed(), secs(20));
        pending().await
    })
    .await;
    assert_eq!((begun.elapsed(), report.exit_code()), (secs(25), 1));
    assert_eq!(report.aborted()[0].task().path(), "/app");
}

#[tokio::test(start_paused = true)]
async fn an_app_without_time_to_drain_is_cancelled_when_it_is_stopped() {
    let begun = Instant::now();
    let app = App::new("app");
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<Infallible>| {
            token.stop("enough");
            cx.cancelled().await;
            Ok(())
        })
        .await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(matches!(report.result().unwrap_err().reason(), Reason::Cancelled(_)));
}

#[tokio::test(start_paused = true)]
async fn the_stages_share_the_budget() {
    let begun = Instant::now();
    let app = App::new("app").budget(secs(30)).drain(secs(10)).grace(secs(7));
    app.token().stop("a new version takes over");
    let report = app
        .run(async |cx: Cx<Infallible>| {
            cx.cancelled().await;
            assert_eq!(begun.elapsed(), secs(10));
            pending::<Result<(), _>>().await
        })
        .await;
    assert_eq!((begun.elapsed(), report.gave_up()), (secs(17), false));
}

#[tokio::test]
async fn a_budget_that_is_used_up_gives_up_in_time() {
    let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
    let app = App::new("app").budget(Duration::ZERO).grace(secs(600));
    app.token().cancel("enough");
    let report = app
        .run(async |cx: Cx<Infallible>| {
            cx.spawn_blocking("stuck", move || {
                let _ = rx.recv();
                Ok(())
            });
            Ok(())
        })
        .await;
    drop(tx);
    // Aborted before its thread began, or given up because that had: nobody waits for 600 s.
    let text = report.to_string();
    assert!(text.contains("/app/stuck (spawned at "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_report_names_everything_in_lines() {
    let app = App::new("app").grace(secs(1));
    let report = app
        .run(async |cx: Cx<&str>| {
            cx.spawn("deaf", pending::<Result<(), _>>());
            cx.spawn("bad", async { Err::<(), _>("disk full") });
            cx.cancelled().await;
            Err::<(), _>("and the body")
        })
        .await;
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("/app/bad (spawned at ") && lines[0].ends_with("failed: disk full")
    );
    assert!(lines[1].starts_with("also: /app (spawned at "), "{text}");
    assert!(lines[2].starts_with("aborted: task /app/deaf (spawned at "), "{text}");
    assert_eq!(std::process::Termination::report(report), std::process::ExitCode::from(1));
}

/// A root scope that is dropped, with a child that lives until `end` comes.
async fn leave_an_orphan(end: std::sync::mpsc::Receiver<()>) {
    let (tell, is_started) = tokio::sync::oneshot::channel();
    let mut orphan = Box::pin(scope("orphan", async |cx: Cx<Infallible>| {
        cx.spawn_blocking("late", move || {
            tell.send(()).unwrap();
            let _ = end.recv();
            Ok(())
        });
        pending::<Result<(), _>>().await
    }));
    tokio::select! {
        biased;
        _ = &mut orphan => unreachable!("it never ends by itself"),
        started = is_started => started.unwrap(),
    }
}

#[tokio::test]
async fn an_app_waits_for_dropped_root_scopes_and_names_what_hangs_in_them() {
    let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
    let report = App::new("app")
        .run(async |_: Cx<Infallible>| {
            leave_an_orphan(rx).await;
            Ok("kept")
        })
        .await;
    let stuck: Vec<_> = report.stuck().iter().map(|s| s.task().path()).collect();
    assert_eq!((stuck, report.gave_up()), (vec!["/orphan/late"], false));
    assert_eq!(orphans(), 1);
    drop(tx);
    join_orphans().await;
    assert_eq!(orphans(), 0);
    assert_eq!(report.into_result().unwrap(), "kept", "what is left elsewhere is no failure");
}

#[tokio::test]
async fn an_app_returns_when_the_last_dropped_root_scope_has_ended() {
    let report = App::new("app")
        .run(async |_: Cx<Infallible>| {
            let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
            leave_an_orphan(rx).await;
            assert_eq!(orphans(), 1);
            drop(tx);
            Ok(())
        })
        .await;
    assert_eq!((orphans(), report.stuck()), (0, &[][..]));
}

#[tokio::test]
async fn a_program_that_is_given_up_names_dropped_root_scopes_too() {
    let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
    let (held, stuck) = std::sync::mpsc::sync_channel::<()>(0);
    let app = App::new("app").budget(Duration::ZERO);
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<Infallible>| {
            leave_an_orphan(rx).await;
            let (started, is_started) = tokio::sync::oneshot::channel();
            cx.spawn_blocking("stuck", move || {
                started.send(()).unwrap();
                let _ = stuck.recv();
                Ok(())
            });
            is_started.await.unwrap();
            token.cancel("lights out");
            pending::<Result<(), _>>().await
        })
        .await;
    assert!(report.gave_up());
    let stuck: Vec<_> = report.stuck().iter().map(|s| s.task().path()).collect();
    assert!(stuck.contains(&"/orphan/late"), "{stuck:?}");
    let text = report.to_string();
    assert!(text.contains("\nstill running: blocking /orphan/late (spawned at "), "{text}");
    drop((tx, held));
    join_orphans().await;
}

/// While it ends, once a second: nobody may read the report.
#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn a_program_that_ends_tells_what_it_waits_for() {
    let events = crate::events::Events::listen();
    let app = App::new("app").drain(Duration::from_millis(3_500)).grace(Duration::ZERO);
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<Infallible>| {
            cx.spawn("deaf", pending::<Result<(), _>>());
            token.stop("lights out");
            Ok(())
        })
        .await;
    assert_eq!(report.aborted().len(), 1);
    assert_eq!(events.count(&["still ending", "/app/deaf"]), 3);
}
