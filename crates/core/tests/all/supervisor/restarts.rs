//! Which children are started again, when, and in which order.

use super::play::{Act::*, Diary, run, secs, sup, sup_after, watch};
use std::{convert::Infallible, time::Duration};
use tidegate_core::{
    Backoff, Cx, Jitter, Ready,
    supervisor::{ChildSpec, ChildState, EventKind, ExitKind, Restart, Strategy},
};
use tokio::time::sleep;

#[tidegate_testkit::test]
async fn children_start_in_order_and_stop_in_reverse() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[Linger(1)])).child(diary.child("b", &[Linger(2)]));
    let sup = sup.child(diary.child("c", &[]));
    let read = watch(&diary, sup, 5).await;
    assert_eq!(read, "0 +a, 0 +b, 0 +c");
    assert_eq!(diary.read(), "5 -c, 7 -b, 8 -a");
}

#[tidegate_testkit::test]
async fn a_permanent_child_is_started_again_however_it_ended() {
    let diary = Diary::new();
    let acts = [FinishAfter(1), FailAfter(1), PanicAfter(1)];
    let read = watch(&diary, sup().child(diary.child("a", &acts)), 9).await;
    assert_eq!(read, "0 +a, 1 -a, 1 +a, 2 -a, 2 +a, 3 -a, 3 +a");
}

