use crate::scope::Alive;
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    AfterFailure, AfterSuccess, CancelToken, CauseKind, ChildEnd, Cx, FirstSuccess, Policy, Reason,
    Scope, ScopeError, Supervise, TaskError,
};
use tokio::time::{Instant, sleep};

type Done = Result<(), &'static str>;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn paths<E>(reasons: &[Reason<E>]) -> Vec<&str> {
    reasons.iter().map(path).collect()
}

fn path<E>(reason: &Reason<E>) -> &str {
    match reason {
        Reason::Failed(failure) => failure.task().path(),
        Reason::Panicked(panic) => panic.task().path(),
        _ => "neither failed nor panicked",
    }
}

#[tidegate_testkit::test]
async fn a_supervised_child_that_fails_touches_nobody() {
    let begun = Instant::now();
    let (result, report) = Scope::builder("jobs")
        .policy(Supervise)
        .run_with_report(async |cx: Cx<&str>| {
            let bad = cx.spawn("bad", async { Err::<(), _>("disk full") });
            cx.spawn("worse", async { panic!("deliberate") as Done });
            cx.spawn_blocking("blocking", || Err::<(), _>("no such file"));
            let good = cx.spawn("good", async {
                sleep(secs(3)).await;
                Ok(())
            });
            let Err(TaskError::Failed(error)) = bad.await else { panic!("it failed") };
            good.await.unwrap();
            assert!(!cx.is_cancelled());
            Ok(*error)
        })
        .await;
    assert_eq!(result.unwrap(), "disk full");
    assert_eq!(begun.elapsed(), secs(3));
    let mut failed = paths(report.tolerated());
    failed.sort_unstable();
    assert_eq!(failed, ["/jobs/bad", "/jobs/blocking", "/jobs/worse"]);
    assert_eq!((report.also().len(), report.tolerated_more()), (0, 0));
}

#[tokio::test]
async fn what_is_tolerated_is_bounded_and_counted() {
    let (result, report) = Scope::builder("jobs")
        .policy(Supervise)
        .run_with_report(async |cx: Cx<usize>| {
            for n in 0..20 {
                assert!(cx.spawn("bad", async move { Err::<(), _>(n) }).await.is_err());
            }
            Ok(())
        })
        .await;
    assert!(result.is_ok());
    let oldest = |reason: &Reason<usize>| matches!(reason, Reason::Failed(f) if *f.error() < 16);
    assert!(report.tolerated().iter().all(oldest));
    assert_eq!((report.tolerated().len(), report.tolerated_more()), (16, 4));
}

#[tidegate_testkit::test]
async fn an_error_of_the_body_ends_a_supervised_scope() {
    let error = Scope::builder("jobs")
        .policy(Supervise)
        .run(async |cx: Cx<&str>| {
            let child = cx.clone();
            cx.spawn("child", async move {
                child.cancelled().await;
                Ok(())
            });
            let bad = cx.spawn("bad", async { Err::<(), _>("not this one") });
            assert!(bad.await.is_err());
            Err::<(), _>("the body")
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"the body"));
    assert_eq!(paths(error.report().tolerated()), ["/jobs/bad"]);
}

/// What a dropped scope tolerated is told to its parent, as all that went wrong in it.
#[tidegate_testkit::test]
async fn what_a_dropped_scope_tolerated_is_adopted() {
    let (result, report) = Scope::builder("parent")
        .run_with_report(async |cx: Cx<Infallible>| {
            let jobs = Scope::builder("jobs").parent(&cx).policy(Supervise);
            let jobs = jobs.run(async |cx: Cx<&str>| {
                assert!(cx.spawn("bad", async { Err::<(), _>("disk full") }).await.is_err());
                pending::<Done>().await
            });
            assert!(tokio::time::timeout(secs(1), jobs).await.is_err());
            Ok(())
        })
        .await;
    assert!(result.is_ok());
    let adopted: Vec<_> = report.adopted().iter().map(|a| a.task().path()).collect();
    assert_eq!(adopted, ["/parent/jobs/bad"]);
}

#[tidegate_testkit::test]
async fn the_first_success_ends_the_scope_and_forgives_the_failures() {
    let begun = Instant::now();
    let cleaned = Arc::new(AtomicUsize::new(0));
    let (result, report) = Scope::builder("race")
        .policy(FirstSuccess)
        .run_with_report(async |cx: Cx<&str>| {
            cx.spawn("early", async { Err::<(), _>("too early") });
            cx.spawn("winner", async {
                sleep(secs(2)).await;
                Ok(())
            });
            for _ in 0..2 {
                let (own, cleaned) = (cx.clone(), Arc::clone(&cleaned));
                cx.spawn("loser", async move {
                    let cause = own.cancelled().await;
                    assert_eq!(cause.kind(), CauseKind::Finished);
                    assert!(cause.to_string().starts_with("/race has finished"));
                    cleaned.fetch_add(1, Ordering::Relaxed);
                    Err::<(), _>("given up")
                });
            }
            Ok("the body's value")
        })
        .await;
    assert_eq!(result.unwrap(), "the body's value");
    assert_eq!((begun.elapsed(), cleaned.load(Ordering::Relaxed)), (secs(2), 2));
    assert_eq!(paths(report.tolerated()), ["/race/early", "/race/loser", "/race/loser"]);
    assert!(report.also().is_empty());
}

