//! The future that the runtime of a bubble blocks on: the test, beside what ends it.

use super::{
    Mode,
    failure::FailureKind,
    place::Spy,
    shared::{Shared, Suspicion},
    step::Turn,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep},
};

/// Further away than any timer of a test: the timers of tokio reach 795 days far, and it is to fire
/// twice. No number of years, lest it fires together with a timer, which would not count then.
pub(super) const SENTINEL: Duration = Duration::from_secs(397 * 24 * 60 * 60);

pub(super) struct Root<'a, F> {
    test: Pin<&'a mut F>,
    shared: &'a Shared,
    spy: &'a Spy,
    /// None, if the clock is the real one.
    sentinel: Option<Sentinel>,
}

/// A timer that fires when no other is left.
struct Sentinel {
    timer: Pin<Box<Sleep>>,
    /// When the test was polled last.
    polled: Instant,
    /// Whether it has fired since: another timer may be further away than it was then.
    has_fired: bool,
}

impl<'a, F: Future> Root<'a, F> {
    pub(super) fn new(
        test: Pin<&'a mut F>,
        (shared, spy): (&'a Shared, &'a Spy),
        mode: Mode,
    ) -> Self {
        let sentinel = (mode == Mode::Virtual).then(Sentinel::new);
        Self { test, shared, spy, sentinel }
    }
}

impl Sentinel {
    fn new() -> Self {
        Self { timer: Box::pin(sleep(SENTINEL)), polled: Instant::now(), has_fired: false }
    }

    /// tokio forgets it until it is polled.
    fn disarm(&mut self) {
        self.timer.set(sleep(SENTINEL));
        self.has_fired = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Fired {
        let now = Instant::now();
        let fired = if self.timer.as_mut().poll(cx).is_ready() {
            if std::mem::replace(&mut self.has_fired, true) { Fired::Again } else { Fired::Once }
        } else {
            if now > self.polled {
                (self.polled, self.has_fired) = (now, false);
            }
            Fired::No
        };
        if self.timer.deadline() < now + SENTINEL {
            self.timer.as_mut().reset(now + SENTINEL);
            // It is pending, and has the waker.
            let _: Poll<()> = self.timer.as_mut().poll(cx);
        }
        fired
    }
}

impl<F> Root<'_, F> {
    /// Does what a step of the clock calls for; whether that is all for this time.
    fn is_stepping(&mut self, cx: &mut Context<'_>) -> bool {
        let was_woken = self.spy.take_woken();
        let (Some(sentinel), turn) = (&mut self.sentinel, self.shared.step(was_woken)) else {
            return false;
        };
        match turn {
            Turn::Usual => return false,
            Turn::Disarm => sentinel.disarm(),
            Turn::Wait => return true,
            Turn::Again | Turn::Over(_) => {}
        }
        cx.waker().wake_by_ref();
        true
    }
}

enum Fired {
    No,
    /// Another timer may still be left, which was further away.
    Once,
    /// Nothing has happened in between.
    Again,
}

impl<F: Future> Future for Root<'_, F> {
    type Output = Result<F::Output, FailureKind>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let suspicion = this.shared.poll_root(cx.waker());
        if suspicion.is_none() && this.is_stepping(cx) {
            return Poll::Pending;
        }
        let tasks = Handle::current().metrics().num_alive_tasks();
        let fired = this.sentinel.as_mut().map(|sentinel| (sentinel.poll(cx), sentinel.polled));
        match fired {
            None => this.shared.progress(),
            Some((Fired::Again, polled)) => {
                let elapsed = this.shared.elapsed_at(polled);
                return Poll::Ready(Err(FailureKind::Deadlock { elapsed, tasks }));
            }
            // The clock has moved on for the sentinel alone.
            Some((Fired::Once, _)) => {
                this.shared.tell(None);
                return this.spy.poll(this.test.as_mut(), cx).map(Ok);
            }
            Some((Fired::No, _)) => {}
        }
        if let Some(budget) = this.shared.used_up() {
            return Poll::Ready(Err(FailureKind::OverBudget { budget, tasks }));
        }
        let elapsed = this.shared.elapsed_at(Instant::now());
        if let Some(budget) = this.shared.over_moved() {
            return Poll::Ready(Err(FailureKind::OverMoved { budget, elapsed, tasks }));
        }
        match suspicion {
            Some(Suspicion::WasBusy) => Poll::Ready(Err(FailureKind::Livelock { elapsed, tasks })),
            Some(Suspicion::WasIdle) => Poll::Ready(Err(FailureKind::Waits { elapsed, tasks })),
            None => {
                this.shared.count_poll();
                if let Some(budget) = this.shared.over_polled() {
                    let kind = FailureKind::OverPolled { budget, elapsed, tasks };
                    return Poll::Ready(Err(kind));
                }
                this.shared.preempt();
                this.spy.poll(this.test.as_mut(), cx).map(Ok)
            }
        }
    }
}
