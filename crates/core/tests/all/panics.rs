//! Where a panic is caught, what is known of it, and what it does.

use crate::scope::Alive;
use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tidegate_core::{Cx, OnError, OnPanic, Reason, Scope, ScopeError, Task, TaskPanic, scope};
use tokio::time::{Instant, sleep};

type Never = Result<(), Infallible>;

/// The panic of the only child of a scope.
async fn panic_of(child: impl Future<Output = Never> + Send + 'static) -> TaskPanic {
    let job = scope("job", async |cx: Cx<Infallible>| {
        cx.spawn("child", child);
        Ok(())
    });
    match job.await.unwrap_err().into_reason() {
        Reason::Panicked(panic) => panic,
        other => panic!("not a panic: {other}"),
    }
}

#[tokio::test]
async fn a_panic_says_where_in_the_source_it_happened() {
    let line = line!() + 1;
    let panic = panic_of(async { panic!("deliberate") }).await;
    let at = panic.location().unwrap();
    assert!(at.starts_with(&format!("{}:{line}:", file!())), "{at}");
    let text = panic.to_string();
    assert!(text.ends_with(&format!(") panicked at {at}: deliberate")), "{text}");
}

#[tokio::test]
async fn the_place_of_another_panic_is_not_taken_for_it() {
    // Caught by the child itself, and forgotten.
    let own = async {
        assert!(catch_unwind(|| panic!("handled")).is_err());
        resume_unwind(Box::new("from another thread"));
    };
    let panic = panic_of(own).await;
    assert_eq!((panic.message(), panic.location()), ("from another thread", None));
    assert!(panic.to_string().ends_with(") panicked: from another thread"), "{panic}");
}

#[tokio::test]
async fn blocking_work_and_bodies_have_places_too() {
    let job = scope("job", async |cx: Cx<Infallible>| {
        let line = line!() + 1;
        let work = cx.spawn_blocking("work", || -> Never { panic!("deliberate") });
        let error = work.await.unwrap_err().to_string();
        assert!(error.contains(&format!(") panicked at {}:{line}:", file!())), "{error}");
        Ok(())
    });
    assert!(job.await.is_err());
    let nested = Scope::builder("job").on_error(OnError::Collect { max: 1 });
    let error = nested.run(async |cx: Cx<&str>| {
        assert!(cx.spawn("bad", async { Err::<(), _>("first") }).await.is_err());
        panic!("deliberate") as Result<(), _>
    });
    let error = error.await.unwrap_err();
    let [Reason::Panicked(panic)] = error.report().also() else { panic!("{error}") };
    assert!(panic.location().unwrap().starts_with(file!()), "{panic}");
}

#[test]
fn a_backtrace_is_kept_if_these_are_enabled() {
    const ME: &str = "panics::a_backtrace_is_kept_if_these_are_enabled";
    let Ok(enabled) = std::env::var("TIDEGATE_BACKTRACE_CHILD") else {
        for enabled in ["0", "1"] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", ME])
                .env("TIDEGATE_BACKTRACE_CHILD", enabled)
                .env("RUST_BACKTRACE", enabled)
                .status();
            assert!(status.unwrap().success());
        }
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let panic = runtime.block_on(panic_of(async { panic!("deliberate") }));
    assert_eq!(panic.backtrace().is_some(), enabled == "1");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// The payload that comes out of a scope that raises.
fn raised<T>(run: impl Future<Output = T>) -> Option<&'static str> {
    let caught = catch_unwind(AssertUnwindSafe(|| runtime().block_on(run)));
    caught.err().map(|payload| *payload.downcast::<&str>().unwrap())
}

