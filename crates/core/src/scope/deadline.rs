//! When a scope runs out of time.
//!
//! A scope has a deadline of its own or none, and never more time than a scope around it has.
//! Its own may be moved while it runs. Only a deadline that comes before those of all scopes
//! around it needs a timer: the others are cancelled from above by then, by whoever polls the
//! scope above.

use super::node::ScopeNode;
use crate::{
    Cause, CauseKind,
    panic::wake_quietly,
    rt::{Sleep, sleep_until},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// A scope's own deadline.
#[derive(Default)]
pub(super) struct Deadline {
    at: Mutex<Option<Instant>>,
    /// Whether it was what cancelled the scope.
    has_cancelled: AtomicBool,
}

impl Deadline {
    pub(super) fn has_cancelled(&self) -> bool {
        self.has_cancelled.load(Ordering::Acquire)
    }

    pub(super) fn get(&self) -> Option<Instant> {
        *lock(&self.at)
    }

    fn set(&self, at: Option<Instant>) {
        // Timers round up: what is at the end of the clock is no deadline for them.
        *lock(&self.at) = at.filter(|at| at.checked_add(Duration::from_secs(1)).is_some());
    }
}

impl ScopeNode {
    /// When the time of this scope is over: the earliest deadline from here up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut earliest = self.own_deadline().get();
        let mut around = self.canceller();
        while let Some(node) = around {
            let other = node.own_deadline().get();
            earliest = earliest.into_iter().chain(other).min();
            around = node.canceller();
        }
        earliest
    }

    /// Moves the deadline. The drivers of this scope and of those below look again: a scope
    /// below may need a timer now, or none.
    pub(super) fn set_deadline(&self, at: Option<Instant>) {
        self.own_deadline().set(at);
        self.wake_driver();
        let mut nested = self.nested_scopes();
        while let Some(scope) = nested.pop() {
            scope.wake_driver();
            nested.extend(scope.nested_scopes());
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.take_driver() {
            wake_quietly(driver);
        }
    }

    /// The scope's own deadline, if it comes before those of the scopes around it.
    pub(super) fn due(&self) -> Option<Instant> {
        let own = self.own_deadline().get()?;
        let around = self.canceller().and_then(|around| around.deadline());
        (around.is_none_or(|around| own < around)).then_some(own)
    }

    pub(super) fn cancel_expired(&self) {
        let kind = CauseKind::DeadlineExceeded;
        if self.token().cancel(Cause::of_scope(kind, self.path().clone(), self.location())) {
            self.own_deadline().has_cancelled.store(true, Ordering::Release);
        }
    }
}

/// Ends when the scope is cancelled, which it is at its deadline. Whoever polls this has left
/// its waker as the scope's driver before, so that a deadline that moves is seen.
pub(super) async fn cancelled_or_expired(node: &ScopeNode) {
    let mut cancelled = pin!(node.token().cancelled());
    let mut timer = Timer::default();
    poll_fn(|cx| {
        if cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll(node.due(), cx).map(|()| node.cancel_expired())
    })
    .await;
}

/// A timer that is armed only while there is something to wait for.
#[derive(Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else {
            self.0 = None;
            return Poll::Pending;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}
