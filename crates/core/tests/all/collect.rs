//! Scopes that collect the errors of their children.

use std::{future::pending, time::Duration};
use tidegate_core::{
    CancelToken, CauseKind, Cx, FirstSuccess, OnError, Reason, Scope, ScopeError, scope,
};
use tokio::time::{Instant, sleep};

const ALL: OnError = OnError::collect();

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The paths of what went wrong, in order.
fn paths<'a>(error: &'a ScopeError<&'static str>) -> Vec<&'a str> {
    let paths = error.reasons().filter_map(|reason| match reason {
        Reason::Failed(failure) => Some(failure.task().path()),
        Reason::Panicked(panic) => Some(panic.task().path()),
        _ => None,
    });
    paths.collect()
}

#[tidegate_testkit::test]
async fn all_errors_and_panics_are_collected_and_the_others_end_by_themselves() {
    let start = Instant::now();
    let error = Scope::builder("all")
        .on_error(ALL)
        .run(async |cx: Cx<&'static str>| {
            for (name, after) in [("b", 2), ("a", 1), ("d", 4)] {
                cx.spawn(name, async move {
                    sleep(secs(after)).await;
                    Err::<(), _>("bad")
                });
            }
            cx.spawn("c", async move {
                sleep(secs(3)).await;
                let too_late = Instant::now();
                assert!(too_late < start, "worse");
                Ok(())
            });
            let last = cx.spawn("good", async {
                sleep(secs(5)).await;
                Ok("value")
            });
            assert_eq!(last.await.unwrap(), "value");
            assert!(!cx.is_cancelled());
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), secs(5));
    assert_eq!(paths(&error), ["/all/a", "/all/b", "/all/c", "/all/d"]);
    assert_eq!(error.error(), Some(&"bad"));
}

#[tidegate_testkit::test]
async fn an_error_of_the_body_cancels_and_comes_after_those_before_it() {
    let error = Scope::builder("all")
        .on_error(ALL)
        .run(async |cx: Cx<&'static str>| {
            let child = cx.clone();
            cx.spawn("polite", async move {
                child.cancelled().await;
                Ok(())
            });
            assert!(cx.spawn("first", async { Err::<(), _>("bad") }).await.is_err());
            Err::<(), _>("the body's")
        })
        .await
        .unwrap_err();
    assert_eq!(paths(&error), ["/all/first", "/all"]);
}

#[tokio::test]
async fn a_panic_of_the_body_goes_on_unless_an_error_came_before_it() {
    let error = Scope::builder("all").on_error(ALL).run(async |cx: Cx<&'static str>| {
        cx.spawn("first", async { Err::<(), _>("bad") }).await.unwrap();
        Ok(())
    });
    assert_eq!(paths(&error.await.unwrap_err()), ["/all/first", "/all"]);

    let panics = Scope::builder("all").on_error(ALL).run(async |cx: Cx<&'static str>| {
        cx.spawn("later", async { Err::<(), _>("bad") });
        assert_eq!(cx.live(), 0, "deliberate");
        Ok(())
    });
    assert!(crate::caught::caught(panics).await.unwrap_err().contains("deliberate"));
}

#[tokio::test]
async fn what_there_is_no_room_for_is_counted() {
    let told = [(0, 1), (1, 1), (3, 3), (4, 4), (30, 20)]
        .map(|(max, kept)| (OnError::Collect { max }, kept));
    for (on_error, kept) in told.into_iter().chain([(OnError::collect(), 16)]) {
        let error = Scope::builder("all")
            .on_error(on_error)
            .run(async |cx: Cx<&'static str>| {
                (0..20).for_each(|_| drop(cx.spawn("bad", async { Err::<(), _>("bad") })));
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!((error.reasons().count(), error.report().more()), (kept, 20 - kept));
    }
}

#[tokio::test]
async fn the_text_tells_failures_from_those_that_came_after_the_cancellation() {
    let text = async |cancels: bool, is_finished: bool| {
        let token = CancelToken::new();
        let all = Scope::builder("all").on_error(OnError::Collect { max: 2 }).token(&token);
        let ended = all.run(async |cx: Cx<&'static str>| {
            let early = [(); 3].map(|()| cx.spawn("early", async { Err::<(), _>("bad") }));
            for early in early {
                assert!(early.await.is_err());
            }
            if cancels {
                token.cancel("enough");
                (0..2).for_each(|_| drop(cx.spawn("late", async { Err::<(), _>("cut off") })));
            }
            if is_finished { Ok(()) } else { Err("in the body") }
        });
        ended.await.unwrap_err().to_string()
    };
    let only_early = text(false, true).await;
    assert!(only_early.ends_with(" failed: bad; 2 more failed"), "{only_early}");
    // The failure of the body cancels the scope, so that it came before.
    let body_too = text(false, false).await;
    assert!(body_too.ends_with(" failed: bad; 3 more failed"), "{body_too}");
    let both = text(true, true).await;
    let end = "; 3 more failed; 2 more failed after it was cancelled";
    assert!(both.starts_with("cancelled: enough (at ") && both.ends_with(end), "{both}");
    let body_late = text(true, false).await;
    let end = "; 3 more failed; 3 more failed after it was cancelled";
    assert!(body_late.ends_with(end), "{body_late}");
}