#[test]
fn a_raised_panic_goes_on_after_the_join() {
    let alive = Arc::new(AtomicUsize::new(0));
    let guard = Alive::new(&alive);
    let payload =
        raised(Scope::builder("job").on_panic(OnPanic::Raise).run(async |cx: Cx<Infallible>| {
            let own = cx.clone();
            cx.spawn("polite", async move {
                let _guard = guard;
                let begun = Instant::now();
                own.cancelled().await;
                assert_eq!(begun.elapsed(), Duration::ZERO, "told at once");
                sleep(Duration::from_secs(1)).await;
                Ok(())
            });
            cx.spawn("bad", async { panic!("deliberate") as Never });
            Ok(())
        }));
    assert_eq!(payload, Some("deliberate"));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_failure_before_the_panic_is_returned_with_it() {
    let run = Scope::builder("job").on_panic(OnPanic::Raise).run(async |cx: Cx<&str>| {
        let bad = cx.spawn("bad", async { Err::<(), _>("first") });
        assert!(bad.await.is_err());
        cx.spawn("worse", async { panic!("second") as Result<(), &str> });
        Ok(())
    });
    let mut error: Option<ScopeError<&str>> = None;
    assert_eq!(raised(async { error = run.await.err() }), None);
    let error = error.unwrap();
    assert_eq!(error.error(), Some(&"first"));
    let [Reason::Panicked(panic)] = error.report().also() else { panic!("{error}") };
    assert_eq!(panic.message(), "second");
}

#[test]
fn nested_scopes_raise_as_the_one_around_them_unless_told_otherwise() {
    let nested = |on_panic: Option<OnPanic>| {
        raised(Scope::builder("outer").on_panic(OnPanic::Raise).run(
            async move |cx: Cx<Infallible>| {
                let nested = Scope::builder("nested").parent(&cx);
                let nested = match on_panic {
                    Some(on_panic) => nested.on_panic(on_panic),
                    None => nested,
                };
                let nested = nested.run(async |cx: Cx<Infallible>| {
                    cx.spawn("bad", async { panic!("deliberate") as Never });
                    Ok(())
                });
                assert!(nested.await.is_err());
                Ok(())
            },
        ))
    };
    assert_eq!(nested(None), Some("deliberate"));
    assert_eq!(nested(Some(OnPanic::AsError)), None);
}

/// The panic of a body goes on in the child that runs it.
#[tokio::test]
async fn a_panic_that_goes_on_keeps_its_place() {
    for raises in [false, true] {
        let line = line!() + 7;
        let job = scope("job", async |cx: Cx<Infallible>| {
            let own = cx.clone();
            cx.spawn("conn", async move {
                let request = Scope::builder("request").parent(&own).on_panic(OnPanic::Raise);
                request
                    .run(async |cx: Cx<Infallible>| {
                        let bug = async { panic!("a bug of the handler") as Never };
                        if raises {
                            cx.spawn("handler", bug);
                            return Ok(());
                        }
                        bug.await
                    })
                    .await
                    .unwrap();
                Ok(())
            });
            Ok(())
        });
        let error = job.await.unwrap_err();
        let Reason::Panicked(panic) = error.reason() else { panic!("{error}") };
        assert_eq!(panic.task().path(), "/job/conn");
        let at = panic.location().unwrap();
        assert!(at.starts_with(&format!("{}:{line}:", file!())), "{at}");
    }
}

/// Its payload is nobody's: it must not be dropped where a panic of it could do harm.
#[tokio::test]
async fn a_dropped_scope_raises_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from the payload's destructor");
        }
    }
    let (result, report) = scope_with_report(async |cx| {
        let raising = Scope::builder("raising").parent(cx).on_panic(OnPanic::Raise);
        let raising = raising.run(async |cx: Cx<Infallible>| {
            cx.spawn("bomb", async {
                panic_any(Bomb);
                #[expect(unreachable_code, reason = "it gives the child its type")]
                Ok(())
            });
            pending::<Never>().await
        });
        let mut raising = Box::pin(raising);
        tokio::select! {
            biased;
            _ = &mut raising => unreachable!("it waits for its grace period"),
            () = async { for _ in 0..4 { tokio::task::yield_now().await } } => {}
        }
        drop(raising);
    })
    .await;
    assert!(result.is_ok());
    assert!(report.adopted().iter().any(|adopted| adopted.panic().is_some()));
}

async fn scope_with_report(
    body: impl AsyncFnOnce(&Cx<Infallible>),
) -> (Result<(), Reason<Infallible>>, tidegate_core::JoinReport<Infallible>) {
    Scope::builder("parent")
        .run_with_report(async |cx| {
            body(&cx).await;
            Ok(())
        })
        .await
}

#[test]
fn an_abort_names_the_work_and_ends_the_process() {
    const ME: &str = "panics::an_abort_names_the_work_and_ends_the_process";
    if std::env::var_os("TIDEGATE_ABORT_CHILD").is_some() {
        let _unreached = runtime().block_on(Scope::builder("job").on_panic(OnPanic::Abort).run(
            async |cx: Cx<Infallible>| {
                cx.spawn("bad", async { panic!("deliberate") as Never });
                Ok(())
            },
        ));
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ME, "--nocapture"])
        .env("TIDEGATE_ABORT_CHILD", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("/job/bad (spawned at "), "{told}");
    assert!(told.contains(": deliberate\nthe process is aborted\n"), "{told}");
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6));
}

