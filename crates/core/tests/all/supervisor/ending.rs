//! How a supervisor ends.

use super::play::{Act::*, Broken, Diary, run, secs, sup, watch};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_core::{
    Cause, CauseKind, Cx, OnPanic, Scope, scope,
    supervisor::{
        AutoShutdown, ChildSpec, ConfigError, ControlError, ExitKind, Restart, Supervisor,
        SupervisorError,
    },
};
use tokio::time::{Instant, sleep, timeout};

#[tidegate_testkit::test]
async fn a_cancelled_supervisor_gives_each_child_its_own_grace() {
    let diary = Diary::new();
    let sup = sup()
        .child(diary.child("a", &[Linger(1)]))
        .child(diary.child("b", &[Deaf]).stop_grace(secs(7)))
        .child(diary.child("none", &[Linger(1)]).stop_grace(Duration::ZERO))
        .child(diary.child("endless", &[Linger(100)]).stop_grace(Duration::MAX));
    watch(&diary, sup, 1).await;
    assert_eq!(diary.read(), "101 -endless, 101 -none, 108 -b, 109 -a");
}

#[tidegate_testkit::test]
async fn a_child_that_was_aborted_is_named_in_the_history() {
    let diary = Diary::new();
    let ended = run(sup().child(diary.child("a", &[Deaf])), async |handle, cx| {
        cx.cancel("the test ends");
        sleep(secs(6)).await;
        let exit = handle.child("a").unwrap().last_exit.unwrap();
        assert_eq!(exit.kind(), ExitKind::Aborted);
        assert!(exit.to_string().contains("scope /app/sup/a (spawned at "), "{exit}");
        assert!(exit.to_string().contains("ending.rs"), "where it was declared: {exit}");
    });
    ended.await.unwrap_err();
}

#[tidegate_testkit::test]
async fn a_stopped_supervisor_lets_its_children_finish_one_after_the_other() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(60)])).child(diary.child("b", &[Linger(60)]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(1)).await;
        cx.stop("a new version takes over");
        sleep(secs(1)).await;
        assert_eq!(handle.terminate("a").await, Err(ControlError::NotRunning));
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 0 +b, 61 -b, 121 -a");
}

#[tidegate_testkit::test]
async fn nothing_is_started_again_while_it_is_stopped() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[FailAfter(5)])).child(diary.child("b", &[Linger(9)]));
    let ended = run(sup, async |_, cx| {
        cx.stop("enough");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 0 +b, 5 -a, 9 -b");
}

#[tidegate_testkit::test]
async fn a_stop_that_takes_too_long_becomes_a_cancellation() {
    let diary = Diary::new();
    let sup = sup()
        .child(diary.child("a", &[]))
        .child(diary.child("b", &[DeafToStop]))
        .child(diary.child("c", &[Linger(1)]));
    let ended = run(sup, async |_, cx| {
        cx.stop("first softly");
        sleep(secs(10)).await;
        cx.cancel("that took too long");
    });
    let error = ended.await.unwrap_err();
    assert!(error.to_string().contains("that took too long"), "{error}");
    assert_eq!(diary.read(), "0 +a, 0 +b, 0 +c, 1 -c, 10 -b, 10 -a");
}

#[tidegate_testkit::test]
async fn children_see_the_cause_that_came_from_outside() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let child = |name: &'static str| {
        let seen = Arc::clone(&seen);
        ChildSpec::new(name, move |cx: Cx<Infallible>| {
            let seen = Arc::clone(&seen);
            async move {
                let cause = cx.cancelled().await;
                seen.lock().unwrap().push(cause);
                Ok(())
            }
        })
    };
    let sup = sup().child(child("a")).child(child("b")).build().unwrap();
    let app = Scope::builder("app").timeout(secs(3)).grace(Duration::MAX);
    let ended = app.run(async |cx: Cx<SupervisorError>| sup.run(&cx).await).await.unwrap_err();
    let causes = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(causes.len(), 2);
    for cause in causes {
        assert_eq!(cause.kind(), CauseKind::DeadlineExceeded);
        assert!(cause.same(ended.cause().unwrap()));
    }
}

