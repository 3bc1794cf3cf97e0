//! The chain from a cause to what it all began with.

use crate::scope::Broken;
use std::{future::Future, pin::Pin, time::Duration};
use tidegate_core::{CancelToken, Cause, CauseKind, Cx, OnError, Scope, ScopeError, scope};
use tokio::task::yield_now;

type Boxed = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;

/// The paths of a chain, from the root on.
fn origins(cause: &Cause) -> Vec<&str> {
    let mut origins: Vec<_> = cause.chain().map(|cause| cause.origin().unwrap()).collect();
    origins.reverse();
    origins
}

async fn failing(cx: &Cx<Broken>, name: &'static str) -> Result<(), ScopeError<Broken>> {
    cx.scope(name, async |_| Err(Broken("io timeout"))).await
}

#[tokio::test]
async fn a_failed_scope_is_why_the_child_failed_that_ran_it() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let own = cx.clone();
        cx.spawn("db", async move {
            yield_now().await;
            own.scope("pool", async |cx: Cx<Broken>| {
                cx.spawn("conn-7", async { Err::<(), _>(Broken("io timeout")) });
                cx.cancelled().await;
                Ok(())
            })
            .await
            .map_err(|_| Broken("no database"))
        });
        // What a sibling sees.
        let cause = cx.cancelled().await;
        assert_eq!(origins(&cause), ["/srv/pool/conn-7", "/srv/db"]);
        assert_eq!(cause.root().downcast_ref(), Some(&Broken("io timeout")));
        Ok(())
    })
    .await
    .unwrap_err();
    let cause = error.cause().unwrap();
    assert_eq!(cause.kind(), CauseKind::ChildFailed);
    assert_eq!(origins(cause), ["/srv/pool/conn-7", "/srv/db"]);
    let (root, file) = (cause.root().location().line(), file!());
    let line = cause.location().line();
    assert_eq!(
        cause.to_string(),
        format!(
            "/srv/pool/conn-7 failed: io timeout (at {file}:{root}) \
             -> /srv/db failed: no database (at {file}:{line})"
        )
    );
}

#[tokio::test]
async fn a_failed_scope_is_why_the_body_failed_that_ran_it() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let outer = cx.scope("outer", async |cx: Cx<Broken>| {
            failing(&cx, "inner").await.map_err(|_| Broken("inner"))
        });
        outer.await.map_err(|_| Broken("outer"))
    })
    .await
    .unwrap_err();
    assert_eq!(origins(error.cause().unwrap()), ["/srv/outer/inner", "/srv/outer", "/srv"]);
}

#[tokio::test]
async fn panics_are_links_too() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let own = cx.clone();
        cx.spawn("unwraps", async move {
            failing(&own, "inner").await.unwrap();
            Ok(())
        });
        cx.cancelled().await;
        Ok(())
    })
    .await
    .unwrap_err();
    let cause = error.cause().unwrap();
    assert_eq!(origins(cause), ["/srv/inner", "/srv/unwraps"]);
    assert_eq!(cause.kind(), CauseKind::ChildPanicked);
    assert!(cause.message().unwrap().contains("io timeout"), "{cause}");

    let error = scope("srv", async |cx: Cx<Broken>| {
        let own = cx.clone();
        cx.spawn("runs", async move {
            let inner = own.scope("inner", async |_: Cx<Broken>| -> Result<(), Broken> {
                panic!("deliberate")
            });
            inner.await.map_err(|_| Broken("not reached"))
        });
        cx.cancelled().await;
        Ok(())
    })
    .await
    .unwrap_err();
    let kinds: Vec<_> = error.cause().unwrap().chain().map(Cause::kind).collect();
    assert_eq!(kinds, [CauseKind::ChildPanicked; 2]);
    assert_eq!(origins(error.cause().unwrap()), ["/srv/inner", "/srv/runs"]);
}

#[tokio::test]
async fn a_failure_that_was_handled_is_not_blamed() {
    // Of a scope that nobody's work runs.
    scope("alone", async |_| Err::<(), _>(Broken("io timeout"))).await.unwrap_err();
    let error = scope("srv", async |cx: Cx<Broken>| {
        let own = cx.clone();
        let handled = cx.spawn("handles", async move {
            failing(&own, "inner").await.unwrap_err();
            Ok(())
        });
        handled.await.unwrap();
        failing(&cx, "inner").await.unwrap_err();
        yield_now().await;
        Err::<(), _>(Broken("something else"))
    })
    .await
    .unwrap_err();
    assert_eq!(origins(error.cause().unwrap()), ["/srv"]);
}