/// It goes on in the caller, as any panic of the caller's does.
#[test]
fn a_panic_of_the_body_aborts_nothing() {
    let run = Scope::builder("job").on_panic(OnPanic::Abort);
    let payload = raised(run.run(async |_: Cx<Infallible>| panic!("deliberate") as Never));
    assert_eq!(payload, Some("deliberate"));
}

#[test]
fn the_programs_own_hook_goes_on_hearing_of_panics() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    const ME: &str = "panics::the_programs_own_hook_goes_on_hearing_of_panics";
    if std::env::var_os("TIDEGATE_HOOK_CHILD").is_none() {
        // Alone in a process: the hook is everybody's, and set before the first scope.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", ME])
            .env("TIDEGATE_HOOK_CHILD", "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    std::panic::set_hook(Box::new(|_| {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }));
    let panic = runtime().block_on(panic_of(async { panic!("deliberate") }));
    assert!(panic.location().is_some());
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
}

/// A payload whose destructor panics with another one of its kind has no end.
#[test]
fn a_payload_that_panics_for_ever_when_it_is_dropped() {
    struct Endless;
    impl Drop for Endless {
        fn drop(&mut self) {
            resume_unwind(Box::new(Endless));
        }
    }
    let bad = async { resume_unwind(Box::new(Endless)) };
    let panic = runtime().block_on(panic_of(bad));
    assert_eq!(panic.message(), "(the payload is not a string)");
}

#[test]
fn a_panic_that_was_forgiven_is_not_raised() {
    let attempts = [("early", true), ("late", false)].map(|(name, is_bad)| {
        let attempt = async move {
            assert!(!is_bad, "deliberate");
            Ok::<_, Infallible>(7)
        };
        (name, attempt)
    });
    let mut won = None;
    let race = Scope::builder("race").on_panic(OnPanic::Raise).first_ok(attempts);
    assert_eq!(raised(async { won = race.await.ok() }), None);
    assert_eq!(won, Some(7));
}

/// Both panics say the same, so that their words do not tell which is which.
fn in_poll() -> Poll<Never> {
    panic!("deliberate")
}

const IN_POLL: u32 = line!() - 3;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("deliberate")
    }
}

const IN_DROP: u32 = line!() - 4;

/// A future whose poll panics once `first` has ended, and so does its destructor.
fn twice_bad(first: Option<Task<(), Infallible>>) -> impl Future<Output = Never> + Send {
    let bomb = Bomb;
    poll_fn(move |cx| {
        let _bomb = &bomb;
        if first.as_ref().is_none_or(Task::is_finished) {
            return in_poll();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

fn has_place(panic: &TaskPanic, line: u32) -> bool {
    panic.location().is_some_and(|at| at.starts_with(&format!("{}:{line}:", file!())))
}

#[tokio::test]
async fn a_panic_and_that_of_the_destructor_have_their_own_places() {
    let child = scope("job", async |cx: Cx<Infallible>| {
        cx.spawn("child", twice_bad(None));
        Ok(())
    });
    // Of a body, too, whose panic is in the report if another failure came before.
    let body = Scope::builder("job").on_error(OnError::Collect { max: 1 });
    let body = body.run(|cx: Cx<Infallible>| {
        twice_bad(Some(cx.spawn("first", async { panic!("first") as Never })))
    });
    for (error, skip) in [(child.await, 0), (body.await, 1)] {
        let error = error.unwrap_err();
        let panics: Vec<_> = error.reasons().skip(skip).collect();
        let [Reason::Panicked(poll), Reason::Panicked(destructor)] = panics[..] else {
            panic!("{panics:?}")
        };
        assert!(has_place(poll, IN_POLL), "{poll}");
        assert!(has_place(destructor, IN_DROP), "{destructor}");
    }
}

type Boxed = Pin<Box<dyn Future<Output = Never> + Send>>;

fn nest(cx: Cx<Infallible>, levels: u32) -> Boxed {
    Box::pin(async move {
        if levels == 0 {
            let _ = in_poll();
        }
        let nested = cx.scope("nested", async move |cx: Cx<Infallible>| nest(cx, levels - 1).await);
        nested.await.map_err(|error| panic!("{error}"))
    })
}

#[tokio::test]
async fn a_panic_has_a_place_however_many_bodies_it_is_below() {
    let job = scope("job", async |cx: Cx<Infallible>| {
        cx.spawn("child", nest(cx.clone(), 7));
        Ok(())
    });
    let error = job.await.unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("{error}") };
    assert!(has_place(panic, IN_POLL), "{panic}");
}