#[tidegate_testkit::test]
async fn without_a_success_the_first_error_is_the_reason() {
    let error = Scope::builder("race")
        .policy(FirstSuccess)
        .run(async |cx: Cx<&str>| {
            for (name, after) in [("late", 2), ("early", 1), ("last", 3)] {
                cx.spawn(name, async move {
                    sleep(secs(after)).await;
                    Err::<(), _>(name)
                });
            }
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"early"));
    assert_eq!(paths(error.report().also()), ["/race/late", "/race/last"]);
}

#[tidegate_testkit::test]
async fn first_ok_drops_the_losers_at_once_and_joins_them() {
    let begun = Instant::now();
    let alive = Arc::new(AtomicUsize::new(0));
    let attempts = (0..5_u64).map(|n| {
        let guard = Alive::new(&alive);
        let attempt = async move {
            let _guard = guard;
            match n {
                3 => sleep(secs(1)).await,
                4 => return Err("no luck"),
                _ => pending().await,
            }
            Ok(n)
        };
        (format!("{n}"), attempt)
    });
    assert_eq!(Scope::builder("race").first_ok(attempts).await.unwrap(), 3);
    assert_eq!((begun.elapsed(), alive.load(Ordering::SeqCst)), (secs(1), 0));
}

#[tidegate_testkit::test]
async fn first_ok_of_failures_is_the_first_failure() {
    let attempts = [("a", 2), ("b", 1), ("c", 3)].map(|(name, after)| {
        let attempt = async move {
            sleep(secs(after)).await;
            assert_ne!(name, "c", "deliberate");
            Err::<(), _>(name)
        };
        (name, attempt)
    });
    let error = Scope::builder("race").first_ok(attempts).await.unwrap_err();
    assert_eq!(error.error(), Some(&"b"));
    assert_eq!(paths(error.report().also()), ["/race/a", "/race/c"]);
}

