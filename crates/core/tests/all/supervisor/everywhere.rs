//! Futures that are dropped at each of their awaits.

use super::play::{Act::*, Diary, secs, sup, sup_after};
use std::{convert::Infallible, future::poll_fn, pin::pin, task::Poll};
use tidegate_core::{
    Cx, scope,
    supervisor::{ChildSpec, ChildState, Handle, Strategy, Supervisor},
};
use tokio::time::sleep;

/// Polls a future so many times, then drops it. Returns whether it had ended.
async fn polled(times: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            // The next poll may never come: it has come to its last await.
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tidegate_testkit::test]
async fn a_run_dropped_at_any_await_leaves_nothing_alive() {
    let mut polls = 0;
    loop {
        let diary = Diary::new();
        let nested =
            sup().child(diary.child("x", &[FailAfter(3); 4])).child(diary.child("y", &[Deaf]));
        let sup = sup_after(1)
            .strategy(Strategy::RestForOne)
            .child(diary.slow("a", 1, &[FailAfter(2); 6]))
            .child(ChildSpec::supervisor(nested.build().unwrap()))
            .child(diary.child("b", &[Linger(1), FailAfter(1), FailAfter(3), FailAfter(5)]))
            .child(diary.child("c", &[PanicAfter(1), Deaf]).stop_grace(secs(2)))
            .build()
            .unwrap();
        let handle = sup.handle();
        let mut has_ended = false;
        let ended = &mut has_ended;
        let app = scope("app", async |cx: Cx<Infallible>| {
            let inner = cx.scope("inner", async |inner: Cx<Infallible>| {
                let cancel = async {
                    sleep(secs(30)).await;
                    inner.stop("softly first");
                    sleep(secs(2)).await;
                    inner.cancel("enough");
                };
                let run = polled(polls, sup.run(&inner));
                (*ended, ()) = tokio::join!(run, async {
                    tokio::select! { () = cancel => {}, () = sleep(secs(60)) => {} }
                });
                Ok(())
            });
            inner.await.ok();
            Ok(())
        });
        app.await.unwrap();
        assert_eq!(diary.alive(), 0, "after {polls} polls");
        assert!(!handle.is_running());
        let alive = |child: &tidegate_core::supervisor::ChildInfo| child.state == ChildState::Up;
        assert!(!has_ended || !handle.children().iter().any(alive));
        if has_ended {
            break;
        }
        polls += 1;
    }
    assert!(polls > 20, "{polls}");
}

/// Whatever becomes of an order, the supervisor goes on, and has room for the next.
#[tidegate_testkit::test]
async fn an_order_dropped_at_any_await_loses_nothing() {
    async fn order(handle: &Handle, diary: &Diary, what: usize, polls: usize) -> bool {
        match what {
            0 => polled(polls, handle.terminate("a")).await,
            1 => polled(polls, handle.restart("a")).await,
            2 => polled(polls, handle.delete("b")).await,
            _ => polled(polls, handle.add(diary.child("new", &[]))).await,
        }
    }
    for what in 0..4 {
        for polls in 0..4 {
            let diary = Diary::new();
            let sup: Supervisor = sup()
                .child(diary.child("a", &[Linger(1); 9]))
                .child(diary.child("b", &[]))
                .build()
                .unwrap();
            let handle = sup.handle();
            scope("app", async |cx: Cx<Infallible>| {
                let script = async {
                    handle.terminate("b").await.unwrap();
                    for _ in 0..100 {
                        order(&handle, &diary, what, polls).await;
                        sleep(secs(3)).await;
                    }
                    handle.restart("a").await.unwrap();
                    assert_eq!(handle.child("a").unwrap().state, ChildState::Up);
                    cx.stop("the test ends");
                };
                let (ended, ()) = tokio::join!(sup.run(&cx), script);
                ended.unwrap();
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(diary.alive(), 0);
        }
    }
}
