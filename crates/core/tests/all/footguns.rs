//! One test for each trap that the field has fallen into.

use crate::scope::Alive;
use std::{
    convert::Infallible,
    future::pending,
    panic::panic_any,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};
use tidegate_core::{CancelToken, CauseKind, Cx, Reason, Scope, TaskError, scope};
use tidegate_testkit::scale;

type Never = Result<(), Infallible>;

fn depth() -> usize {
    usize::try_from(scale(10_000)).unwrap()
}

#[test]
fn recursive_drop_of_deep_token_trees_overflows_the_stack() {
    let root = CancelToken::new();
    let mut chain = vec![root.clone()];
    for depth in 0..depth() {
        chain.push(chain[depth].child());
    }
    let leaf = chain.pop().unwrap();
    drop(chain);
    root.cancel("cancelling must not recurse either");
    assert!(leaf.is_cancelled());
    drop(root);
    drop(leaf);
}

#[test]
fn ten_thousand_siblings_dropped_in_random_order() {
    let seed = tidegate_testkit::Seed::from_env_or_new("siblings");
    println!("seed={seed}");
    let mut rng = seed.rng();
    let root = CancelToken::new();
    let mut children: Vec<_> = (0..depth()).map(|_| root.child()).collect();
    while !children.is_empty() {
        let index = usize::try_from(rng.below(children.len() as u64)).unwrap();
        children.swap_remove(index);
    }
    assert!(root.cancel("still works"));
}

/// tokio#8556: a waker that uses the token it waits for.
#[test]
fn tokio_8556_waking_under_the_lock_deadlocks() {
    struct Reentrant(CancelToken, Mutex<Option<CancelToken>>);
    impl Wake for Reentrant {
        fn wake(self: Arc<Self>) {
            assert!(self.0.cause().is_some());
            *self.1.lock().unwrap() = Some(self.0.child());
        }
    }
    let token = CancelToken::new();
    let reentrant = Arc::new(Reentrant(token.clone(), Mutex::default()));
    let waker = Waker::from(Arc::clone(&reentrant));
    let mut waiting = pin!(token.cancelled());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    token.cancel("now");
    assert!(reentrant.1.lock().unwrap().as_ref().unwrap().is_cancelled());
}

/// A waker whose destructor uses the token, dropped while its future is.
#[test]
fn a_wakers_destructor_under_the_lock_deadlocks() {
    struct OnDrop(CancelToken);
    impl Wake for OnDrop {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for OnDrop {
        fn drop(&mut self) {
            drop(self.0.child());
        }
    }
    let token = CancelToken::new();
    let waker = Waker::from(Arc::new(OnDrop(token.clone())));
    let mut waiting = Box::pin(token.cancelled());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(waiting);
}

#[tokio::test]
async fn a_panic_payload_whose_drop_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from the payload's destructor");
        }
    }
    let error = scope("job", async |cx| {
        cx.spawn("bomb", async {
            panic_any(Bomb);
            #[expect(unreachable_code, reason = "it gives the child its type")]
            Never::Ok(())
        });
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("not a panic: {error}") };
    assert_eq!(panic.message(), "(the payload is not a string)");
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "from a destructor");
    }
}

#[tidegate_testkit::test]
async fn the_destructor_of_an_aborted_task_panics() {
    let error = scope("job", async |cx| {
        cx.spawn("deaf", async {
            let _trap = PanicsOnDrop;
            pending::<Never>().await
        });
        tokio::task::yield_now().await;
        cx.cancel("enough");
        Ok(())
    })
    .await
    .unwrap_err();
    let Reason::Panicked(panic) = error.reason() else { panic!("not a panic: {error}") };
    assert_eq!(panic.message(), "from a destructor");
}

#[tokio::test]
async fn the_destructor_of_a_finished_task_panics() {
    struct Finished(PanicsOnDrop);
    impl Future for Finished {
        type Output = Never;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> std::task::Poll<Never> {
            assert_eq!(size_of_val(&self.0), 0);
            std::task::Poll::Ready(Ok(()))
        }
    }
    let error = scope("job", async |cx| {
        cx.spawn("trap", Finished(PanicsOnDrop));
        Ok(())
    })
    .await
    .unwrap_err();
    assert!(matches!(error.reason(), Reason::Panicked(_)), "{error}");
}

