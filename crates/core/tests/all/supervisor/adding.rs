//! Children that are added while the supervisor runs, and forgotten.

use super::play::{Act::*, Diary, run, secs, state, sup, sup_after};
use std::{convert::Infallible, sync::Arc};
use tidegate_core::{
    Cx,
    supervisor::{ChildSpec, ChildState, ConfigError, ControlError, Handle, Restart, Supervisor},
};
use tokio::time::sleep;

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
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

#[tidegate_testkit::test]
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

/// A child may hold a handle, which holds the supervisor.
#[tidegate_testkit::test]
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
