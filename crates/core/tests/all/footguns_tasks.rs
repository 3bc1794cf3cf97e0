//! One test for each trap that the field has fallen into: children, their results and their ends.

use crate::scope::{Alive, Broken};
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};
use tidegate_core::{
    App, CauseKind, Cx, Reason, Scope, Supervise, TaskError, WorkKind, inspect::waiting, scope,
};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep},
};

type Never = Result<(), Infallible>;

/// tokio#6664: `JoinSet::join_all` panics if a task was aborted.
#[tidegate_testkit::test]
async fn tokio_6664_joining_an_aborted_task_panics() {
    let tasks = std::sync::Mutex::new(Vec::new());
    let ended = Scope::builder("job").grace(Duration::from_secs(1)).run(async |cx: Cx<Broken>| {
        let deaf = cx.spawn("deaf", pending::<Result<u8, Broken>>());
        let good = cx.spawn("good", async { Ok(7) });
        tasks.lock().unwrap().extend([deaf, good]);
        cx.cancel("enough");
        Ok(())
    });
    assert!(matches!(ended.await.unwrap_err().reason(), Reason::Aborted));
    let mut results = Vec::new();
    for task in tasks.into_inner().unwrap() {
        results.push(task.await);
    }
    assert!(matches!(results[..], [Err(TaskError::Aborted), Ok(7)]), "{results:?}");
}

/// futures-rs#2866: `try_join_all` waits for all of more than 30 futures.
#[tidegate_testkit::test]
async fn futures_rs_2866_many_children_do_not_fail_fast() {
    let begun = Instant::now();
    let error = scope("job", async |cx: Cx<Broken>| {
        for n in 0..100_u64 {
            let own = cx.clone();
            cx.spawn("child", async move {
                if n == 99 {
                    sleep(Duration::from_millis(1)).await;
                    return Err(Broken("the last one"));
                }
                let _ = own.run(sleep(Duration::from_secs(60 + n))).await;
                Ok(())
            });
        }
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("the last one")));
    assert_eq!(begun.elapsed(), Duration::from_millis(1));
}

/// tokio#4534: tasks that were cancelled because another one failed are errors, too.
#[tidegate_testkit::test]
async fn tokio_4534_the_cancelled_are_noise_among_the_failed() {
    let error = Scope::builder("job")
        .grace(Duration::from_secs(1))
        .run(async |cx: Cx<Broken>| {
            for _ in 0..10 {
                let own = cx.clone();
                cx.spawn("polite", async move { Ok(own.cancelled().await) });
                cx.spawn("deaf", pending::<Result<(), Broken>>());
            }
            yield_now().await;
            cx.spawn("bad", async { Err::<(), _>(Broken("no luck")) });
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.reasons().count(), 1, "{error}");
    assert_eq!(error.error(), Some(&Broken("no luck")));
    assert_eq!(error.report().aborted().len(), 10, "only who ignored it is named");
}

/// tokio#4853 and #1923: blocking work cannot be aborted, and is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_4853_blocking_work_is_forgotten_after_an_abort() {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let (let_go, held) = sync_channel::<()>(1);
    scope("outer", async |cx: Cx<Infallible>| {
        let (begun, has_begun) = oneshot::channel();
        let nested = cx.scope("nested", async |cx: Cx<Infallible>| {
            cx.spawn_blocking("deaf", move || {
                begun.send(()).unwrap();
                held.recv().unwrap();
                flag.store(true, Ordering::SeqCst);
                Ok(())
            });
            pending::<Never>().await
        });
        tokio::select! {
            _ = nested => unreachable!("it never ends by itself"),
            begun = has_begun => begun.unwrap(),
        }
        let left = cx.stragglers();
        let left = left.iter().find(|left| left.task().kind() == WorkKind::Blocking).unwrap();
        assert_eq!(left.task().path(), "/outer/nested/deaf");
        let_go.send(()).unwrap();
        Ok(())
    })
    .await
    .unwrap();
    assert!(ended.load(Ordering::SeqCst), "it was waited for");
}

