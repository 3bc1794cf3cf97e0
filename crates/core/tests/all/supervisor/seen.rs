//! What a look at a supervisor shows: its children, its history, its observer, snapshots.

use super::play::{Act::*, Diary, run, secs, sup, sup_after};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_core::{
    Backoff, Cx, Jitter,
    inspect::Snapshot,
    supervisor::{ChildSpec, ChildState, EventKind, Restart, Strategy, Supervisor},
};
use tokio::time::sleep;

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
async fn what_children_do_can_be_seen() {
    let diary = Diary::new();
    // No other test of the process has one of that name.
    let sup = Supervisor::builder("seen")
        .backoff(Backoff::constant(secs(9)).jitter(Jitter::None))
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
        assert_eq!((resource.kind(), resource.name().as_str()), ("supervisor", "seen"));
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
    assert!(gone.resources().iter().all(|resource| resource.name().as_str() != "seen"));
}

#[tidegate_testkit::test]
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
