//! A place in the line of a key, as a future.

use super::{
    entry::Entry,
    inner::Inner,
    state::{Fail, Form, Origin, Step},
    store::Store,
};
use crate::clock::{Clock, Timer};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Waits until it is decided, and does the work of the line when it is polled.
pub(super) struct Wait<'a, S: Store, C: Clock> {
    inner: &'a Inner<S, C>,
    entry: &'a Arc<Entry<C::Timer>>,
    cost: u64,
    form: Form,
    /// While it has a place.
    key: Option<usize>,
    alarm: Option<Pin<Box<C::Timer>>>,
}

impl<'a, S: Store, C: Clock> Wait<'a, S, C> {
    pub(super) fn new(
        inner: &'a Inner<S, C>,
        entry: &'a Arc<Entry<C::Timer>>,
        cost: u64,
        form: Form,
    ) -> Self {
        Self { inner, entry, cost, form, key: None, alarm: None }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Option<Result<Origin, Fail>> {
        let key = self.key?;
        // A waker is foreign code: not under the lock.
        let waker = cx.waker().clone();
        let ((step, unused), tally) = self.entry.with(|state| state.account.poll(key, waker));
        drop(unused);
        self.inner.counts.add(tally);
        let step = step?;
        self.key = None;
        Some(match step {
            Step::Passes(origin) => Ok(origin),
            Step::Fails(fail) => Err(fail),
            // It would not have been given up.
            Step::Waits(_) => Ok(Origin::Nowhere),
        })
    }

    /// Whether the deadline is over.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Form::Wait { deadline } = self.form else { return false };
        if deadline == u64::MAX {
            return false;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(self.inner.clock.timer()));
        alarm.as_mut().poll_until(deadline, cx).is_ready()
    }
}

impl<S: Store, C: Clock> Future for Wait<'_, S, C> {
    type Output = Result<Origin, Fail>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.key.is_none() {
            let (cost, form) = (this.cost, this.form);
            let waker = Some(cx.waker().clone());
            let join =
                |state: &mut super::entry::State<C::Timer>| state.account.join(cost, form, waker);
            this.key = Some(this.entry.with(join).0);
        } else if let Some(done) = this.look(cx) {
            return Poll::Ready(done);
        }
        this.inner.drive(this.entry);
        if let Some(done) = this.look(cx) {
            return Poll::Ready(done);
        }
        if !this.is_late(cx) {
            return Poll::Pending;
        }
        // It may have been served by another thread since.
        if let Some(done) = this.look(cx) {
            return Poll::Ready(done);
        }
        let now = this.inner.clock.now();
        let wait = |state: &mut super::entry::State<C::Timer>| state.account.wait(now, this.cost);
        Poll::Ready(Err(Fail::TooLate { retry_after: this.entry.with(wait).0 }))
    }
}

impl<S: Store, C: Clock> Drop for Wait<'_, S, C> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.inner.leave(self.entry, key, self.cost);
        }
    }
}