#[tidegate_testkit::test]
async fn a_transient_child_is_started_again_if_it_failed_and_kept_if_it_has_finished() {
    let diary = Diary::new();
    let child = diary.child("a", &[FailAfter(1), PanicAfter(1), FinishAfter(1)]);
    let ended = run(sup().child(child.restart(Restart::Transient)), async |handle, cx| {
        sleep(secs(9)).await;
        let child = handle.child("a").unwrap();
        assert_eq!((child.state, child.restarts), (ChildState::Ended, 2));
        assert_eq!(child.last_exit.unwrap().kind(), ExitKind::Finished);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 1 -a, 1 +a, 2 -a, 2 +a, 3 -a");
}

#[tidegate_testkit::test]
async fn a_temporary_child_is_forgotten_however_it_ended() {
    for act in [FinishAfter(1), FailAfter(1), PanicAfter(1)] {
        let diary = Diary::new();
        let child = diary.child("a", &[act]).restart(Restart::Temporary);
        let ended = run(sup().child(child), async |handle, cx| {
            sleep(secs(9)).await;
            assert_eq!(handle.children(), []);
            let last = handle.history().pop().unwrap();
            assert_eq!(*last.kind(), EventKind::Removed);
            cx.stop("the test ends");
        });
        ended.await.unwrap();
        assert_eq!(diary.read(), "0 +a, 1 -a");
    }
}

#[tidegate_testkit::test]
async fn one_for_one_leaves_the_others_alone() {
    let diary = Diary::new();
    let sup = sup_after(2).child(diary.child("a", &[])).child(diary.child("b", &[FailAfter(1)]));
    let sup = sup.child(diary.child("c", &[]).after("b"));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +a, 0 +b, 0 +c, 1 -b, 3 +b", "also those that come after it");
}

#[tidegate_testkit::test]
async fn one_for_all_stops_all_in_reverse_and_starts_all_in_order() {
    let diary = Diary::new();
    let sup = sup_after(5)
        .strategy(Strategy::OneForAll)
        .child(diary.child("a", &[Linger(1)]))
        .child(diary.child("b", &[FailAfter(1)]))
        .child(diary.child("c", &[Linger(1)]));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +a, 0 +b, 0 +c, 1 -b, 2 -c, 3 -a, 6 +a, 6 +b, 6 +c");
}

#[tidegate_testkit::test]
async fn rest_for_one_takes_those_after_it() {
    let diary = Diary::new();
    let sup = sup_after(5)
        .strategy(Strategy::RestForOne)
        .child(diary.child("a", &[]))
        .child(diary.child("b", &[FailAfter(1)]))
        .child(diary.child("c", &[Linger(1)]))
        .child(diary.child("d", &[Linger(1)]));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +a, 0 +b, 0 +c, 0 +d, 1 -b, 2 -d, 3 -c, 6 +b, 6 +c, 6 +d");
}

#[tidegate_testkit::test]
async fn a_delay_begins_with_the_failure_and_stops_are_waited_for() {
    let diary = Diary::new();
    let sup = sup_after(2)
        .strategy(Strategy::OneForAll)
        .child(diary.child("a", &[FailAfter(1)]))
        .child(diary.child("b", &[Linger(4)]));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +a, 0 +b, 1 -a, 5 -b, 5 +a, 5 +b");
}

/// As in OTP a group begins anew, with what has finished; not with what was temporary, or was
/// terminated by hand.
#[tidegate_testkit::test]
async fn a_group_brings_back_what_had_finished_and_not_what_was_terminated_or_temporary() {
    let diary = Diary::new();
    let sup = sup()
        .strategy(Strategy::OneForAll)
        .child(diary.child("job", &[FinishAfter(1), FinishAfter(1)]).restart(Restart::Transient))
        .child(diary.child("guest", &[]).restart(Restart::Temporary))
        .child(diary.child("killed", &[]))
        .child(diary.child("server", &[FailAfter(3)]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(2)).await;
        handle.terminate("killed").await.unwrap();
        sleep(secs(7)).await;
        let children = handle.children();
        let states: Vec<_> =
            children.iter().map(|child| (child.name.as_str(), child.state)).collect();
        assert_eq!(
            states,
            [
                ("job", ChildState::Ended),
                ("killed", ChildState::Terminated),
                ("server", ChildState::Up),
            ]
        );
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(
        diary.read(),
        "0 +job, 0 +guest, 0 +killed, 0 +server, 1 -job, 2 -killed, 3 -server, 3 -guest, \
         3 +job, 3 +server, 4 -job, 9 -server"
    );
}

/// What is stopped with the group, or is down, and does not come back is none of those others.
#[tidegate_testkit::test]
async fn an_event_counts_those_that_are_started_with_one_that_has_failed() {
    let diary = Diary::new();
    let finished = &[FinishAfter(1)];
    let sup = sup_after(1)
        .strategy(Strategy::OneForAll)
        .child(diary.child("a", &[Linger(5)]))
        .child(diary.child("guest", &[]).restart(Restart::Temporary))
        .child(diary.child("late guest", &[Linger(5)]).restart(Restart::Temporary))
        .child(diary.child("terminated", &[]))
        .child(diary.child("lingering", &[Linger(5)]))
        .child(diary.child("finished", finished).restart(Restart::Transient))
        .child(diary.child("b", &[FailAfter(3)]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(2)).await;
        handle.terminate("terminated").await.unwrap();
        let ending =
            async { tokio::join!(handle.terminate("lingering"), handle.terminate("late guest")) };
        cx.run(tokio::time::timeout(secs(0), ending)).await.unwrap().unwrap_err();
        sleep(secs(2)).await;
        let others = handle.history().iter().find_map(|event| match event.kind() {
            EventKind::Restarting { others, .. } => Some(*others),
            _ => None,
        });
        assert_eq!(others, Some(2), "a and the one that had finished");
        sleep(secs(9)).await;
        diary.read();
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "13 -b, 13 -finished, 13 -a");
}

#[tidegate_testkit::test]
async fn a_crash_of_an_earlier_child_takes_those_in_backoff_along_but_no_earlier_than_they_may() {
    let slow = Backoff::constant(secs(10)).jitter(Jitter::None);
    for (strategy, read) in
        [(Strategy::RestForOne, "3 +a, 11 +b, 11 +c"), (Strategy::OneForAll, "11 +a, 11 +b, 11 +c")]
    {
        let diary = Diary::new();
        let sup = sup_after(1)
            .strategy(strategy)
            .child(diary.child("a", &[FailAfter(2)]))
            .child(diary.child("b", &[FailAfter(1)]).backoff(slow.clone()))
            .child(diary.child("c", &[]));
        let all = watch(&diary, sup, 20).await;
        let begin = match strategy {
            Strategy::RestForOne => "0 +a, 0 +b, 0 +c, 1 -b, 1 -c, 2 -a, ",
            // There is no other that could crash: it was stopped with the first.
            _ => "0 +a, 0 +b, 0 +c, 1 -b, 1 -c, 1 -a, ",
        };
        assert_eq!(all, format!("{begin}{read}"));
    }
}

#[tidegate_testkit::test]
async fn a_child_that_crashes_while_its_group_is_stopped_counts_as_stopped() {
    let diary = Diary::new();
    let sup = sup()
        .strategy(Strategy::OneForAll)
        .intensity(1, secs(100))
        .child(diary.child("a", &[FailAfter(2)]))
        .child(diary.child("b", &[FailAfter(1)]))
        .child(diary.child("c", &[Linger(3)]));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +a, 0 +b, 0 +c, 1 -b, 2 -a, 4 -c, 4 +a, 4 +b, 4 +c");
}

#[tidegate_testkit::test]
async fn what_comes_after_another_starts_after_it_whatever_the_order_of_declaration() {
    let diary = Diary::new();
    let sup = sup()
        .child(diary.child("web", &[]).after("db").after("log"))
        .child(diary.child("db", &[]).after("log"))
        .child(diary.child("log", &[]));
    let read = watch(&diary, sup, 1).await;
    assert_eq!(read, "0 +log, 0 +db, 0 +web");
    assert_eq!(diary.read(), "1 -web, 1 -db, 1 -log");
}

#[tidegate_testkit::test]
async fn a_child_is_not_started_while_one_it_comes_after_is_on_its_way() {
    let diary = Diary::new();
    let sup = sup_after(3)
        .child(diary.child("db", &[FailAfter(1)]))
        .child(diary.child("web", &[FailAfter(1)]).after("db").backoff(Backoff::constant(secs(0))))
        .child(diary.child("mail", &[FailAfter(1)]).backoff(Backoff::constant(secs(0))));
    let read = watch(&diary, sup, 9).await;
    assert_eq!(read, "0 +db, 0 +web, 0 +mail, 1 -db, 1 -web, 1 -mail, 1 +mail, 4 +db, 4 +web");
}

#[tidegate_testkit::test]
async fn the_next_starts_when_the_one_before_is_up() {
    let diary = Diary::new();
    let sup = sup()
        .child(diary.slow("a", 2, &[]))
        .child(diary.slow("b", 3, &[]))
        .child(diary.child("c", &[]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(4)).await;
        let states: Vec<_> = handle.children().iter().map(|child| child.state).collect();
        assert_eq!(states, [ChildState::Up, ChildState::Starting, ChildState::Queued]);
        sleep(secs(2)).await;
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 2 up a, 2 +b, 5 up b, 5 +c, 6 -c, 6 -b, 6 -a");
}

#[tidegate_testkit::test]
async fn one_that_ends_before_it_is_up_does_not_hold_up_the_next() {
    let diary = Diary::new();
    let sup = sup_after(10).child(diary.slow("a", 5, &[FailAfter(1)])).child(diary.child("b", &[]));
    let read = watch(&diary, sup, 20).await;
    assert_eq!(read, "0 +a, 1 -a, 1 +b, 11 +a, 16 up a");
}

#[tidegate_testkit::test]
async fn one_that_is_not_up_in_time_holds_up_the_next_until_it_has_ended() {
    let diary = Diary::new();
    let slow = diary.slow("a", 9, &[Linger(2)]).start_timeout(secs(3));
    let sup = sup_after(10).child(slow).child(diary.child("b", &[]));
    let read = watch(&diary, sup, 14).await;
    assert_eq!(read, "0 +a, 5 -a, 5 +b");
}

/// It has not had its start, whereas the one that it waits for has failed with its own.
#[tidegate_testkit::test]
async fn one_that_waits_for_another_holds_up_the_next() {
    let diary = Diary::new();
    let sup = sup_after(10)
        .child(diary.slow("a", 5, &[FailAfter(1)]))
        .child(diary.child("b", &[]))
        .child(diary.slow("c", 2, &[]).after("a"))
        .child(diary.child("d", &[]));
    let read = watch(&diary, sup, 20).await;
    assert_eq!(read, "0 +a, 1 -a, 1 +b, 11 +a, 16 up a, 16 +c, 18 up c, 18 +d");
}

#[tidegate_testkit::test]
async fn a_restart_alone_holds_up_only_what_comes_after_it() {
    let diary = Diary::new();
    let sup = sup()
        .child(diary.slow("a", 5, &[FailAfter(6)]))
        .child(diary.child("b", &[FailAfter(2)]))
        .child(diary.child("c", &[FailAfter(2)]).after("a"));
    let read = watch(&diary, sup, 20).await;
    let expected = "0 +a, 5 up a, 5 +b, 5 +c, 6 -a, 6 +a, 7 -b, 7 -c, 7 +b, 11 up a, 11 +c";
    assert_eq!(read, expected);
}

#[tidegate_testkit::test]
async fn a_child_that_is_not_up_in_time_has_failed() {
    let diary = Diary::new();
    let child = diary.slow("a", 4, &[]).start_timeout(secs(3));
    let ended = run(sup().intensity(1, secs(100)).child(child), async |_, _| {});
    let error = ended.await.unwrap_err();
    let fatal = error.fatal().unwrap();
    assert_eq!(fatal.exit().kind(), ExitKind::NotReady);
    assert_eq!(fatal.exit().to_string(), "was not up within 3s");
    assert_eq!(diary.read(), "0 +a, 3 -a, 3 +a, 6 -a");
}

#[tidegate_testkit::test]
async fn a_child_that_lets_go_of_its_ready_has_failed() {
    let child = ChildSpec::starting("a", |cx: Cx<Infallible>, ready: Ready<()>| async move {
        drop(ready);
        cx.cancelled().await;
        Ok(())
    });
    let begun = tokio::time::Instant::now();
    let error = run(sup().intensity(0, secs(1)).child(child), async |_, _| {}).await.unwrap_err();
    assert_eq!(error.fatal().unwrap().exit().kind(), ExitKind::NotReady, "{error}");
    assert_eq!(begun.elapsed(), secs(0), "its time is not waited for");
}

/// The error says more than that it was not up.
#[tidegate_testkit::test]
async fn a_child_that_fails_before_it_is_up_has_its_own_error() {
    let child = ChildSpec::starting("a", |cx: Cx<&'static str>, ready: Ready<()>| async move {
        // A task that the scope of the child waits for, so that the end comes later.
        let own = cx.clone();
        cx.spawn("busy", async move {
            own.cancelled().await;
            sleep(secs(1)).await;
            Ok(())
        });
        drop(ready);
        Err("no port")
    });
    let error = run(sup().intensity(0, secs(1)).child(child), async |_, _| {}).await.unwrap_err();
    let fatal = error.fatal().unwrap();
    assert_eq!(fatal.exit().kind(), ExitKind::Failed, "{error}");
    assert_eq!(fatal.downcast_ref::<&str>(), Some(&"no port"));
}

#[tidegate_testkit::test]
async fn a_backoff_grows_and_begins_anew_when_the_child_was_up_for_the_period() {
    let diary = Diary::new();
    let backoff = Backoff::exponential(secs(1)).jitter(Jitter::None);
    let acts = [FailAfter(0), FailAfter(0), FailAfter(9), FailAfter(10), FailAfter(0)];
    let sup = sup().backoff(backoff).child(diary.child("a", &acts));
    let read = watch(&diary, sup, 90).await;
    assert_eq!(
        read, "0 +a, 0 -a, 1 +a, 1 -a, 3 +a, 12 -a, 16 +a, 26 -a, 27 +a, 27 -a, 29 +a",
        "delays of 1, 2, 4, then 1 and 2 s"
    );
}

#[tidegate_testkit::test]
async fn children_that_fail_together_do_not_come_back_together() {
    let diary = Diary::new();
    let mut sup = sup().backoff(Backoff::constant(secs(100)).jitter(Jitter::Full).seed(7));
    for name in ["a", "b", "c", "d"] {
        sup = sup.child(diary.child(name, &[FailAfter(1)]));
    }
    let ended = run(sup, async |handle, cx| {
        sleep(Duration::from_millis(1001)).await;
        let mut due: Vec<_> = handle.children().iter().map(|child| child.due.unwrap()).collect();
        due.sort();
        due.dedup();
        assert_eq!(due.len(), 4);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}