#[tokio::test]
async fn the_first_of_those_after_a_cancellation_from_inside_is_the_reason_and_not_counted() {
    let ended = scope("job", async |cx: Cx<&'static str>| {
        cx.cancel("enough");
        for name in ["first", "second", "third"] {
            cx.spawn(name, async { Err::<(), _>("cut off") });
        }
        Ok(())
    });
    let error = ended.await.unwrap_err();
    assert_eq!((error.report().also().len(), error.report().late()), (2, 2));
    let text = error.to_string();
    assert!(text.ends_with("cut off; 2 more failed after it was cancelled"), "{text}");
}

/// What failed in its children is forgiven to a scope that has what it wanted: it counts no more.
#[tokio::test]
async fn late_failures_that_are_forgiven_are_not_counted() {
    let token = CancelToken::new();
    let race = Scope::builder("race").policy(FirstSuccess).token(&token);
    let ended = race.run(async |cx: Cx<&'static str>| {
        token.cancel("enough");
        assert!(cx.spawn("late", async { Err::<(), _>("cut off") }).await.is_err());
        assert!(cx.spawn("wins", async { Ok(()) }).await.is_ok());
        Err::<(), _>("in the body")
    });
    let error = ended.await.unwrap_err();
    assert_eq!((error.report().also().len(), error.report().late()), (1, 1));
    assert_eq!(error.report().tolerated().len(), 1);
    let text = error.to_string();
    assert!(text.ends_with("; 1 more failed after it was cancelled"), "{text}");
}

/// There were more before the cancellation than are kept.
#[tokio::test]
async fn a_late_failure_of_the_body_is_one_however_many_were_forgiven() {
    let token = CancelToken::new();
    let race = Scope::builder("race").policy(FirstSuccess).token(&token);
    let ended = race.run(async |cx: Cx<&'static str>| {
        for _ in 0..20 {
            assert!(cx.spawn("early", async { Err::<(), _>("no luck") }).await.is_err());
        }
        token.cancel("enough");
        assert!(cx.spawn("wins", async { Ok(()) }).await.is_ok());
        Err::<(), _>("in the body")
    });
    let error = ended.await.unwrap_err();
    assert_eq!((error.report().also().len(), error.report().late()), (1, 1));
}

#[tidegate_testkit::test]
async fn a_cancellation_from_outside_is_the_reason_and_the_errors_are_in_the_report() {
    for by_token in [true, false] {
        let token = CancelToken::new();
        let all = Scope::builder("all").on_error(ALL).timeout(secs(2)).token(&token);
        let error = all
            .run(async |cx: Cx<&'static str>| {
                assert!(cx.spawn("first", async { Err::<(), _>("bad") }).await.is_err());
                if by_token {
                    token.cancel("enough");
                }
                drop(cx.run(pending::<()>()).await);
                Ok(())
            })
            .await
            .unwrap_err();
        let kind = if by_token { CauseKind::Explicit } else { CauseKind::DeadlineExceeded };
        assert_eq!(error.cause().unwrap().kind(), kind);
        assert_eq!(paths(&error), ["/all/first"]);
    }
}

/// The callback holds the cancellation up until the child has failed of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_body_is_not_overtaken_by_its_consequences() {
    let one = Scope::builder("one").on_error(OnError::Collect { max: 1 });
    let error = one
        .run(async |cx: Cx<&'static str>| {
            let (own, child) = (cx.clone(), cx.clone());
            let callback = cx.token().on_cancel(move |_| {
                while own.live() > 0 {
                    std::thread::yield_now();
                }
            });
            callback.keep();
            cx.spawn("child", async move {
                while !child.is_cancelled() {
                    tokio::task::yield_now().await;
                }
                Err::<(), _>("because of the body")
            });
            Err::<(), _>("root cause")
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"root cause"), "{error}");
}

#[tokio::test]
async fn what_the_body_says_is_kept_though_there_is_no_room() {
    let one = Scope::builder("one").on_error(OnError::Collect { max: 1 });
    let error = one.run(async |cx: Cx<&'static str>| {
        assert!(cx.spawn("first", async { Err::<(), _>("bad") }).await.is_err());
        assert!(cx.spawn("second", async { Err::<(), _>("bad") }).await.is_err());
        assert_eq!(cx.live(), 9, "deliberate");
        Ok(())
    });
    let error = error.await.unwrap_err();
    assert_eq!(paths(&error), ["/one/first", "/one"]);
    assert_eq!(error.report().more(), 1);
}