/// The same without an abort: it hears of the cancellation if it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_1923_blocking_work_hears_of_no_cancellation() {
    let cause = scope("job", async |cx: Cx<Infallible>| {
        let (begun, has_begun) = oneshot::channel();
        let own = cx.clone();
        let work = cx.spawn_blocking("loop", move || {
            begun.send(()).unwrap();
            loop {
                if let Err(cause) = own.check() {
                    return Ok(cause);
                }
                std::thread::yield_now();
            }
        });
        has_begun.await.unwrap();
        cx.cancel("enough");
        Ok(work.await.unwrap())
    });
    assert_eq!(cause.await.unwrap().kind(), CauseKind::Explicit);
}

/// tokio-graceful-shutdown#50: "shutdown successful", and the process hangs for 20 s in work
/// that blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gs_50_a_shutdown_is_successful_while_work_blocks() {
    let (let_go, held) = sync_channel::<()>(1);
    let app = App::new("app").grace(Duration::from_millis(1));
    let token = app.token().clone();
    let report = app
        .run(async |cx: Cx<Infallible>| {
            let (begun, has_begun) = oneshot::channel();
            cx.spawn_blocking("lookup", move || {
                begun.send(()).unwrap();
                held.recv().ok();
                Ok(())
            });
            has_begun.await.unwrap();
            token.cancel("lights out");
            Ok(())
        })
        .await;
    assert_ne!(report.exit_code(), 0);
    assert_eq!(report.stuck()[0].task().path(), "/app/lookup");
    assert_eq!(report.stuck()[0].task().kind(), WorkKind::Blocking);
    drop(let_go);
}

/// tokio-graceful-shutdown#55: a shutdown hangs, and nobody can say where.
#[tidegate_testkit::test]
async fn gs_55_a_hang_that_nobody_can_diagnose() {
    let error = Scope::builder("job")
        .grace(Duration::from_secs(1))
        .run(async |cx: Cx<Infallible>| {
            cx.spawn("deaf", async { waiting("a reply", pending::<Never>()).await });
            yield_now().await;
            cx.cancel("enough");
            sleep(Duration::from_millis(500)).await;
            let tree = cx.tree().to_string();
            assert!(tree.contains("deaf") && tree.contains("a reply"), "{tree}");
            Ok(())
        })
        .await
        .unwrap_err();
    let [aborted] = error.report().aborted() else { panic!("{error}") };
    assert_eq!(aborted.task().path(), "/job/deaf");
    assert_eq!(aborted.waits()[0].label(), "a reply");
    assert!(aborted.waits()[0].location().file().ends_with("footguns_tasks.rs"));
}

/// tokio-graceful-shutdown#29 and #32: a program whose work has all ended goes on for ever.
#[tokio::test(start_paused = true)]
async fn gs_29_an_app_without_work_goes_on() {
    let begun = Instant::now();
    let report = App::new("app")
        .run(async |cx: Cx<Infallible>| {
            cx.spawn("job", async {
                sleep(Duration::from_secs(3)).await;
                Ok(())
            });
            Ok(())
        })
        .await;
    assert_eq!((report.exit_code(), begun.elapsed()), (0, Duration::from_secs(3)));
}

/// swift-service-lifecycle#135: what only helps keeps the group alive for ever.
#[tidegate_testkit::test]
async fn swift_lifecycle_135_a_helper_keeps_the_scope_alive() {
    let begun = Instant::now();
    let value = scope("job", async |cx: Cx<Infallible>| {
        cx.every("heartbeat", Duration::from_secs(1), || async { Ok(()) });
        let done = cx.spawn("main", async {
            sleep(Duration::from_millis(2500)).await;
            Ok(())
        });
        done.await.unwrap();
        cx.cancel("done");
        Ok("value")
    });
    assert_eq!(value.await.unwrap(), "value");
    assert_eq!(begun.elapsed(), Duration::from_millis(2500));
}

