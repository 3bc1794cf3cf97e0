//! What can be asked of a running supervisor, and what becomes of the child.

use super::play::{Act::*, Diary, run, secs, state, sup, sup_after};
use std::convert::Infallible;
use tidegate_core::{
    Backoff, Cx, Jitter,
    supervisor::{ChildState, Restart, Strategy},
};
use tokio::time::{Instant, sleep};

/// task-supervisor: dropping a clone of the handle shut it down.
#[tidegate_testkit::test]
async fn handles_come_and_go_and_the_supervisor_runs_on() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[])).build().unwrap();
    tidegate_core::scope("app", async |cx: Cx<Infallible>| {
        let handle = sup.handle();
        drop((handle.clone(), sup.handle()));
        let own = cx.clone();
        cx.spawn("sup", async move {
            sup.run(&own).await.unwrap();
            Ok(())
        });
        sleep(secs(1)).await;
        drop(handle.clone());
        assert!(handle.is_running());
        drop(handle);
        sleep(secs(1)).await;
        assert_eq!(diary.alive(), 1);
        cx.stop("the test ends");
        Ok(())
    })
    .await
    .unwrap();
}

/// task-supervisor: what waited for its restart was started although it was killed.
#[tidegate_testkit::test]
async fn a_child_killed_in_its_backoff_stays_down() {
    let diary = Diary::new();
    let ended = run(sup_after(5).child(diary.child("a", &[FailAfter(1)])), async |handle, cx| {
        sleep(secs(2)).await;
        assert_eq!(state(&handle, "a"), ChildState::Backoff);
        handle.terminate("a").await.unwrap();
        assert_eq!(state(&handle, "a"), ChildState::Terminated);
        sleep(secs(20)).await;
        assert_eq!(diary.read(), "0 +a, 1 -a");
        handle.restart("a").await.unwrap();
        assert_eq!(state(&handle, "a"), ChildState::Up);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

/// task-supervisor: a restart by hand and the pending one were two.
#[tidegate_testkit::test]
async fn a_child_restarted_in_its_backoff_is_started_once() {
    let diary = Diary::new();
    let ended = run(sup_after(5).child(diary.child("a", &[FailAfter(1)])), async |handle, cx| {
        sleep(secs(2)).await;
        handle.restart("a").await.unwrap();
        sleep(secs(20)).await;
        assert_eq!(diary.read(), "0 +a, 1 -a, 2 +a");
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

#[tidegate_testkit::test]
async fn terminate_returns_when_the_child_has_ended() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(3)])).child(diary.child("b", &[]));
    let ended = run(sup, async |handle, cx| {
        let begun = Instant::now();
        // The second one waits for the same end, and so does one that comes after a restart.
        let (first, second) = tokio::join!(handle.terminate("a"), handle.terminate("a"));
        assert_eq!((first, second, begun.elapsed()), (Ok(()), Ok(()), secs(3)));
        assert_eq!(handle.terminate("a").await, Ok(()), "it has ended already");
        assert_eq!(state(&handle, "a"), ChildState::Terminated);
        assert_eq!(state(&handle, "b"), ChildState::Up);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

#[tidegate_testkit::test]
async fn the_last_of_two_orders_counts() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(3); 9]));
    let ended = run(sup, async |handle, cx| {
        let (terminated, restarted) =
            tokio::join!(biased; handle.terminate("a"), handle.restart("a"));
        assert_eq!((terminated, restarted), (Ok(()), Ok(())));
        assert_eq!(state(&handle, "a"), ChildState::Up);
        let (restarted, terminated) =
            tokio::join!(biased; handle.restart("a"), handle.terminate("a"));
        assert_eq!((terminated, restarted), (Ok(()), Ok(())));
        assert_eq!(state(&handle, "a"), ChildState::Terminated);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 3 -a, 3 +a, 6 -a");
}

#[tidegate_testkit::test]
async fn a_restart_by_hand_counts_for_no_limit_and_begins_the_delays_anew() {
    let diary = Diary::new();
    let backoff = Backoff::exponential(secs(10)).jitter(Jitter::None);
    let acts = [FailAfter(0), Serve, Serve, Serve, FailAfter(0)];
    let sup = sup().backoff(backoff).intensity(2, secs(100)).child(diary.child("a", &acts));
    let ended = run(sup, async |handle, cx| {
        for _ in 0..4 {
            sleep(secs(1)).await;
            handle.restart("a").await.unwrap();
        }
        assert_eq!(handle.child("a").unwrap().restarts, 4);
        sleep(secs(15)).await;
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    let read = diary.read();
    assert!(read.ends_with("3 +a, 4 -a, 4 +a, 4 -a, 14 +a, 19 -a"), "{read}");
}

#[tidegate_testkit::test]
async fn a_temporary_child_that_is_terminated_is_forgotten() {
    let diary = Diary::new();
    let child = diary.child("a", &[Linger(2)]).restart(Restart::Temporary);
    let ended = run(sup().child(child), async |handle, cx| {
        handle.terminate("a").await.unwrap();
        assert_eq!(handle.children(), []);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 2 -a");
}

#[tidegate_testkit::test]
async fn a_child_can_be_terminated_and_restarted_while_its_group_is_stopped() {
    let diary = Diary::new();
    let sup = sup()
        .strategy(Strategy::OneForAll)
        .child(diary.child("a", &[]))
        .child(diary.child("b", &[]))
        .child(diary.child("guest", &[]).restart(Restart::Temporary))
        .child(diary.child("c", &[Linger(5)]))
        .child(diary.child("d", &[FailAfter(1)]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(2)).await;
        let begun = Instant::now();
        handle.terminate("a").await.unwrap();
        let ended = tokio::join!(handle.restart("b"), handle.restart("guest"));
        assert_eq!((ended, begun.elapsed()), ((Ok(()), Ok(())), secs(4)), "with the group");
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(
        diary.read(),
        "0 +a, 0 +b, 0 +guest, 0 +c, 0 +d, 1 -d, 2 -a, 6 -c, 6 -guest, 6 -b, \
         6 +b, 6 +guest, 6 +c, 6 +d, 6 -d, 6 -c, 6 -guest, 6 -b"
    );
}
