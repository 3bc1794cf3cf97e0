//! Every order gets an answer, whatever becomes of the supervisor and of other callers.

use super::play::{Act::*, Diary, run, secs, sup, sup_after};
use std::time::Duration;
use tidegate_core::supervisor::ControlError;
use tokio::time::sleep;

/// Commands that nobody waits for any more must not keep others from being heard.
#[tidegate_testkit::test]
async fn callers_that_gave_up_do_not_lock_others_out() {
    let diary = Diary::new();
    let stuck = diary.child("stuck", &[Deaf]).stop_grace(secs(3600));
    let sup = sup().child(stuck).child(diary.child("well", &[]));
    let ended = run(sup, async |handle, cx| {
        // As many at once as there may be.
        let orders = cx.concurrent((0..64).map(|_| handle.terminate("stuck")));
        assert!(tokio::time::timeout(secs(1), orders).await.is_err());
        tokio::time::timeout(secs(1), handle.terminate("well")).await.unwrap().unwrap();
        cx.cancel("the test ends");
    });
    assert!(ended.await.is_err());
}

#[tidegate_testkit::test]
async fn more_orders_than_there_is_room_for_wait_their_turn() {
    let diary = Diary::new();
    let ended = run(sup().child(diary.child("a", &[Linger(3)])), async |handle, cx| {
        let orders = (0..200).map(|_| handle.terminate("a"));
        let done = futures_of(orders.collect()).await;
        assert!(done.iter().all(Result::is_ok) && done.len() == 200);
        // Those whose askers have gone make room.
        handle.restart("a").await.unwrap();
        handle
            .add(diary.child("stubborn", &[Linger(1000)]).stop_grace(Duration::MAX))
            .await
            .unwrap();
        for _ in 0..200 {
            let asked =
                tokio::time::timeout(Duration::from_millis(1), handle.terminate("stubborn"));
            assert!(asked.await.is_err());
        }
        handle.restart("a").await.unwrap();
        cx.cancel("the test ends");
    });
    ended.await.unwrap_err();
}

async fn futures_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_pending = false;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(output) => *done = Some(output),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

#[tidegate_testkit::test]
async fn an_order_that_is_pending_when_the_supervisor_ends_is_answered() {
    let diary = Diary::new();
    let sup = sup_after(100).child(diary.child("a", &[FailAfter(1)]));
    let sup = sup.child(diary.child("b", &[]).after("a"));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(2)).await;
        let cancel = async {
            sleep(secs(1)).await;
            cx.cancel("the test ends");
        };
        // It would be started in a hundred seconds.
        let (restarted, ()) = tokio::join!(handle.restart("b"), cancel);
        assert_eq!(restarted, Err(ControlError::NotRunning), "it was not started again");
        assert_eq!(handle.restart("b").await, Err(ControlError::NotRunning));
    });
    ended.await.unwrap_err();
}

/// One that has to end first is not started again when the supervisor ends meanwhile, and one
/// whose new life has begun was restarted, whatever comes then.
#[tidegate_testkit::test]
async fn a_restart_that_the_end_of_the_supervisor_comes_before_is_an_error() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(3), Linger(3)]));
    let ended = run(sup, async |handle, cx| {
        assert_eq!(handle.restart("a").await, Ok(()));
        let stop = async {
            sleep(secs(1)).await;
            cx.stop("the test ends");
        };
        let (terminated, restarted, ()) =
            tokio::join!(biased; handle.terminate("a"), handle.restart("a"), stop);
        assert_eq!(restarted, Err(ControlError::NotRunning));
        assert_eq!(terminated, Ok(()), "it has ended, and is not started again");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 3 -a, 3 +a, 6 -a");
}
