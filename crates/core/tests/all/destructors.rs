//! Destructors are user code too: they belong to their child, and what goes wrong in them is told.

use crate::{
    caught::caught,
    losses::poll_once,
    scope::{Alive, Broken},
};
use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tidegate_core::{Cx, Reason, Scope, scope};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_outlives_its_scope() {
    let alive = Arc::new(AtomicUsize::new(0));
    for round in 0..tidegate_testkit::scale(500) {
        scope("job", async |cx: Cx<Broken>| {
            for _ in 0..4 {
                let guard = Alive::new(&alive);
                cx.spawn("task", async move { Ok(guard) });
                let guard = Alive::new(&alive);
                cx.spawn_blocking("blocking", move || Ok(guard));
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0, "round {round}");
    }
}

#[tokio::test]
async fn a_panic_in_the_destructor_of_a_value_is_lost() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from a destructor");
        }
    }
    let error = scope("job", async |cx: Cx<Broken>| {
        cx.spawn("bad", async { Ok(Bomb) });
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("{error}") };
    assert_eq!((panic.task().path(), panic.message()), ("/job/bad", "from a destructor"));
}

/// A future that is boxed when it is spawned, since it is large, ends as any other does.
#[tokio::test]
async fn a_large_future_leaves_what_it_owns_behind() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from a large future");
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let error = scope("job", async |cx: Cx<Broken>| {
        let (guard, large) = (Alive::new(&alive), [7_u8; 8192]);
        let sum = cx.spawn("large", async move {
            let _guard = guard;
            tokio::task::yield_now().await;
            Ok(large.iter().map(|byte| u32::from(*byte)).sum::<u32>())
        });
        assert_eq!(sum.await.unwrap(), 7 * 8192);
        assert_eq!(alive.load(Ordering::SeqCst), 0, "dropped before the end is told");
        let bomb = Bomb;
        cx.spawn("bad", async move {
            tokio::task::yield_now().await;
            drop((bomb, large));
            Ok(())
        });
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("{error}") };
    assert_eq!((panic.task().path(), panic.message()), ("/job/bad", "from a large future"));
}

/// Panics when it is dropped, but not for a second time.
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "from a destructor");
    }
}

#[tokio::test]
async fn a_destructor_that_panics_hides_the_error_of_its_task() {
    struct Failing {
        _trap: Trap,
    }
    impl Future for Failing {
        type Output = Result<(), Broken>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Err(Broken("disk full")))
        }
    }
    let error = scope("job", async |cx: Cx<Broken>| {
        cx.spawn("bad", Failing { _trap: Trap });
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&Broken("disk full")));
    assert!(matches!(error.report().also(), [Reason::Panicked(_)]), "{error}");
}

/// A runtime with one blocking thread, which is busy until the sender is dropped or used.
fn busy_runtime() -> (tokio::runtime::Runtime, std::sync::mpsc::SyncSender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (busy, wait) = std::sync::mpsc::sync_channel::<()>(0);
    drop(runtime.spawn_blocking(move || wait.recv()));
    (runtime, busy)
}

#[test]
fn the_destructor_of_blocking_work_that_never_ran_panics_unheard() {
    let (runtime, busy) = busy_runtime();
    let error = runtime.block_on(Scope::builder("job").grace(Duration::ZERO).run(
        async move |cx: Cx<Broken>| {
            let trap = Trap;
            cx.spawn_blocking("never run", move || {
                let _trap = trap;
                Ok(())
            });
            cx.cancel("enough");
            // The thread comes free when the body is dropped, which is after the abort.
            let _busy = busy;
            pending::<Result<(), Broken>>().await
        },
    ));
    let error = error.unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("{error}") };
    assert_eq!(panic.message(), "from a destructor");
    assert_eq!(panic.task().path(), "/job/never run");
}

/// Says when it is dropped, and whether it was still on record then.
struct Guard(Cx<Broken>, Arc<Mutex<Vec<bool>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0.live() > 0);
    }
}

#[test]
fn blocking_work_dropped_with_its_runtime_outlives_its_record() {
    let (runtime, busy) = busy_runtime();
    let drops = Arc::new(Mutex::new(Vec::new()));
    let guard = Arc::clone(&drops);
    let mut running = Box::pin(scope("job", async move |cx: Cx<Broken>| {
        let guard = Guard(cx.clone(), guard);
        cx.spawn_blocking("never run", move || {
            let _guard = guard;
            Ok(())
        });
        pending::<Result<(), Broken>>().await
    }));
    runtime.block_on(poll_once(&mut running));
    runtime.shutdown_background();
    drop(busy);
    while drops.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(*drops.lock().unwrap(), [true], "the record went before the work");
}

/// A stack of 2^60 bytes is something no system has.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
#[test]
fn blocking_work_without_a_thread_holds_its_scope_open() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .thread_stack_size(1 << 60)
        .build()
        .unwrap();
    let alive = Arc::new(());
    let guard = Arc::clone(&alive);
    let running = caught(scope("job", async move |cx: Cx<Broken>| {
        cx.spawn_blocking("no thread", move || {
            drop(guard);
            Ok(())
        });
        Ok(())
    }));
    let panic = runtime.block_on(running).unwrap_err();
    assert!(panic.contains("spawn worker thread"), "{panic}");
    assert_eq!(Arc::strong_count(&alive), 1, "the work is still in the queue");
}
