//! One test for each trap that the field has fallen into: trees of scopes, what reaches what in
//! them, and locks.

use crate::scope::{Alive, Broken};
use std::{
    convert::Infallible,
    future::{pending, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{CancelToken, CauseKind, Cx, Scope, join_orphans, orphans, scope};
use tidegate_testkit::{LeakGuard, Rng, Seed, scale};
use tokio::{runtime::Runtime, sync::oneshot, task::yield_now, time::sleep};

type Never = Result<(), Infallible>;

fn depth() -> usize {
    usize::try_from(scale(10_000)).unwrap()
}

/// tokio#5249: nobody knows why it was cancelled.
#[tokio::test]
async fn tokio_5249_a_cancellation_without_a_cause() {
    let line = line!() + 2;
    let error = scope("job", async |cx: Cx<Broken>| {
        cx.spawn("bad", async { Err::<(), _>(Broken("no luck")) });
        let nested = cx.scope("nested", async |cx: Cx<Broken>| Ok(cx.cancelled().await));
        let nested = nested.await.unwrap_err();
        let cause = nested.cause().unwrap();
        assert_eq!((cause.kind(), cause.origin()), (CauseKind::ChildFailed, Some("/job/bad")));
        assert_eq!(cause.location().line(), line);
        assert_eq!(cause.downcast_ref::<Broken>(), Some(&Broken("no luck")));
        Ok(())
    });
    assert_eq!(error.await.unwrap_err().error(), Some(&Broken("no luck")));
}

/// OpenSearch#21924: an unbiased choice between the cancellation and the work is a flaky error.
#[tokio::test]
async fn opensearch_21924_an_unbiased_select_is_flaky() {
    for _ in 0..100 {
        scope("job", async |cx: Cx<Infallible>| {
            cx.cancel("enough");
            assert!(cx.run(ready(())).await.is_err());
            assert!(cx.token().shield(Duration::from_secs(1), ready(())).await.is_ok());
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// elfo#57 and murmer#6: a choice that prefers one side starves the other.
#[tokio::test]
async fn elfo_57_a_biased_select_starves_the_work() {
    scope("job", async |cx: Cx<Infallible>| {
        // The token is looked at before each poll of the work, which comes on all the same.
        let mut polls = 0;
        let work = async {
            while polls < 1_000 {
                cx.stop("asked again and again");
                yield_now().await;
                polls += 1;
            }
        };
        cx.run(work).await.unwrap();
        assert_eq!(polls, 1_000);
        Ok(())
    })
    .await
    .unwrap();
}

/// kotlinx.coroutines#830 and #2469: the timeout of an inner scope looks like a cancellation of
/// the outer one, which ends without a word.
#[tidegate_testkit::test]
async fn kotlinx_830_an_inner_timeout_cancels_the_outer_scope() {
    let value = scope("outer", async |cx: Cx<Infallible>| {
        let inner = Scope::builder("inner").parent(&cx).timeout(Duration::from_secs(1));
        let error = inner.run(async |cx: Cx<Infallible>| Ok(cx.cancelled().await));
        let error = error.await.unwrap_err();
        let cause = error.cause().unwrap();
        assert_eq!(cause.kind(), CauseKind::DeadlineExceeded);
        assert_eq!(cause.origin(), Some("/outer/inner"), "whose time it was");
        assert!(!cx.is_cancelled());
        Ok(cx.run(ready("value")).await.unwrap())
    });
    assert_eq!(value.await.unwrap(), "value");
}

/// kotlinx.coroutines#4382: the same the other way round. The inner scope has time left, and is
/// told that it ran out.
#[tidegate_testkit::test]
async fn kotlinx_4382_an_outer_timeout_is_taken_for_the_inner_one() {
    let outer = Scope::builder("outer").timeout(Duration::from_secs(1));
    let outer = outer.run(async |cx: Cx<Infallible>| {
        let inner = Scope::builder("inner").parent(&cx).timeout(Duration::from_secs(2));
        let error = inner.run(async |cx: Cx<Infallible>| Ok(cx.cancelled().await));
        let error = error.await.unwrap_err();
        assert_eq!(error.cause().unwrap().origin(), Some("/outer"));
        Ok(())
    });
    assert_eq!(outer.await.unwrap_err().cause().unwrap().origin(), Some("/outer"));
}

tokio::task_local! {
    static LOCAL: u32;
}

/// tokio#2396: what a task knows its children do not. tokio#6659 and rustango#1381: if they know
/// all of it, they know too much.
#[tokio::test]
async fn tokio_2396_children_inherit_nothing_or_everything() {
    struct User(u32);
    let request = Scope::builder("request").value(User(7));
    let seen = LOCAL.scope(1, async {
        let seen = request.run(async |cx: Cx<Infallible>| {
            let own = cx.clone();
            let child = cx.spawn("child", async move {
                let nested = own.scope("nested", async |cx: Cx<Infallible>| {
                    let own = cx.clone();
                    let leaf = cx.spawn("leaf", async move {
                        Ok((own.value::<User>().map(|user| user.0), LOCAL.try_get().ok()))
                    });
                    Ok(leaf.await.unwrap())
                });
                Ok(nested.await.unwrap())
            });
            Ok(child.await.unwrap())
        });
        seen.await.unwrap()
    });
    assert_eq!(seen.await, (Some(7), None), "what was handed down, and nothing else");
}

/// narwhal#379: a destructor that waits deadlocks the only thread there is.
#[tokio::test]
async fn narwhal_379_blocking_in_a_destructor_deadlocks() {
    let leaks = LeakGuard::current();
    let alive = Arc::new(AtomicUsize::new(0));
    let guard = Alive::new(&alive);
    let mut running = Box::pin(scope("job", async |cx: Cx<Infallible>| {
        cx.spawn("child", async move {
            let _guard = guard;
            pending::<Never>().await
        });
        pending::<Never>().await
    }));
    crate::losses::poll_once(&mut running).await;
    // Returns at once, though the child cannot have ended: nobody but this task has run.
    drop(running);
    assert_eq!((alive.load(Ordering::SeqCst), orphans()), (1, 1));
    join_orphans().await;
    assert_eq!((alive.load(Ordering::SeqCst), orphans()), (0, 0));
    leaks.verify(Duration::from_secs(5)).await.unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// A scope used from another runtime: its children run there, and belong to it all the same.
#[test]
fn a_scope_used_from_another_runtime() {
    let (own, foreign) = (runtime(), runtime());
    let alive = Arc::new(AtomicUsize::new(0));
    let error = own.block_on(Scope::builder("job").grace(Duration::from_millis(1)).run(
        async |cx: Cx<Infallible>| {
            let guards = [Alive::new(&alive), Alive::new(&alive)];
            let entered = foreign.enter();
            for (name, guard) in ["one", "two"].into_iter().zip(guards) {
                cx.spawn(name, async move {
                    let _guard = guard;
                    yield_now().await;
                    sleep(Duration::from_secs(3600)).await;
                    Ok(())
                });
            }
            drop(entered);
            yield_now().await;
            cx.cancel("enough");
            Ok(())
        },
    ));
    let aborted = error.unwrap_err().report().aborted().len();
    assert_eq!((aborted, alive.load(Ordering::SeqCst)), (2, 0));
    drop(foreign);
}

/// The runtime of some children is shut down: they have ended by that.
#[test]
fn the_foreign_runtime_of_a_child_is_shut_down() {
    let (own, foreign) = (runtime(), runtime());
    let foreign = Mutex::new(Some(foreign));
    let error = own.block_on(scope("job", async |cx: Cx<Infallible>| {
        let runtime = foreign.lock().unwrap().take().unwrap();
        let entered = runtime.enter();
        let task = cx.spawn("child", pending::<Never>());
        drop(entered);
        runtime.shutdown_background();
        assert!(matches!(task.await, Err(tidegate_core::TaskError::Aborted)));
        Ok(())
    }));
    assert_eq!(error.unwrap_err().report().aborted().len(), 1);
}

/// The slab lock of a scope is held while a user's future is dropped, which uses the scope.
#[tidegate_testkit::test]
async fn dropping_a_user_future_under_the_slab_lock_deadlocks() {
    struct UsesScope(Cx<Infallible>, Arc<Mutex<Vec<usize>>>);
    impl Drop for UsesScope {
        fn drop(&mut self) {
            self.0.spawn("late", async { Ok(()) });
            self.0.cancel("again");
            let seen = [self.0.live(), self.0.stragglers().len(), self.0.tree().work().len()];
            self.1.lock().unwrap().push(seen.into_iter().min().unwrap());
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let error = Scope::builder("job")
        .grace(Duration::from_secs(1))
        .run(async |cx: Cx<Infallible>| {
            for _ in 0..3 {
                let uses = UsesScope(cx.clone(), Arc::clone(&seen));
                cx.spawn("deaf", async move {
                    let _uses = uses;
                    pending::<Never>().await
                });
            }
            yield_now().await;
            // A value that nobody takes, and a callback that is never called.
            let (value, callback) = (cx.clone(), cx.clone());
            let value = UsesScope(value, Arc::clone(&seen));
            cx.spawn("value", async move { Ok(value) });
            let callback = UsesScope(callback, Arc::clone(&seen));
            drop(cx.token().on_cancel(move |_| drop(callback)));
            yield_now().await;
            Ok(())
        })
        .await
        .unwrap_err();
    // The value's destructor cancelled the scope.
    assert_eq!(error.report().aborted().len(), 3);
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 5 && seen.iter().all(|seen| *seen > 0), "{seen:?}");
}

/// A panic in foreign code poisons a lock of std, and every later use panics, too.
#[tidegate_testkit::test]
async fn std_mutex_poisoning_spreads() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "from a destructor");
        }
    }
    #[derive(Debug)]
    struct Unshowable;
    impl std::fmt::Display for Unshowable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("from Display")
        }
    }
    let token = CancelToken::new();
    let job = Scope::builder("job").on_error(tidegate_core::OnError::Collect { max: 9 });
    let error = job
        .run(async |cx: Cx<Unshowable>| {
            token.on_cancel(|_| panic!("from a callback")).keep();
            cx.spawn("error", async { Err::<(), _>(Unshowable) });
            cx.spawn::<(), _>("panic", async { panic!("from a child") });
            cx.spawn("value", async { Ok(Panics) });
            cx.spawn("future", async {
                let _panics = Panics;
                Ok(())
            });
            sleep(Duration::from_secs(1)).await;
            assert!(token.cancel("now"));
            assert!(token.child().is_cancelled());
            assert_eq!(cx.spawn("after", async { Ok(7) }).await.unwrap(), 7);
            assert_eq!((cx.live(), cx.stragglers().len()), (0, 1));
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.reasons().count(), 4);
}

type Step = Pin<Box<dyn Future<Output = Never> + Send>>;

/// A child that opens a nested scope with a child that does the same, and so on down.
fn chain(cx: Cx<Infallible>, left: usize, leaf: oneshot::Sender<CancelToken>) -> Step {
    Box::pin(async move {
        let nested = cx.scope("s", async move |cx: Cx<Infallible>| {
            if left == 0 {
                leaf.send(cx.token().clone()).unwrap();
            } else {
                cx.spawn("t", chain(cx.clone(), left - 1, leaf));
            }
            cx.cancelled().await;
            Ok(())
        });
        drop(nested.await);
        Ok(())
    })
}

/// The last of ten thousand scopes, each run by a child of the one above, hears of a cancellation
/// at once, and all of them end.
#[tidegate_testkit::test]
async fn recursive_cancel_of_deep_scopes_overflows_the_stack() {
    scope("root", async |cx: Cx<Infallible>| {
        let (tell, told) = oneshot::channel();
        cx.spawn("t", chain(cx.clone(), depth(), tell));
        let leaf = told.await.unwrap();
        assert!(!leaf.is_cancelled());
        cx.cancel("from the top");
        assert!(leaf.is_cancelled(), "at once");
        Ok(())
    })
    .await
    .unwrap();
}

/// The same dropped at the top: each level is aborted, and joined by the one above.
#[tidegate_testkit::test]
async fn recursive_drop_of_deep_scopes_overflows_the_stack() {
    let depth = depth();
    let (result, report) = Scope::builder("root")
        .run_with_report(async |cx: Cx<Infallible>| {
            let (tell, told) = oneshot::channel();
            let top = cx.scope("top", async move |cx: Cx<Infallible>| {
                cx.spawn("t", chain(cx.clone(), depth, tell));
                pending::<Never>().await
            });
            let leaf = tokio::select! {
                biased;
                _ = top => unreachable!("it never ends by itself"),
                leaf = told => leaf.unwrap(),
            };
            assert_eq!(leaf.cause().unwrap().kind(), CauseKind::ScopeDropped);
            Ok(())
        })
        .await;
    result.unwrap();
    assert_eq!(report.adopted().len() + report.adopted_more(), depth + 1);
}

/// How long it takes to drop so many nested scopes of one parent, each with a child, in a random
/// order.
async fn drop_siblings(count: usize, rng: &mut Rng) -> Duration {
    let (result, report) = Scope::builder("parent")
        .run_with_report(async |cx: Cx<Infallible>| {
            let mut siblings = Vec::new();
            for _ in 0..count {
                let nested = cx.scope("nested", async |cx: Cx<Infallible>| {
                    cx.spawn("child", pending::<Never>());
                    pending::<Never>().await
                });
                let mut nested = Box::pin(nested);
                crate::losses::poll_once(&mut nested).await;
                siblings.push(nested);
            }
            assert_eq!(cx.live(), count);
            #[expect(clippy::disallowed_methods, reason = "what it costs in real time")]
            let begun = std::time::Instant::now();
            while !siblings.is_empty() {
                let index = usize::try_from(rng.below(siblings.len() as u64)).unwrap();
                drop(siblings.swap_remove(index));
            }
            Ok(begun)
        })
        .await;
    let took = result.unwrap().elapsed();
    assert_eq!(report.adopted().len() + report.adopted_more(), count);
    took
}

/// Ten times as many siblings take ten times as long to drop, give or take, and not a hundred.
#[tidegate_testkit::test]
async fn ten_thousand_scopes_dropped_in_random_order_are_quadratic() {
    let seed = Seed::from_env_or_new("sibling_scopes");
    println!("seed={seed}");
    let mut rng = seed.rng();
    // The best of some: whatever else the machine does takes time, and gives none.
    let mut ratio = f64::MAX;
    for _ in 0..5 {
        let few = drop_siblings(depth() / 10, &mut rng).await;
        let many = drop_siblings(depth(), &mut rng).await;
        ratio = ratio.min(many.as_secs_f64() / few.as_secs_f64());
        if ratio < 40.0 {
            return;
        }
    }
    panic!("ten times as many take {ratio} times as long");
}
