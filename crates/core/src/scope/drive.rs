//! Driving an open scope to its end: the body, the grace period and the join.

use super::{
    Cx, JoinReport, Reason,
    deadline::cancelled_or_expired,
    error::Payload,
    ledger::{Ledger, Raised},
    node::ScopeNode,
};
use crate::{
    Cause, CauseKind, TaskPanic,
    cancel::SharedError,
    inspect::{Doing, Left, leave},
    panic::{Caught, drop_quietly},
    rt,
    sync::Arc,
};
use std::{
    fmt::{Debug, Display},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::coop::unconstrained;

/// An open scope. Dropping it before it was closed orphans the children.
pub(crate) struct OpenScope {
    node: Arc<ScopeNode>,
    grace: Duration,
    closed: bool,
}

impl OpenScope {
    pub(super) fn new(node: Arc<ScopeNode>, grace: Duration) -> Self {
        Self { node, grace, closed: false }
    }

    pub(crate) fn node(&self) -> &Arc<ScopeNode> {
        &self.node
    }

    /// Waits until nothing else lives in the scope, and closes it.
    fn poll_close(&mut self, cx: &Context<'_>) -> Poll<Ledger> {
        self.node.poll_closed(cx).map(|()| {
            self.closed = true;
            self.node.close()
        })
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        let node = &self.node;
        // Whatever was tied to the scope by a token of its own ends with it, too.
        let kind = if self.closed { CauseKind::ScopeClosed } else { CauseKind::ScopeDropped };
        if !node.token().is_cancelled() {
            node.token().cancel(Cause::of_scope(kind, node.path().clone(), node.location()));
        }
        if !self.closed {
            node.orphan();
        }
    }
}

/// How a scope ended, and what else went wrong.
type Driven<T, E> = (Result<T, Reason<E>>, JoinReport<E>);

/// Drives an open scope to its end. A panic goes on in the caller: the body's, if nothing came
/// before it, and one that is to be raised.
pub(crate) async fn drive<T, E, F, Fut>(open: OpenScope, body: F) -> Driven<T, E>
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let (driven, panic) = drive_caught(open, body).await;
    if let Some((panic, payload)) = panic {
        drop_quietly(driven);
        panic.go_on(payload);
    }
    driven
}

/// The same, but such a panic is handed out.
pub(super) async fn drive_caught<T, E, F, Fut>(
    mut open: OpenScope,
    body: F,
) -> (Driven<T, E>, Option<Raised>)
where
    E: Display + Debug + Send + Sync + 'static,
    F: FnOnce(Cx<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let node = Arc::clone(open.node());
    // The body may use up the budget of the task at each poll: time passes all the same.
    let mut overdue = pin!(unconstrained(overdue(&node, open.grace)));
    let (ended, dropped, doing) = {
        let cx = Cx::new(Arc::clone(&node));
        let (body, panic) = match node.run_body(|| body(cx)).0 {
            Ok(body) => (Some(body), None),
            Err(caught) => (None, Some(caught)),
        };
        let mut body = pin!(body);
        let ended = match panic {
            Some(caught) => Ended::Panicked(caught, Left::default()),
            None => poll_fn(|cx| poll_body(&node, body.as_mut(), overdue.as_mut(), cx)).await,
        };
        let doing = matches!(ended, Ended::Overdue).then(|| {
            let doing = Doing::when_aborted(node.outside().body());
            node.abort_overdue();
            doing
        });
        // The body is dropped before the join: children may wait for what it holds.
        (ended, node.run_body(|| body.set(None)).0, doing)
    };
    let mut is_overdue = matches!(ended, Ended::Overdue);
    let (mut value, panic) = settle(&node, ended, dropped, doing);
    node.body_ended();
    let mut ledger = poll_fn(|cx| {
        let closed = open.poll_close(cx);
        if closed.is_pending() && !is_overdue && overdue.as_mut().poll(cx).is_ready() {
            is_overdue = true;
            node.abort_overdue();
        }
        closed
    })
    .await;
    let outer = node.outer_cause();
    drop(open);
    ledger.forgive_if_finished();
    let mut raised = ledger.take_raised();
    if let Some((panic, payload)) = panic {
        let first = ledger.begins_with(&panic);
        if first {
            drop_quietly(raised.replace((panic, payload)));
        } else {
            drop_quietly(payload);
        }
    }
    if raised.is_some() {
        drop_quietly(value.take());
    }
    let driven = ledger.into_result(outer, value);
    if let (Err(_), Some(cause)) = (&driven.0, driven.1.cause()) {
        // For the work that runs this: if it fails, too, this is why.
        leave(cause.clone());
    }
    (driven, raised)
}

/// How a body ended.
enum Ended<T, E> {
    Itself(Result<T, E>, Left),
    Panicked(Box<Caught>, Left),
    Overdue,
}

fn poll_body<T, E, Fut: Future<Output = Result<T, E>>>(
    node: &ScopeNode,
    body: Pin<&mut Option<Fut>>,
    overdue: Pin<&mut impl Future<Output = ()>>,
    cx: &mut Context<'_>,
) -> Poll<Ended<T, E>> {
    let (Some(body), false) = (body.as_pin_mut(), node.is_aborting()) else {
        return Poll::Ready(Ended::Overdue);
    };
    let (polled, left) = node.run_body(|| body.poll(cx));
    match polled {
        Ok(Poll::Ready(result)) => Poll::Ready(Ended::Itself(result, left)),
        Err(caught) => Poll::Ready(Ended::Panicked(caught, left)),
        // An abort of the scope above reaches a body by its waker, as it reaches a child.
        Ok(Poll::Pending) if node.park_driver(cx) => overdue.poll(cx).map(|()| Ended::Overdue),
        Ok(Poll::Pending) => Poll::Ready(Ended::Overdue),
    }
}

/// Enters what became of the body, and of its destructor. Returns its value, or its panic.
fn settle<T, E: Display + Debug + Send + Sync + 'static>(
    node: &ScopeNode,
    ended: Ended<T, E>,
    dropped: Result<(), Box<Caught>>,
    doing: Option<Doing>,
) -> (Option<T>, Option<(TaskPanic, Payload)>) {
    let mut value = None;
    let mut panic = None;
    match ended {
        Ended::Itself(Ok(ready), _) => value = Some(ready),
        Ended::Itself(Err(error), left) => {
            let error: Arc<dyn SharedError> = Arc::new(error);
            node.failed(None, &error, &left);
        }
        Ended::Panicked(caught, left) => panic = Some(node.panicked(None, *caught, &left)),
        Ended::Overdue => node.note_aborted(None, doing),
    }
    if let Err(caught) = dropped {
        let (second, payload) = node.panicked(None, *caught, &Left::default());
        drop_quietly(value.take());
        match panic {
            Some(_) => drop_quietly(payload),
            None => panic = Some((second, payload)),
        }
    }
    (value, panic)
}

/// Ends when the scope has been cancelled, by its deadline or otherwise, for as long as the
/// grace period.
async fn overdue(node: &ScopeNode, grace: Duration) {
    cancelled_or_expired(node).await;
    rt::sleep(grace).await;
}