#[tokio::test]
async fn spawn_after_close() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let escaped = scope("job", async |cx: Cx<Infallible>| Ok(cx)).await.unwrap();
    let alive = Alive::new(&dropped);
    let task = escaped.spawn("late", async move {
        let _alive = alive;
        Ok(())
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "the refused future is dropped at once");
    let Err(TaskError::Cancelled(cause)) = task.await else { panic!("it ran") };
    assert_eq!(cause.kind(), CauseKind::ScopeClosed);
    let Err(TaskError::Cancelled(_)) = escaped.spawn_blocking("late", || Ok(())).await else {
        panic!("it ran")
    };
    let nested = escaped.scope("late", async |_: Cx<Infallible>| Ok(())).await;
    assert!(matches!(nested.unwrap_err().reason(), Reason::Cancelled(_)));
}

/// swift#38072: a child spawned while its scope is being cancelled.
#[tokio::test]
async fn spawn_during_cancel_is_born_cancelled() {
    scope("job", async |cx: Cx<Infallible>| {
        cx.cancel("enough");
        let own = cx.clone();
        let seen = cx.spawn("born", async move { Ok(own.is_cancelled()) }).await.unwrap();
        assert!(seen);
        let nested = cx.scope("nested", async |cx: Cx<Infallible>| Ok(cx.is_cancelled())).await;
        assert!(matches!(nested.unwrap_err().reason(), Reason::Cancelled(_)));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn abort_of_a_never_polled_task() {
    let alive = Arc::new(AtomicUsize::new(0));
    let guard = Alive::new(&alive);
    let error = Scope::builder("job")
        .grace(Duration::ZERO)
        .run(async |cx: Cx<Infallible>| {
            // On this single-threaded runtime nothing is polled before the body awaits.
            drop(cx.scope("nested", async |_: Cx<Infallible>| Ok(())));
            cx.spawn("never polled", async move {
                let _guard = guard;
                pending::<Never>().await
            });
            cx.cancel("enough");
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(error.report().aborted().len(), 1);
}

#[test]
fn runtime_shut_down_mid_scope() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let alive = Arc::new(AtomicUsize::new(0));
    let guard = Alive::new(&alive);
    let mut running = Box::pin(scope("job", async move |cx: Cx<Infallible>| {
        cx.spawn("child", async move {
            let _guard = guard;
            pending::<Never>().await
        });
        pending::<Never>().await
    }));
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = &mut running => unreachable!("it never ends by itself"),
            () = tokio::task::yield_now() => {}
        }
    });
    drop(runtime);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    // Cleaning up needs no runtime.
    drop(running);
}

/// tokio's `JoinSet` forgets its children when it is dropped: nobody waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_set_forgets_children_when_dropped() {
    let alive = Arc::new(AtomicUsize::new(0));
    let outer = scope("outer", async |cx: Cx<&str>| {
        let nested = cx.scope("nested", async |cx: Cx<Infallible>| {
            for _ in 0..8 {
                let guard = Alive::new(&alive);
                cx.spawn("child", async move {
                    let _guard = guard;
                    pending::<Never>().await
                });
            }
            pending::<Never>().await
        });
        let mut nested = Box::pin(nested);
        std::future::poll_fn(|cx| {
            let _ = nested.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        drop(nested);
        Err::<(), _>("to see the report")
    })
    .await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(outer.unwrap_err().report().adopted().len(), 8);
}

/// hickory#1809: a set that grows until somebody joins.
#[tokio::test]
async fn hickory_1809_records_pile_up_without_a_join() {
    scope("server", async |cx: Cx<Infallible>| {
        for _ in 0..1_000 {
            cx.spawn("request", async { Ok(()) });
            tokio::task::yield_now().await;
            assert!(cx.live() <= 1, "ended children leave nothing behind");
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// go#53757: a panic that is only seen when somebody joins.
#[tidegate_testkit::test]
async fn go_53757_a_panic_is_hidden_until_the_join() {
    let begun = tokio::time::Instant::now();
    let error = scope("job", async |cx: Cx<Infallible>| {
        cx.spawn::<(), _>("bad", async { panic!("at once") });
        let cause = cx.cancelled().await;
        assert_eq!(cause.kind(), CauseKind::ChildPanicked);
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(matches!(error.reason(), Reason::Panicked(_)));
}
