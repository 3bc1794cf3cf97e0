use crate::scope::Alive;
use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};
use tidegate_core::{CancelToken, Cx, Scope, TaskError, TrySpawnError, inspect::WorkState};
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep},
};

type Never = Result<(), Infallible>;

async fn until(end: Arc<Notify>) -> Never {
    end.notified().await;
    Ok(())
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// How many run at once, and how many did at most.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    async fn join(&self, time: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        sleep(time).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tidegate_testkit::test]
async fn so_many_children_run_at_once_in_the_order_they_were_spawned() {
    let begun = Instant::now();
    let (crowd, order) = (Arc::new(Crowd::default()), Arc::new(Mutex::new(Vec::new())));
    Scope::builder("job")
        .limit(3)
        .run(async |cx: Cx<Infallible>| {
            for n in 0..10 {
                let (crowd, order) = (Arc::clone(&crowd), Arc::clone(&order));
                cx.spawn("child", async move {
                    order.lock().unwrap().push(n);
                    crowd.join(secs(1)).await;
                    Ok(())
                });
            }
            assert_eq!(cx.live(), 10);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(crowd.most.load(Ordering::SeqCst), 3);
    assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(begun.elapsed(), secs(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_panics_and_dropped_handles_give_their_slots_back() {
    let crowd = Arc::new(Crowd::default());
    let (result, report) = Scope::builder("job")
        .limit(2)
        .policy(tidegate_core::Supervise)
        .run_with_report(async |cx: Cx<usize>| {
            for n in 0..100 {
                let crowd = Arc::clone(&crowd);
                let child = cx.spawn_in_turn("child", async move {
                    crowd.join(Duration::ZERO).await;
                    assert_ne!(n % 3, 0, "deliberate");
                    if n % 3 == 1 { Err(n) } else { Ok(()) }
                });
                assert!(child.await.is_ok());
            }
            Ok(())
        })
        .await;
    assert!(result.is_ok());
    assert_eq!(report.tolerated().len() + report.tolerated_more(), 67);
    assert_eq!(crowd.most.load(Ordering::SeqCst), 2);
}

#[tidegate_testkit::test]
async fn who_waits_when_the_scope_is_cancelled_is_dropped_unrun_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let (result, report) = Scope::builder("job")
        .limit(1)
        .run_with_report(async |cx: Cx<Infallible>| {
            let own = cx.clone();
            let first = cx.spawn("first", async move {
                own.cancelled().await;
                sleep(secs(1)).await;
                Ok(())
            });
            let waiting = [(); 3].map(|()| {
                let guard = Alive::new(&alive);
                cx.spawn("waits", async move {
                    drop(guard);
                    pending::<Never>().await
                })
            });
            yield_now().await;
            cx.cancel("enough");
            for task in waiting {
                let Err(TaskError::Cancelled(cause)) = task.await else { panic!("it ran") };
                assert!(cause.to_string().contains("enough"));
            }
            assert_eq!((alive.load(Ordering::SeqCst), begun.elapsed()), (0, Duration::ZERO));
            let late = cx.spawn("late", pending::<Never>());
            assert!(matches!(late.await, Err(TaskError::Cancelled(_))));
            first.await.unwrap();
            // There is a slot, and nobody before it: it starts, and sees the cancellation.
            let own = cx.clone();
            assert!(cx.spawn("last", async move { Ok(own.is_cancelled()) }).await.unwrap());
            Ok(())
        })
        .await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(report.refused(), 4);
    assert_eq!(begun.elapsed(), secs(1));
}

#[tidegate_testkit::test]
async fn who_waits_when_the_scope_aborts_is_dropped_unrun() {
    let alive = Arc::new(AtomicUsize::new(0));
    let outer = Scope::builder("outer").run_with_report(async |cx: Cx<Infallible>| {
        let job = Scope::builder("job").parent(&cx).limit(1).run(async |cx: Cx<Infallible>| {
            for _ in 0..3 {
                let guard = Alive::new(&alive);
                cx.spawn("child", async move {
                    let _guard = guard;
                    pending::<Never>().await
                });
            }
            pending::<Never>().await
        });
        assert!(tokio::time::timeout(secs(1), job).await.is_err());
        Ok(())
    });
    let (result, _) = outer.await;
    assert!(result.is_ok());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn try_spawn_hands_the_future_back() {
    let end = Arc::new(Notify::new());
    let mut escaped = None;
    Scope::builder("job")
        .limit(1)
        .run(async |cx: Cx<Infallible>| {
            let ended = Arc::clone(&end);
            let first = cx.try_spawn("first", until(ended)).unwrap();
            let refused = cx.try_spawn("second", async { Ok(7) }).unwrap_err();
            assert_eq!(refused.to_string(), "not spawned: all slots of the scope are taken");
            assert_eq!(refused.into_future().await.unwrap(), 7);
            let waiting = cx.spawn("third", async { Ok(()) });
            yield_now().await;
            end.notify_one();
            first.await.unwrap();
            waiting.await.unwrap();
            assert_eq!(cx.try_spawn("fourth", async { Ok(8) }).unwrap().await.unwrap(), 8);
            escaped = Some(cx);
            Ok(())
        })
        .await
        .unwrap();
    let closed = escaped.unwrap().try_spawn("late", async { Ok(9) }).unwrap_err();
    assert!(matches!(&closed, TrySpawnError::Closed(_, cause) if cause.origin() == Some("/job")));
    assert_eq!(closed.into_future().await.unwrap(), 9);
}

#[tokio::test]
async fn a_scope_without_a_limit_has_slots_for_all() {
    Scope::builder("job")
        .run(async |cx: Cx<Infallible>| {
            for _ in 0..100 {
                assert!(cx.try_spawn("child", async { Ok(()) }).is_ok());
                assert!(cx.spawn_in_turn("child", async { Ok(()) }).await.is_ok());
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tidegate_testkit::test]
async fn a_limit_of_nothing_is_one() {
    let job = Scope::builder("job").limit(0);
    let job =
        job.run(async |cx: Cx<Infallible>| Ok(cx.spawn("child", async { Ok(7) }).await.unwrap()));
    assert_eq!(job.await.unwrap(), 7);
}

#[tidegate_testkit::test]
async fn a_turn_that_is_dropped_is_given_up_wherever_it_was() {
    let token = CancelToken::new();
    Scope::builder("job")
        .limit(1)
        .token(&token)
        .run(async |cx: Cx<Infallible>| {
            let alive = Arc::new(AtomicUsize::new(0));
            let turn = || {
                let guard = Alive::new(&alive);
                cx.spawn_in_turn("turn", async move {
                    drop(guard);
                    Ok(())
                })
            };
            let mut context = Context::from_waker(Waker::noop());
            // Never polled, in the row, and given a slot that it does not know of.
            drop(turn());
            for polls in 1..3 {
                let end = Arc::new(Notify::new());
                let ended = Arc::clone(&end);
                cx.spawn("first", until(ended));
                yield_now().await;
                let mut waiting = pin!(Some(turn()));
                let in_row = waiting.as_mut().as_pin_mut().unwrap().poll(&mut context);
                assert!(in_row.is_pending());
                end.notify_one();
                if polls == 2 {
                    yield_now().await;
                }
                waiting.set(None);
                assert_eq!(alive.load(Ordering::SeqCst), 0);
                cx.spawn("next", async { Ok(()) }).await.unwrap();
            }
            // Cancelled in the row.
            cx.spawn("first", async {
                sleep(secs(1)).await;
                Ok(())
            });
            yield_now().await;
            let refused = turn();
            let (refused, ()) = tokio::join!(refused, async { _ = token.cancel("enough") });
            assert!(matches!(refused, Err(TrySpawnError::Closed(..))));
            Ok(())
        })
        .await
        .unwrap_err();
}

/// The only slot is held by one that awaits a sibling, which waits for the slot.
#[tidegate_testkit::test]
async fn a_child_that_waits_for_a_sibling_without_a_slot_is_found() {
    let watch = tidegate_core::inspect::Watch::start().unwrap();
    let job = Scope::builder("job").limit(1).grace(Duration::ZERO);
    let error = job
        .run(async |cx: Cx<Infallible>| {
            let own = cx.clone();
            cx.spawn("outer", async move {
                own.spawn("inner", async { Ok(()) }).await.unwrap();
                Ok(())
            });
            for _ in 0..3 {
                yield_now().await;
            }
            let picture = cx.tree();
            let inner = picture.work().iter().find(|work| work.name().as_str() == "inner").unwrap();
            assert_eq!(inner.state(), WorkState::Waiting);
            assert_eq!(inner.waits()[0].label(), "a slot of its scope");
            assert_eq!(
                picture.resources()[0].details(),
                [("free", "0".into()), ("waiting", "1".into())]
            );
            let deadlocks = picture.deadlocks();
            assert_eq!(deadlocks.len(), 1, "{picture}");
            let text = deadlocks[0].to_string();
            assert!(text.contains("/job/outer waits for /job/inner (spawned at "), "{text}");
            assert!(
                text.contains("/job/inner waits for \"a slot of its scope\" (limit job)"),
                "{text}"
            );
            cx.cancel("it would wait for ever");
            Ok(())
        })
        .await
        .unwrap_err();
    drop(watch);
    assert!(!error.report().aborted().is_empty() || error.report().refused() > 0, "{error}");
}
