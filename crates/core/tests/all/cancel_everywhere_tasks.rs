//! The futures of children, dropped after each of their polls.

use crate::cancel_everywhere::{MS, Never, both, count, cut_after, everywhere, work};
use crate::scope::Alive;
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidegate_core::{Cx, Ready, Scope, join_orphans, orphans, scope};
use tokio::time::sleep;

#[tidegate_testkit::test]
async fn starting_a_child() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let value = Alive::new(&alive);
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let start = cx.start("child", |ready: Ready<Alive>| async move {
                work(&own, ()).await;
                // It comes back, or is dropped: nobody has two.
                drop(ready.up(value));
                work(&own, ()).await;
                Ok(7)
            });
            let Some(started) = cut_after(polls, start).await else { return Ok(false) };
            let (value, task) = started.unwrap();
            drop(value);
            assert_eq!(task.await.unwrap(), 7);
            Ok(true)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0, "after {polls} polls");
        ended
    })
    .await;
}

#[tidegate_testkit::test]
async fn awaiting_a_task() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let value = Alive::new(&alive);
            let mut task = cx.spawn("child", async move { Ok(work(&own, value).await) });
            let ended = cut_after(polls, &mut task).await;
            if let Some(value) = ended {
                drop(value.unwrap());
                return Ok(true);
            }
            // The wait was dropped, and the task not: it has lost nothing.
            drop(task.await.unwrap());
            Ok(false)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0);
        ended
    })
    .await;
    // A ticker, which goes on when its task is dropped.
    everywhere(async |polls| {
        let ticks = Arc::new(AtomicUsize::new(0));
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let counted = Arc::clone(&ticks);
            let task = cx.every("tick", MS, move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            });
            let ended = cut_after(polls, both(task, || assert!(cx.stop("now")))).await;
            let before = count(&ticks);
            sleep(3 * MS).await;
            assert_eq!(count(&ticks) == before, cx.is_stopping(), "after {polls} polls");
            cx.stop("now");
            Ok(ended.is_some())
        });
        ended.await.unwrap()
    })
    .await;
}

/// It did not come up, and is handed out for that.
#[tidegate_testkit::test]
async fn awaiting_a_child_that_is_not_ready() {
    everywhere(async |polls| {
        let ended = scope("job", async |cx: Cx<Infallible>| {
            let start = cx.start("child", |ready: Ready<()>| async move {
                drop(ready);
                sleep(MS).await;
                sleep(MS).await;
                Ok(7)
            });
            let Err(not_ready) = start.await else { panic!("it never said so") };
            let mut task = not_ready.into_task();
            let ended = cut_after(polls, &mut task).await;
            let was_over = ended.is_some();
            let value = if let Some(value) = ended { value } else { task.await };
            assert_eq!(value.unwrap(), 7);
            Ok(was_over)
        });
        ended.await.unwrap()
    })
    .await;
}

/// Its wait is given up, or its task dropped, and it goes on.
#[tidegate_testkit::test]
async fn awaiting_work_that_blocks() {
    for polls in 0..6 {
        let alive = Arc::new(AtomicUsize::new(0));
        let guard = Alive::new(&alive);
        let job = scope("job", async |cx: Cx<Infallible>| {
            let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
            let mut task = cx.spawn_blocking("blocking", move || {
                let _guard = guard;
                held.recv().ok();
                Ok(7)
            });
            for _ in 0..polls / 2 {
                crate::losses::poll_once(&mut task).await;
            }
            assert_eq!(count(&alive), 1, "it goes on");
            if polls % 2 == 0 {
                drop((task, let_go));
                return Ok(7);
            }
            drop(let_go);
            Ok(task.await.unwrap())
        });
        assert_eq!(job.await.unwrap(), 7);
        assert_eq!(count(&alive), 0, "the scope has waited for it");
    }
}

#[tidegate_testkit::test]
async fn spawning_in_turn() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        let ended = Scope::builder("job").limit(1).run(async |cx: Cx<Infallible>| {
            let own = Arc::clone(&alive);
            let first = cx.try_spawn("first", async move { Ok(work(&own, 0).await) });
            assert!(first.is_ok());
            let own = Arc::clone(&alive);
            let second = cx.spawn_in_turn("second", async move { Ok(work(&own, 0).await) });
            let ended = cut_after(polls, second).await.is_some();
            // Its place in the row is free: the next one has its turn.
            let third = cx.spawn_in_turn("third", async { Ok(7) }).await.unwrap();
            assert_eq!(third.await.unwrap(), 7);
            assert_eq!(cx.live(), 0);
            assert!(cx.try_spawn("fourth", async { Ok(()) }).is_ok());
            Ok(ended)
        });
        let ended = ended.await.unwrap();
        assert_eq!(count(&alive), 0, "after {polls} polls");
        ended
    })
    .await;
}

#[tidegate_testkit::test]
async fn futures_that_borrow() {
    let alive = Arc::new(AtomicUsize::new(0));
    scope("job", async |cx: Cx<Infallible>| {
        everywhere(async |polls| {
            let futures = (0..5_u8).map(|n| {
                let alive = &alive;
                async move { Ok::<_, Infallible>(work(alive, n).await) }
            });
            let ended = cut_after(polls, cx.concurrent(futures).limit(2)).await;
            assert_eq!(count(&alive), 0, "after {polls} polls");
            ended.is_some_and(|values| values.unwrap() == [0, 1, 2, 3, 4])
        })
        .await;
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn joining_orphans() {
    everywhere(async |polls| {
        let alive = Arc::new(AtomicUsize::new(0));
        // Work that blocks holds a scope that was dropped open, for as long as it likes.
        let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let guard = Alive::new(&alive);
        let job = scope("job", async move |cx: Cx<Infallible>| {
            cx.spawn_blocking("blocking", move || {
                let _guard = guard;
                begun.send(()).unwrap();
                held.recv().ok();
                Ok(())
            });
            pending::<Never>().await
        });
        tokio::select! {
            biased;
            _ = job => unreachable!("it never ends by itself"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!(orphans(), 1);
        let mut joining = Box::pin(join_orphans());
        for _ in 0..polls {
            crate::losses::poll_once(&mut joining).await;
        }
        drop(joining);
        assert_eq!((orphans(), count(&alive)), (1, 1), "it is still there");
        drop(let_go);
        join_orphans().await;
        assert_eq!((orphans(), count(&alive)), (0, 0));
        polls == 3
    })
    .await;
}
