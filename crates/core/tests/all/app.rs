use std::{convert::Infallible, future::pending, time::Duration};
use tidegate_core::{App, CauseKind, Cx, ExitReport, Reason};
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

#[cfg(all(feature = "signal", not(miri)))]
mod signals {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Read},
        process::{Child, Command, Stdio},
    };

    /// The program that the tests below run as a process of its own, because a signal
    /// reaches every test of this one. Without the variable it has nothing to do.
    #[test]
    fn child_process() {
        let Ok(mode) = std::env::var("TIDEGATE_APP_CHILD") else { return };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let app = App::new("child").grace(secs(if mode == "polite" { 5 } else { 600 }));
        let app = if mode.starts_with("drain") { app.drain(secs(600)) } else { app };
        if mode == "drain by itself" {
            app.token().stop("by itself");
        }
        let report = runtime.block_on(app.run(async |cx: Cx<Infallible>| {
            println!("ready");
            println!("stop: {}", cx.stopping().await);
            if mode == "drains" {
                return Ok(());
            }
            println!("cancel: {}", cx.cancelled().await);
            if mode == "polite" { Ok(()) } else { pending().await }
        }));
        let stuck: Vec<_> = report.stuck().iter().map(|s| s.task().path()).collect();
        println!("gave up: {}; stuck: {stuck:?}", report.gave_up());
        runtime.shutdown_background();
        std::process::exit(report.exit_code().into());
    }

    fn child(mode: &str) -> (Child, impl BufRead) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "app::signals::child_process", "--nocapture"])
            .env("TIDEGATE_APP_CHILD", mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (child, out)
    }

    fn kill(child: &Child, signal: &str) {
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    fn read_until(out: &mut impl BufRead, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "ended before it said {text:?}");
        }
    }

    #[test]
    fn sigint_and_sigterm_cancel_with_the_shells_exit_code() {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let (mut process, mut out) = child("polite");
            read_until(&mut out, "ready");
            kill(&process, signal);
            read_until(&mut out, &format!("cancel: cancelled: signal SIG{signal}"));
            assert_eq!(process.wait().unwrap().code(), Some(code));
        }
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        let (mut process, mut out) = child("deaf");
        read_until(&mut out, "ready");
        kill(&process, "TERM");
        read_until(&mut out, "cancel: cancelled: signal SIGTERM");
        kill(&process, "INT");
        read_until(&mut out, "gave up: true; stuck: [\"/child\"]");
        out.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(143), "the first signal decides");
    }

    #[test]
    fn a_program_that_drains_at_a_signal_has_done_what_it_was_asked() {
        let (mut process, mut out) = child("drains");
        read_until(&mut out, "ready");
        kill(&process, "TERM");
        read_until(&mut out, "stop: cancelled: signal SIGTERM");
        out.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn a_signal_while_the_program_drains_by_itself_skips_to_the_next_stage() {
        let (mut process, mut out) = child("drain by itself");
        read_until(&mut out, "stop: cancelled: by itself");
        kill(&process, "TERM");
        read_until(&mut out, "cancel: cancelled: signal SIGTERM");
        kill(&process, "TERM");
        read_until(&mut out, "gave up: true");
        out.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(143));
    }

    #[test]
    fn each_further_signal_skips_a_stage() {
        let (mut process, mut out) = child("drain for ever");
        read_until(&mut out, "ready");
        kill(&process, "TERM");
        read_until(&mut out, "stop: cancelled: signal SIGTERM");
        kill(&process, "INT");
        read_until(&mut out, "cancel: cancelled: signal SIGINT");
        kill(&process, "INT");
        read_until(&mut out, "gave up: true; stuck: [\"/child\"]");
        out.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(143), "the first signal decides");
    }
}