#[tidegate_testkit::test]
async fn children_see_the_cause_of_a_soft_stop_from_outside() {
    let seen = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&seen);
    let child = ChildSpec::new("a", move |cx: Cx<Infallible>| {
        let tell = Arc::clone(&tell);
        async move {
            let cause = cx.stopping().await;
            *tell.lock().unwrap() = Some(cause);
            Ok(())
        }
    });
    let ended = run(sup().child(child), async |_, cx| {
        cx.stop("out of coins");
    });
    ended.await.unwrap();
    let cause = seen.lock().unwrap().take().unwrap();
    assert_eq!((cause.kind(), cause.message()), (CauseKind::Explicit, Some("out of coins")));
}

/// The cause of the last life of `b`, which is stopped because of `a` or by hand.
async fn cause_of_stop(
    sup: tidegate_core::supervisor::SupervisorBuilder,
    script: impl AsyncFnOnce(tidegate_core::supervisor::Handle),
) -> Cause {
    let seen = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&seen);
    let b = ChildSpec::new("b", move |cx: Cx<Infallible>| {
        let tell = Arc::clone(&tell);
        async move {
            let cause = cx.cancelled().await;
            tell.lock().unwrap().get_or_insert(cause);
            Ok(())
        }
    });
    let ended = run(sup.child(b), async |handle, cx| {
        script(handle).await;
        sleep(secs(5)).await;
        cx.cancel("the test ends");
    });
    ended.await.ok();
    let cause = seen.lock().unwrap().take();
    cause.unwrap()
}

#[tidegate_testkit::test]
async fn the_cause_of_a_stop_says_who_and_why() {
    use tidegate_core::supervisor::Strategy::OneForAll;
    let diary = Diary::new();
    let a = || diary.child("a", &[FailAfter(1)]);
    let cause = cause_of_stop(sup().strategy(OneForAll).child(a()), async |_| {}).await;
    assert_eq!((cause.kind(), cause.origin()), (CauseKind::Restart, Some("/app/sup/a")));
    assert!(cause.to_string().contains("/app/sup/a restarts: "), "{cause}");
    assert!(cause.to_string().contains("a broke"), "{cause}");

    let cause = cause_of_stop(sup().intensity(0, secs(1)).child(a()), async |_| {}).await;
    assert_eq!((cause.kind(), cause.origin()), (CauseKind::Shutdown, Some("/app/sup")));
    let text = cause.to_string();
    assert!(text.contains("/app/sup shuts down: gave up on a: too many restarts"), "{text}");

    let line = line!() + 2;
    let cause = cause_of_stop(sup(), async |handle| {
        handle.terminate("b").await.unwrap();
    });
    let cause = cause.await;
    assert_eq!((cause.kind(), cause.origin()), (CauseKind::Shutdown, Some("/app/sup/b")));
    assert_eq!(cause.location().line(), line, "{cause}");
    let cause = cause_of_stop(sup(), async |handle| handle.restart("b").await.unwrap()).await;
    assert_eq!((cause.kind(), cause.origin()), (CauseKind::Restart, Some("/app/sup/b")));
}

#[tidegate_testkit::test]
async fn any_significant_child_that_finishes_ends_it() {
    let diary = Diary::new();
    let sup = sup()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(diary.child("server", &[Linger(1)]))
        .child(diary.child("x", &[FinishAfter(1)]).restart(Restart::Transient))
        .child(diary.child("a", &[FinishAfter(3)]).restart(Restart::Transient).significant())
        .child(diary.child("b", &[FinishAfter(5)]).restart(Restart::Temporary).significant());
    run(sup, async |_, _| {}).await.unwrap();
    assert_eq!(diary.read(), "0 +server, 0 +x, 0 +a, 0 +b, 1 -x, 3 -a, 3 -b, 4 -server");
}

#[tidegate_testkit::test]
async fn the_last_significant_child_that_finishes_ends_it() {
    let diary = Diary::new();
    let sup = sup()
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(diary.child("server", &[]))
        .child(diary.child("a", &[FinishAfter(3)]).restart(Restart::Transient).significant())
        .child(
            diary
                .child("b", &[FailAfter(2), FinishAfter(3)])
                .restart(Restart::Transient)
                .significant(),
        );
    run(sup, async |_, _| {}).await.unwrap();
    assert_eq!(diary.read(), "0 +server, 0 +a, 0 +b, 2 -b, 2 +b, 3 -a, 5 -b, 5 -server");
}

