//! Supervisors as children of others.

use super::play::{Act, Act::*, Diary, run, secs, state, sup, watch};
use std::{convert::Infallible, time::Duration};
use tidegate_core::{
    Backoff, Cx, Jitter,
    supervisor::{ChildSpec, ChildState, ControlError, Handle, Supervisor, SupervisorError},
};
use tokio::time::sleep;

/// A nested supervisor with one child that fails as it is told to.
fn nested(diary: &Diary, acts: &[Act]) -> ChildSpec {
    let inner = Supervisor::builder("in/ner").intensity(1, secs(100));
    let inner = inner.backoff(Backoff::constant(Duration::ZERO));
    let inner = inner.child(diary.child("x", &[Linger(1)])).child(diary.child("y%", acts));
    ChildSpec::supervisor(inner.build().unwrap())
}

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
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
        let exit = handle.child("in%2Fner").unwrap().last_exit.unwrap();
        assert!(!exit.is_failure(), "it did what it was told to: {exit}");
        sleep(secs(1)).await;
        let names: Vec<_> = inner.children().iter().map(|child| child.name.to_string()).collect();
        assert_eq!(names, ["x", "y%"]);
        assert!(inner.children().iter().all(|child| child.state == ChildState::Up));
        cx.stop("the test ends");
    });
    ended.await.unwrap();
}

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
async fn a_nested_supervisor_is_not_up_while_one_that_was_late_ends() {
    let diary = Diary::new();
    let constant = Backoff::constant(secs(50)).jitter(Jitter::None);
    let late = diary.slow("late", 9, &[Linger(2)]).start_timeout(secs(3));
    let inner = Supervisor::builder("inner").child(late).backoff(constant);
    let inner = ChildSpec::supervisor(inner.build().unwrap());
    let read = watch(&diary, sup().child(inner).child(diary.child("next", &[])), 9).await;
    assert_eq!(read, "0 +late, 5 -late, 5 +next");
}

#[tidegate_testkit::test]
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