/// Attempts may come from an iterator that works for them.
#[tokio::test]
async fn first_ok_asks_for_no_more_attempts_when_it_is_over() {
    let (token, asked) = (CancelToken::new(), AtomicUsize::new(0));
    let attempts = (0..3).map(|n| {
        asked.fetch_add(1, Ordering::SeqCst);
        if n == 1 {
            token.cancel("enough");
        }
        ("slow", pending::<Done>())
    });
    let race = Scope::builder("race").token(&token);
    let error = race.first_ok(attempts).await.unwrap_err();
    assert!(matches!(error.reason(), Reason::Cancelled(_)), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn first_ok_of_nothing_is_an_error() {
    let none: [(&str, std::future::Ready<Done>); 0] = [];
    let error: ScopeError<_> = Scope::builder("race").first_ok(none).await.unwrap_err();
    assert!(matches!(error.reason(), Reason::Empty));
    assert_eq!(error.to_string(), "there was nothing to run");
}

#[tidegate_testkit::test]
async fn first_ok_is_cancelled_from_outside() {
    let token = CancelToken::new();
    let race = Scope::builder("race").token(&token).timeout(secs(1));
    let error = race.first_ok([("slow", pending::<Done>())]).await.unwrap_err();
    assert_eq!(error.cause().unwrap().kind(), CauseKind::DeadlineExceeded);
}

/// Asked once for each end, whatever the kind of child, and told what it was.
#[tidegate_testkit::test]
async fn a_policy_is_asked_about_each_child_once() {
    #[derive(Clone, Default)]
    struct Listen(Arc<Mutex<Vec<String>>>);
    impl Policy for Listen {
        fn failed(&self, child: &ChildEnd<'_>) -> AfterFailure {
            let task = child.task();
            let why = match (child.error::<&str>(), child.panic()) {
                (Some(error), None) => (*error).to_owned(),
                (None, Some(panic)) => panic.message().to_owned(),
                other => panic!("neither: {other:?}"),
            };
            assert!(child.error::<String>().is_none());
            self.0.lock().unwrap().push(format!("{}: {why}", task.path()));
            AfterFailure::Tolerate
        }
        fn succeeded(&self, child: &ChildEnd<'_>) -> AfterSuccess {
            assert!(child.error::<&str>().is_none() && child.panic().is_none());
            self.0.lock().unwrap().push(child.task().path().to_owned());
            AfterSuccess::GoOn
        }
    }
    let heard = Listen::default();
    let run = Scope::builder("job").policy(heard.clone()).run(async |cx: Cx<&str>| {
        cx.spawn("good", async { Ok(()) }).await.unwrap();
        cx.spawn("bad", async { Err::<(), _>("broken") }).await.unwrap_err();
        cx.spawn("worse", async { panic!("deliberate") as Done }).await.unwrap_err();
        cx.spawn_blocking("thread", || Ok(())).await.unwrap();
        cx.scope("nested", async |_: Cx<&str>| Err::<(), _>("its own")).await.unwrap_err();
        cx.spawn("deaf", pending::<Done>());
        tokio::task::yield_now().await;
        cx.cancel("the end");
        Ok(())
    });
    let error = run.await.unwrap_err();
    assert!(matches!(error.reason(), Reason::Aborted), "{error}");
    let heard = heard.0.lock().unwrap();
    assert_eq!(*heard, ["/job/good", "/job/bad: broken", "/job/worse: deliberate", "/job/thread"]);
}

#[tidegate_testkit::test]
async fn a_policy_that_panics_lets_no_failure_pass() {
    struct Broken;
    impl Policy for Broken {
        fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
            panic!("deliberate")
        }
        fn succeeded(&self, _: &ChildEnd<'_>) -> AfterSuccess {
            panic!("deliberate")
        }
    }
    let error = Scope::builder("job")
        .policy(Broken)
        .run(async |cx: Cx<&str>| {
            cx.spawn("good", async { Ok(()) }).await.unwrap();
            assert!(!cx.is_cancelled());
            cx.spawn("bad", async { Err::<(), _>("broken") });
            cx.cancelled().await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"broken"));
}

/// Different verdicts in one scope: what cancels it is the reason.
#[tidegate_testkit::test]
async fn the_failure_that_cancels_is_the_reason() {
    struct ByName;
    impl Policy for ByName {
        fn failed(&self, child: &ChildEnd<'_>) -> AfterFailure {
            match child.task().name().as_str() {
                "minor" => AfterFailure::Tolerate,
                "major" => AfterFailure::Collect,
                _ => AfterFailure::Cancel,
            }
        }
    }
    let error = Scope::builder("job")
        .policy(ByName)
        .run(async |cx: Cx<&str>| {
            for name in ["minor", "major"] {
                assert!(cx.spawn(name, async move { Err::<(), _>(name) }).await.is_err());
                assert!(!cx.is_cancelled());
            }
            cx.spawn("fatal", async { Err::<(), _>("fatal") });
            cx.cancelled().await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"fatal"));
    assert_eq!(paths(error.report().also()), ["/job/major"]);
    assert_eq!(paths(error.report().tolerated()), ["/job/minor"]);
}

#[tokio::test]
async fn a_resource_is_given_back_when_the_children_have_ended() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (result, resource) = Scope::builder("job")
        .run_with(Alive::new(&alive), async |cx: Cx<&str>, shared: Arc<Alive>| {
            for _ in 0..3 {
                let shared = Arc::clone(&shared);
                cx.spawn("child", async move {
                    tokio::task::yield_now().await;
                    drop(shared);
                    Ok(())
                });
            }
            Err::<(), _>("in any case")
        })
        .await;
    assert_eq!(result.unwrap_err().error(), Some(&"in any case"));
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    drop(resource.ok().expect("nobody has a handle any more"));
    let (kept, resource) = Scope::builder("job")
        .run_with(Alive::new(&alive), async |_: Cx<&str>, shared: Arc<Alive>| Ok(shared))
        .await;
    assert!(resource.is_err(), "the body's value is one");
    drop((kept, resource));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// It is no failure that what is not needed any more had to be aborted.
#[tokio::test]
async fn a_loser_that_has_to_be_aborted_does_not_cost_the_winners_value() {
    let (result, report) = Scope::builder("race")
        .policy(FirstSuccess)
        .grace(Duration::ZERO)
        .run_with_report(async |cx: Cx<&str>| {
            cx.spawn("deaf", pending::<Done>());
            cx.spawn("fast", async { Ok(()) });
            Ok("kept")
        })
        .await;
    assert_eq!(result.unwrap(), "kept");
    assert_eq!(report.aborted()[0].task().path(), "/race/deaf");
    let attempts = ["deaf", "fast"].map(|name| {
        let attempt = async move {
            if name == "deaf" {
                return pending().await;
            }
            Ok::<_, &str>(name)
        };
        (name, attempt)
    });
    let race = Scope::builder("race").grace(Duration::ZERO);
    assert_eq!(race.first_ok(attempts).await.unwrap(), "fast");
}

/// Whatever is dropped on the way to an error, the error is what comes out.
#[tokio::test]
async fn a_destructor_that_panics_does_not_cost_the_error() {
    #[derive(Debug)]
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "from a destructor");
        }
    }
    impl Policy for Bomb {
        fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
            AfterFailure::Collect
        }
    }
    let run = Scope::builder("job").policy(Bomb).run(async |cx: Cx<&str>| {
        cx.spawn("bad", async { Err::<(), _>("disk full") });
        Ok(Bomb)
    });
    assert_eq!(run.await.unwrap_err().error(), Some(&"disk full"));
}