#[tidegate_testkit::test]
async fn what_is_terminated_by_hand_ends_nothing() {
    let diary = Diary::new();
    let child = diary.child("a", &[]).restart(Restart::Transient).significant();
    let sup = sup().auto_shutdown(AutoShutdown::AnySignificant).child(child);
    let ended = run(sup, async |handle, cx| {
        handle.terminate("a").await.unwrap();
        sleep(secs(5)).await;
        assert!(handle.is_running());
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

/// OTP ends with `shutdown` here, too. An error is not lost.
#[tidegate_testkit::test]
async fn a_significant_child_that_fails_for_good_is_an_error() {
    let diary = Diary::new();
    let sup = sup()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(diary.child("server", &[]))
        .child(diary.child("a", &[FailAfter(1)]).restart(Restart::Temporary).significant());
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    let SupervisorError::Significant(fatal) = &error else { panic!("{error}") };
    assert_eq!(fatal.downcast_ref(), Some(&Broken("a")));
    assert!(error.to_string().starts_with("ended with /app/sup/a: "), "{error}");
    assert_eq!(diary.read(), "0 +server, 0 +a, 1 -a, 1 -server");
}

#[test]
fn significance_that_means_nothing_is_refused() {
    let child = || Diary::new().child("a", &[]).significant();
    let any = || Supervisor::builder("sup").auto_shutdown(AutoShutdown::AnySignificant);
    let error = any().child(child()).build().unwrap_err();
    assert_eq!(error, ConfigError::SignificantPermanent("a".into()));
    let never = Supervisor::builder("sup").child(child().restart(Restart::Transient));
    assert_eq!(never.build().unwrap_err(), ConfigError::SignificantIgnored("a".into()));
    drop(any().child(child().restart(Restart::Transient)).build().unwrap());
}

/// Neither an error nor a panic, nor one of a destructor or of a task of a child.
#[tidegate_testkit::test]
async fn no_failure_of_a_child_fails_the_scope_around_it() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a destructor, on purpose");
        }
    }
    let diary = Diary::new();
    let bomb = ChildSpec::new("bomb", |_: Cx<Infallible>| async {
        let _bomb = Bomb;
        sleep(secs(1)).await;
        Ok(())
    });
    let tasks = ChildSpec::new("tasks", |cx: Cx<Broken>| async move {
        cx.spawn("bad", async { Err::<(), _>(Broken("task")) });
        cx.spawn("worse", async { if true { panic!("on purpose") } else { Ok(()) } });
        Ok(())
    });
    let sup = sup().intensity(100, secs(1)).child(diary.child("a", &[PanicAfter(1)]));
    let sup = sup.child(bomb.restart(Restart::Temporary)).child(tasks.restart(Restart::Temporary));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(2)).await;
        assert!(!cx.is_cancelled() && handle.is_running());
        let history: Vec<_> = handle.history().iter().map(ToString::to_string).collect();
        let ended = |text: &str| history.iter().any(|event| event.contains(text));
        assert!(ended("bomb ended (#2): /app/sup/bomb "), "{history:?}");
        assert!(ended("tasks ended (#3): /app/sup/tasks/bad "), "{history:?}");
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

