//! What can be asked of a running supervisor.

use super::play::{Act::*, Diary, run, secs, sup, sup_after};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_core::{
    Backoff, Cx, Jitter,
    inspect::Snapshot,
    supervisor::{
        ChildSpec, ChildState, ConfigError, ControlError, EventKind, Handle, Restart, Strategy,
        Supervisor, SupervisorError,
    },
};
use tokio::time::{Instant, sleep};

fn state(handle: &Handle, child: &str) -> ChildState {
    handle.child(child).unwrap().state
}

/// task-supervisor: dropping a clone of the handle shut it down.
#[tokio::test(start_paused = true)]
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
#[tokio::test(start_paused = true)]
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

/// Commands that nobody waits for any more must not keep others from being heard.
#[tokio::test(start_paused = true)]
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

/// task-supervisor: a restart by hand and the pending one were two.
#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_child_that_is_added_starts_at_once_or_after_its_dependency() {
    let diary = Diary::new();
    let ended = run(sup_after(5).child(diary.child("a", &[FailAfter(1)])), async |handle, cx| {
        handle.add(diary.child("b", &[])).await.unwrap();
        sleep(secs(2)).await;
        handle.add(diary.child("c", &[]).after("a")).await.unwrap();
        handle.add(diary.child("d", &[])).await.unwrap();
        assert_eq!(state(&handle, "c"), ChildState::Queued);
        sleep(secs(8)).await;
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(diary.read(), "0 +a, 0 +b, 1 -a, 2 +d, 6 +a, 6 +c, 10 -d, 10 -c, 10 -b, 10 -a");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_fit_comes_back() {
    let diary = Diary::new();
    let sup = sup().max_children(2).child(diary.child("a", &[]));
    let ended = run(sup, async |handle, cx| {
        let refused = async |child: ChildSpec| {
            let error = handle.add(child).await.unwrap_err();
            assert!(error.to_string().starts_with("cannot add "), "{error}");
            let reason = error.reason().clone();
            (reason, error.into_spec().name().to_string())
        };
        let config = |error: ConfigError| ControlError::Config(error);
        let duplicate = refused(diary.child("a", &[])).await;
        assert_eq!(duplicate, (config(ConfigError::Duplicate("a".into())), "a".into()));
        let (child, after) = ("b".into(), "x".into());
        let unknown = refused(diary.child("b", &[]).after("x")).await;
        assert_eq!(unknown.0, config(ConfigError::UnknownAfter { child, after }));
        let significant = refused(diary.child("b", &[]).significant()).await;
        assert_eq!(significant.0, config(ConfigError::SignificantPermanent("b".into())));
        handle.add(diary.child("b", &[])).await.unwrap();
        let full = refused(diary.child("c", &[])).await;
        assert_eq!(full.0, config(ConfigError::TooMany { max: 2 }));
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    let idle = Supervisor::builder("idle").build().unwrap();
    let error = idle.handle().add(diary.child("a", &[])).await.unwrap_err();
    assert_eq!(*error.reason(), ControlError::NotRunning);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_ended_and_nobody_needs_is_deleted() {
    let diary = Diary::new();
    let sup = sup_after(9)
        .child(diary.child("a", &[]))
        .child(diary.child("b", &[FailAfter(1)]).after("a"))
        .child(diary.child("c", &[FinishAfter(1)]).restart(Restart::Transient));
    let ended = run(sup, async |handle, cx| {
        let not_ended = |name: &'static str| Err(ControlError::NotEnded(name.into()));
        assert_eq!(handle.delete("a").await, not_ended("a"));
        handle.terminate("a").await.unwrap();
        let (child, after) = ("a".into(), "b".into());
        let needed = handle.delete("a").await;
        assert_eq!(needed, Err(ControlError::Needed { child: after, after: child }));
        sleep(secs(2)).await;
        assert_eq!(handle.delete("b").await, not_ended("b"), "it is in its backoff");
        handle.delete("c").await.unwrap();
        handle.terminate("b").await.unwrap();
        handle.delete("b").await.unwrap();
        handle.delete("a").await.unwrap();
        assert_eq!(handle.children(), []);
        let unknown = Err(ControlError::Unknown("a".into()));
        assert_eq!(handle.terminate("a").await, unknown);
        handle.add(diary.child("a", &[])).await.unwrap();
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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
#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn the_history_is_bounded_and_the_observer_hears_all() {
    let diary = Diary::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let sup = sup_after(2)
        .history(3)
        .observer(move |event| {
            hear.lock().unwrap().push(event.to_string());
            panic!("an observer, on purpose");
        })
        .child(diary.child("a", &[FailAfter(1)]).restart(Restart::Transient));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(4)).await;
        let history = handle.history();
        let told: Vec<_> = history.iter().map(ToString::to_string).collect();
        assert_eq!(told[1..], ["+1.000s a restarting after 2s", "+3.000s a started (#2)"]);
        let EventKind::Ended(exit) = history[0].kind() else { panic!("{told:?}") };
        assert!(exit.to_string().contains("a broke"));
        assert_eq!((history[0].child().as_str(), history[0].incarnation()), ("a", 1));
        assert_eq!(history[2].at() - history[0].at(), secs(2));
        assert_eq!((history[0].uptime(), history[2].uptime()), (secs(1), secs(3)));
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0], "+0.000s a started (#1)");
    assert_eq!(heard.last().unwrap(), "+4.000s a ended (#2): finished");
    assert_eq!(heard.len(), 6, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn what_children_do_can_be_seen() {
    let diary = Diary::new();
    let sup = sup_after(9)
        .strategy(Strategy::RestForOne)
        .child(diary.child("a", &[]))
        .child(diary.child("b", &[FailAfter(1)]).restart(Restart::Transient));
    let ended = run(sup, async |handle, cx| {
        sleep(Duration::from_millis(3200)).await;
        let b = handle.child("b").unwrap();
        assert_eq!((b.state, b.restart, b.restarts), (ChildState::Backoff, Restart::Transient, 0));
        let since = Duration::from_millis(2200);
        assert_eq!((b.since.elapsed(), b.due.unwrap() - b.since), (since, secs(9)));
        assert!(b.last_exit.unwrap().is_failure());
        let snapshot = cx.tree();

        let [resource] = snapshot.resources() else { panic!("{snapshot}") };
        assert_eq!((resource.kind(), resource.name().as_str()), ("supervisor", "sup"));
        let details: Vec<_> =
            resource.details().iter().map(|(key, value)| format!("{key} {value}")).collect();
        let counts = ["up 1", "alive 1", "children 2", "restarts 0"];
        assert_eq!(
            (details[0].as_str(), &details[1..5]),
            ("strategy rest for one", &counts.map(String::from)[..])
        );
        assert_eq!(details[5..], ["last b restarting after 9s (2.2 s ago)"]);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    let gone = Snapshot::take();
    assert!(gone.resources().iter().all(|resource| resource.name().as_str() != "sup"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_two_lines_is_one_line_of_a_snapshot() {
    let diary = Diary::new();
    let bad = ChildSpec::new("bad", |_: Cx<&str>| async { Err("two\nlines") });
    let sup = sup().strategy(Strategy::OneForAll).child(diary.child("a", &[Linger(5)])).child(bad);
    let ended = run(sup, async |_, cx| {
        sleep(secs(1)).await;
        let snapshot = cx.tree();
        let (_, last) = snapshot.resources()[0].details().last().unwrap();
        assert!(last.starts_with("a stopping: restarted with bad: "), "{last}");
        assert!(last.ends_with(" failed: two lines (1.0 s ago)"), "{last}");
        cx.cancel("the test ends");
    });
    ended.await.unwrap_err();
}

/// A nested supervisor with one child that fails as it is told to.
fn nested(diary: &Diary, acts: &[super::play::Act]) -> ChildSpec {
    let inner = Supervisor::builder("in/ner").intensity(1, secs(100));
    let inner = inner.backoff(Backoff::constant(Duration::ZERO));
    let inner = inner.child(diary.child("x", &[Linger(1)])).child(diary.child("y%", acts));
    ChildSpec::supervisor(inner.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_gives_up_is_started_again_and_then_the_outer_one_gives_up() {
    let diary = Diary::new();
    let sup = sup().intensity(1, secs(100)).child(diary.child("a", &[]));
    let sup = sup.child(nested(&diary, &[FailAfter(1); 9]));
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(
        diary.read(),
        "0 +a, 0 +x, 0 +y%, 1 -y%, 1 +y%, 2 -y%, 3 -x, \
         3 +x, 3 +y%, 4 -y%, 4 +y%, 5 -y%, 5 -x, 5 -a"
    );
    let inner = error.fatal().unwrap().downcast_ref::<SupervisorError>().unwrap();
    assert_eq!(inner.fatal().unwrap().path(), "/app/sup/in%2Fner/y%25");
}

#[tokio::test(start_paused = true)]
async fn children_of_nested_supervisors_go_by_their_path() {
    let diary = Diary::new();
    let sup = sup().child(diary.child("a", &[])).child(nested(&diary, &[]));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(1)).await;
        assert!(handle.child("in%2Fner").unwrap().is_supervisor);
        handle.terminate("in%2Fner/y%25").await.unwrap();
        assert_eq!(state(&handle, "/in%2Fner/y%25"), ChildState::Terminated);
        let inner = handle.nested("in%2Fner").unwrap();
        inner.add(diary.child("z", &[])).await.unwrap();
        assert_eq!(state(&handle, "in%2Fner/z"), ChildState::Up);
        let error = handle.restart("a/z").await.unwrap_err();
        assert_eq!(error, ControlError::NotASupervisor("a".into()));
        let error = handle.nested("b").unwrap_err();
        assert_eq!(error, ControlError::Unknown("b".into()));
        // It comes back as it was declared.
        handle.restart("in%2Fner").await.unwrap();
        sleep(secs(1)).await;
        let names: Vec<_> = inner.children().iter().map(|child| child.name.to_string()).collect();
        assert_eq!(names, ["x", "y%"]);
        assert!(inner.children().iter().all(|child| child.state == ChildState::Up));
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_stops_its_children_one_after_the_other_within_its_grace() {
    for (grace, read) in [(secs(100), "6 -y, 7 -x"), (secs(3), "4 -x, 4 -y")] {
        let diary = Diary::new();
        let inner = Supervisor::builder("inner").child(diary.child("x", &[Linger(1)]));
        let inner = inner.child(diary.child("y", &[Linger(5)]).stop_grace(secs(60)));
        let inner = ChildSpec::supervisor(inner.build().unwrap()).stop_grace(grace);
        let ended = run(sup().child(inner), async |handle, cx| {
            sleep(secs(1)).await;
            handle.terminate("inner").await.unwrap();
            cx.stop("the test ends");
        });
        ended.await.unwrap();
        let all = diary.read();
        let mut ends: Vec<_> = all.split(", ").skip(2).collect();
        if grace == secs(3) {
            ends.sort_unstable();
        }
        assert_eq!(ends.join(", "), read);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_is_up_when_its_children_are() {
    let diary = Diary::new();
    let inner = Supervisor::builder("inner")
        .backoff(Backoff::constant(secs(50)).jitter(Jitter::None))
        .child(diary.slow("x", 2, &[]))
        .child(diary.slow("bad", 9, &[FailAfter(1)]))
        .child(diary.slow("y", 3, &[]));
    let inner = ChildSpec::supervisor(inner.build().unwrap());
    let ended = run(sup().child(inner).child(diary.child("next", &[])), async |handle, cx| {
        sleep(secs(5)).await;
        assert_eq!(state(&handle, "inner"), ChildState::Starting);
        sleep(secs(2)).await;
        assert_eq!(state(&handle, "inner"), ChildState::Up);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    let read = diary.read();
    let expected = "0 +x, 2 up x, 2 +bad, 3 -bad, 3 +y, 6 up y, 6 +next, 7 -next, 7 -y, 7 -x";
    assert_eq!(read, expected);
}

#[tokio::test(start_paused = true)]
async fn children_find_the_handle_of_their_supervisor() {
    let diary = Diary::new();
    let (added, inner_added) = (diary.child("added", &[]), diary.child("added", &[]));
    let manager = |child: ChildSpec| {
        ChildSpec::new("manager", move |cx: Cx<Infallible>| {
            let child = child.clone();
            async move {
                let handle = cx.value::<Handle>().unwrap();
                handle.add(child).await.unwrap();
                // It is told to end by its own order, and must not wait for its end.
                cx.run(handle.terminate("manager")).await.unwrap_err();
                Ok(())
            }
        })
    };
    let inner = Supervisor::builder("inner").child(manager(inner_added)).build().unwrap();
    let sup = sup().child(manager(added)).child(ChildSpec::supervisor(inner));
    let ended = run(sup, async |handle, cx| {
        sleep(secs(1)).await;
        assert_eq!(state(&handle, "added"), ChildState::Up);
        assert_eq!(state(&handle, "inner/added"), ChildState::Up);
        assert_eq!(state(&handle, "manager"), ChildState::Terminated);
        assert_eq!(state(&handle, "inner/manager"), ChildState::Terminated);
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

/// A child may hold a handle, which holds the supervisor.
#[tokio::test(start_paused = true)]
async fn what_was_added_is_let_go_of_when_the_run_ends_or_it_is_deleted() {
    let kept = Arc::new(());
    let child = |name: &'static str, handle: &Handle| {
        let kept = (Arc::clone(&kept), handle.clone());
        ChildSpec::new(name, move |cx: Cx<Infallible>| {
            let kept = kept.clone();
            async move {
                cx.stopping().await;
                drop(kept);
                Ok(())
            }
        })
    };
    let ended = run(sup(), async |handle, cx| {
        handle.add(child("a", &handle)).await.unwrap();
        handle.add(child("b", &handle)).await.unwrap();
        handle.terminate("a").await.unwrap();
        handle.delete("a").await.unwrap();
        sleep(secs(1)).await;
        assert_eq!(Arc::strong_count(&kept), 3, "b, and its life");
        cx.stop("the test ends");
    });
    ended.await.unwrap();
    assert_eq!(Arc::strong_count(&kept), 1);
}
