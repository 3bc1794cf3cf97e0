//! Tokens of tokio-util.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tidegate_core::{CancelToken, Cx, Scope};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn ours_cancels_theirs_while_the_link_lives() {
    let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    let child = theirs.child_token();
    drop(ours.propagate_to(&theirs));
    let other = CancellationToken::new();
    let link = ours.child().propagate_to(&other);
    ours.propagate_to(&child).keep();
    ours.cancel("the end");
    assert!(other.is_cancelled() && child.is_cancelled());
    assert!(!theirs.is_cancelled(), "the link was dropped before");
    assert!(!link.unregister(), "it was called");
    let late = CancellationToken::new();
    drop(ours.propagate_to(&late));
    assert!(late.is_cancelled(), "at once");
}

#[test]
fn theirs_may_be_gone_before_ours_and_ours_before_theirs() {
    let ours = CancelToken::new();
    let link = ours.propagate_to(&CancellationToken::new());
    ours.cancel("the end");
    drop(link);
    let theirs = CancellationToken::new();
    let link = CancelToken::new().propagate_to(&theirs);
    assert!(link.unregister());
    assert!(!theirs.is_cancelled());
}

#[test]
fn theirs_cancels_ours_while_the_work_is_polled() {
    let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    {
        let line = line!() + 1;
        let mut work = pin!(ours.following(&theirs, ours.cancelled()));
        assert!(work.as_mut().poll(&mut cx).is_pending());
        theirs.cancel();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(cause) = work.as_mut().poll(&mut cx) else { panic!("it was cancelled") };
        assert_eq!((cause.location().file(), cause.location().line()), (file!(), line));
        assert_eq!(cause.message(), Some("a CancellationToken was cancelled"));
    }
    // Polled on, though the token that it follows has nothing more to say.
    let mut work = pin!(ours.following(&theirs, pending::<()>()));
    assert!(work.as_mut().poll(&mut cx).is_pending());
    assert!(work.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn a_link_that_is_dropped_leaves_nothing_with_theirs() {
    let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let held = Arc::strong_count(&wakes);
    {
        let mut work = pin!(ours.following(&theirs, pending::<()>()));
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Arc::strong_count(&wakes) > held);
    }
    assert_eq!(Arc::strong_count(&wakes), held);
    theirs.cancel();
    assert!(!ours.is_cancelled());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn the_first_cause_stays() {
    let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    ours.cancel("before");
    theirs.cancel();
    let mut work = pin!(ours.following(&theirs, async { 7 }));
    let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(7));
    assert_eq!(ours.cause().unwrap().message(), Some("before"));
}

#[tokio::test]
async fn both_ways_at_once_come_to_an_end() {
    let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    let link = ours.propagate_to(&theirs);
    let canceller = theirs.clone();
    let scope = Scope::builder("served").token(&ours).run(async |cx: Cx<Infallible>| {
        canceller.cancel();
        cx.cancelled().await;
        Ok(())
    });
    let error = ours.following(&theirs, scope).await.unwrap_err();
    assert!(error.cause().unwrap().same(&ours.cause().unwrap()));
    drop(link);
}