/// Where panics are raised in the caller of a scope, the supervisor is in between.
#[tidegate_testkit::test]
async fn a_panic_of_a_child_is_raised_nowhere() {
    let diary = Diary::new();
    let task = ChildSpec::new("task", |cx: Cx<Infallible>| async move {
        cx.spawn("worse", async { if true { panic!("on purpose") } else { Ok(()) } });
        Ok(())
    });
    let sup = sup().intensity(1, secs(100)).child(diary.child("a", &[PanicAfter(1)]));
    let sup = sup.child(task.restart(Restart::Temporary)).build().unwrap();
    let app = Scope::builder("app").on_panic(OnPanic::Raise);
    let ended = app.run(async |cx: Cx<SupervisorError>| {
        let running = timeout(secs(5), sup.run(&cx)).await;
        assert!(running.is_err(), "{running:?}");
        Ok(())
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 1 -a, 1 +a, 5 -a");
}

#[tidegate_testkit::test]
async fn a_run_that_is_dropped_aborts_the_children_and_the_scope_around_waits() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Deaf])).child(diary.child("b", &[])).build().unwrap();
    let handle = sup.handle();
    scope("app", async |cx: Cx<Infallible>| {
        assert!(timeout(secs(1), sup.run(&cx)).await.is_err());
        assert!(!handle.is_running());
        assert_eq!(handle.terminate("a").await, Err(ControlError::NotRunning));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(diary.alive(), 0);
    assert_eq!(diary.read(), "0 +a, 0 +b, 1 -b, 1 -a");
}

#[tidegate_testkit::test]
async fn a_supervisor_runs_once_at_a_time_and_may_run_again() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Deaf, Deaf])).build().unwrap();
    scope("app", async |cx: Cx<Infallible>| {
        let (first, second) = tokio::join!(timeout(secs(1), sup.run(&cx)), sup.run(&cx));
        assert!(first.is_err() && matches!(second, Err(SupervisorError::Running)), "{second:?}");
        // What it ran has been told to end, and has not seen that yet.
        assert!(matches!(sup.run(&cx).await, Err(SupervisorError::Running)));
        while diary.alive() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(timeout(secs(1), sup.run(&cx)).await.is_err());
        assert_eq!(sup.handle().child("a").unwrap().incarnation, 2, "numbers go on");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(diary.read(), "0 +a, 1 -a, 1 +a, 2 -a");
}

#[tidegate_testkit::test]
async fn a_supervisor_that_is_aborted_from_above_says_why() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(60)]).stop_grace(secs(60))).build().unwrap();
    let begun = Instant::now();
    let ended = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&ended);
    let app = Scope::builder("app").grace(secs(2)).run(async |cx: Cx<Infallible>| {
        let own = cx.clone();
        cx.spawn("sup", async move {
            let ended = sup.run(&own).await;
            *tell.lock().unwrap() = Some(ended);
            Ok(())
        });
        sleep(secs(1)).await;
        cx.cancel("enough");
        Ok(())
    });
    let error = app.await.unwrap_err();
    assert_eq!(begun.elapsed(), secs(3), "the grace of the scope around is a bound for all");
    let aborted: Vec<_> =
        error.report().aborted().iter().map(|straggler| straggler.task().path()).collect();
    assert!(aborted.contains(&"/app/sup"), "{aborted:?}");
    assert_eq!(diary.alive(), 0);
}

#[tidegate_testkit::test]
async fn without_children_it_waits() {
    let begun = Instant::now();
    let ended = run(sup(), async |_, cx| {
        sleep(secs(100)).await;
        cx.stop("enough");
    });
    ended.await.unwrap();
    assert_eq!(begun.elapsed(), secs(100));
}

/// Blocking code cannot be dropped: it is waited for, as OTP does without a bound, and named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_blocks_is_waited_for_and_named() {
    let (release, blocked) = std::sync::mpsc::sync_channel::<()>(0);
    let blocked = Arc::new(Mutex::new(blocked));
    let begun = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&begun);
    let child = ChildSpec::new("stubborn", move |cx: Cx<Infallible>| {
        let (blocked, tell) = (Arc::clone(&blocked), Arc::clone(&tell));
        async move {
            cx.spawn_blocking("wait", move || {
                tell.notify_one();
                blocked.lock().unwrap().recv().ok();
                Ok(())
            });
            Ok(())
        }
    });
    let sup = sup().child(child.stop_grace(Duration::ZERO));
    let ended = run(sup, async |handle, cx| {
        begun.notified().await;
        cx.cancel("enough");
        while handle.child("stubborn").unwrap().state
            != tidegate_core::supervisor::ChildState::Stopping
        {
            tokio::task::yield_now().await;
        }
        let names: Vec<_> =
            cx.stragglers().iter().map(|straggler| straggler.task().path().to_owned()).collect();
        assert!(names.contains(&"/app/sup/stubborn/wait".to_owned()), "{names:?}");
        assert!(handle.is_running());
        release.send(()).unwrap();
    });
    ended.await.unwrap_err();
}