#[tokio::test]
async fn a_scope_that_ends_well_meanwhile_changes_nothing() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let failed = failing(&cx, "first").await;
        cx.scope("second", async |_: Cx<Broken>| Ok(())).await.unwrap();
        cx.scope("third", async |cx: Cx<Broken>| {
            failing(&cx, "handled").await.unwrap_err();
            Ok(())
        })
        .await
        .unwrap();
        failed.map_err(|_| Broken("first"))
    })
    .await
    .unwrap_err();
    assert_eq!(origins(error.cause().unwrap()), ["/srv/first", "/srv"]);
}

#[tidegate_testkit::test]
async fn a_deadline_is_a_root() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let query = Scope::builder("query").parent(&cx).timeout(Duration::from_secs(1));
        let rows = query.run(async |cx: Cx<Broken>| {
            cx.cancelled().await;
            Ok(())
        });
        rows.await.map_err(|_| Broken("no rows"))
    })
    .await
    .unwrap_err();
    let cause = error.cause().unwrap();
    assert_eq!(origins(cause), ["/srv/query", "/srv"]);
    assert_eq!(cause.root().kind(), CauseKind::DeadlineExceeded);
}

#[tokio::test]
async fn where_errors_are_collected_the_first_is_the_root() {
    let error = scope("srv", async |cx: Cx<Broken>| {
        let all = Scope::builder("all").parent(&cx).on_error(OnError::Collect { max: 8 });
        let ended = all.run(async |cx: Cx<Broken>| {
            for name in ["0", "1"] {
                cx.spawn(name, async { Err::<(), _>(Broken("bad")) });
            }
            Ok(())
        });
        ended.await.map_err(|_| Broken("some were bad"))
    })
    .await
    .unwrap_err();
    assert_eq!(origins(error.cause().unwrap()), ["/srv/all/0", "/srv"]);
}

#[tokio::test]
async fn a_scope_that_was_cancelled_from_outside_gives_that_cause() {
    let token = CancelToken::new();
    token.cancel("enough");
    let ended = Scope::builder("srv").token(&token).run(async |cx: Cx<Broken>| {
        cx.cancelled().await;
        Err::<(), _>(Broken("cut off"))
    });
    let error = ended.await.unwrap_err();
    assert!(error.cause().unwrap().same(&token.cause().unwrap()));
    assert!(error.to_string().starts_with("cancelled: enough (at "), "{error}");
}

#[tokio::test]
async fn the_cause_of_a_stop_speaks_of_no_cancellation() {
    let token = CancelToken::new();
    token.stop("a new version takes over");
    let text = token.stopping().await.to_string();
    assert!(text.starts_with("a new version takes over (at "), "{text}");
}

/// An error whose destructor panics, if it is the last.
#[derive(Debug)]
struct Explosive;

impl std::fmt::Display for Explosive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("explosive")
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("deliberate");
    }
}

#[tokio::test]
async fn an_error_that_is_forgotten_takes_nobody_along() {
    let value = scope("srv", async |cx: Cx<Broken>| {
        let own = cx.clone();
        let handles = cx.spawn("handles", async move {
            let inner = own.scope("inner", async |_: Cx<Explosive>| Err::<(), _>(Explosive));
            inner.await.unwrap_err();
            Ok(())
        });
        handles.await.unwrap();
        let inner = cx.scope("inner", async |_: Cx<Explosive>| Err::<(), _>(Explosive));
        inner.await.unwrap_err();
        Ok(7)
    });
    assert_eq!(value.await.unwrap(), 7);
}

/// Each level is a child that runs a scope, whose child does the same.
fn descend(cx: Cx<Broken>, depth: usize) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return Err(Broken("the bottom"));
        }
        let below = cx.scope("s", async move |cx: Cx<Broken>| {
            cx.spawn("c", descend(cx.clone(), depth - 1));
            cx.cancelled().await;
            Ok(())
        });
        below.await.map_err(|_| Broken("a level"))
    })
}

#[tokio::test]
async fn a_failure_goes_up_through_ten_thousand_scopes() {
    const DEPTH: usize = if cfg!(miri) { 50 } else { 10_000 };
    let error = scope("r", async |cx: Cx<Broken>| {
        cx.spawn("c", descend(cx.clone(), DEPTH));
        cx.cancelled().await;
        Ok(())
    })
    .await
    .unwrap_err();
    let cause = error.cause().unwrap();
    assert_eq!(cause.origin(), Some("/r/c"));
    assert_eq!(cause.root().downcast_ref(), Some(&Broken("the bottom")));
    let links = cause.chain().count();
    assert_eq!(links, 16);
    assert_eq!(links + cause.chain().map(Cause::left_out).sum::<usize>(), DEPTH + 1);
    drop(error);
}