/// kotlinx.coroutines#4385: supervision ends where a scope of another kind begins.
#[tidegate_testkit::test]
async fn kotlinx_4385_supervision_is_bypassed_by_an_inner_scope() {
    let jobs = Scope::builder("jobs").policy(Supervise);
    let (done, report) = jobs
        .run_with_report(async |cx: Cx<&'static str>| {
            let own = cx.clone();
            let bad = cx.spawn("bad", async move {
                let inner = own.scope("inner", async |cx: Cx<&'static str>| {
                    cx.spawn("leaf", async { Err::<(), _>("leaf") });
                    pending::<Result<(), _>>().await
                });
                // It fails fast: its body is dropped at the end of the grace period.
                inner.await.map_err(|error| *error.error().unwrap())
            });
            let good = cx.spawn("good", async {
                sleep(Duration::from_secs(60)).await;
                Ok(())
            });
            assert!(matches!(bad.await, Err(TaskError::Failed(_))));
            assert!(!cx.is_cancelled());
            good.await.unwrap();
            Ok(())
        })
        .await;
    assert!(done.is_ok());
    assert_eq!(report.tolerated().len(), 1);
}

/// `abort()` only asks: whoever goes on then goes on beside the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_only_schedules() {
    let alive = Arc::new(AtomicUsize::new(0));
    let guard = Alive::new(&alive);
    let (polled, is_polled) = sync_channel(1);
    let (let_go, held) = sync_channel::<()>(1);
    let outer = tokio::time::timeout(
        Duration::from_secs(60),
        scope("outer", async |cx: Cx<Infallible>| {
            let nested = cx.scope("nested", async |cx: Cx<Infallible>| {
                cx.spawn("busy", async move {
                    let _guard = guard;
                    polled.send(()).unwrap();
                    // A poll that takes its time, and an abort in the middle of it.
                    tokio::task::block_in_place(|| held.recv().unwrap());
                    pending::<Never>().await
                });
                pending::<Never>().await
            });
            let begun = async { tokio::task::block_in_place(|| is_polled.recv().unwrap()) };
            tokio::select! {
                biased;
                _ = nested => unreachable!("it never ends by itself"),
                () = begun => {}
            }
            assert_eq!(alive.load(Ordering::SeqCst), 1, "the abort is a request");
            let_go.send(()).unwrap();
            Ok(())
        }),
    );
    outer.await.unwrap().unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0, "and the scope waits for it");
}

/// The destructor of an aborted task blocks: that is a part of the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_destructor_of_an_aborted_task_blocks() {
    struct Blocks(std::sync::mpsc::Receiver<()>, oneshot::Receiver<()>, Arc<AtomicBool>);
    impl Drop for Blocks {
        fn drop(&mut self) {
            self.1.close();
            tokio::task::block_in_place(|| self.0.recv().ok());
            self.2.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let (let_go, held) = sync_channel::<()>(1);
    let ended = Scope::builder("job").grace(Duration::ZERO).run(async move |cx: Cx<Infallible>| {
        let (mut tell, told) = oneshot::channel();
        let blocks = Blocks(held, told, flag);
        cx.spawn("deaf", async move {
            let _blocks = blocks;
            pending::<Never>().await
        });
        cx.cancel("enough");
        tell.closed().await;
        let_go.send(()).unwrap();
        Ok(())
    });
    // The body, which lets go, may be aborted first: its end of the channel is dropped then.
    drop(ended.await);
    assert!(dropped.load(Ordering::SeqCst));
}

/// Join from inside a child: it would wait for itself for ever.
#[tokio::test]
async fn join_from_inside_a_child() {
    scope("job", async |cx: Cx<Infallible>| {
        let (give, given) = oneshot::channel::<tidegate_core::Task<bool, Infallible>>();
        let child = cx.spawn("child", async move {
            let own = given.await.unwrap();
            Ok(matches!(own.await, Err(TaskError::Itself)))
        });
        give.send(child).unwrap();
        Ok(())
    })
    .await
    .unwrap();
}
