//! Tasks and timers as shuttle schedules them.
//!
//! A task is shuttle's, and may be interrupted wherever it touches a lock or an atomic, as a
//! thread may. Time is no clock: a timer is a task that goes off when the scheduler comes to it,
//! be that at once or after everything else. So a schedule may have any delay expire between any
//! two steps. Only what lies more than a year ahead never comes.

use crate::sync::{Arc, Mutex, lock};
use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

pub(crate) use shuttle::future::{JoinHandle, spawn, yield_now as consume_budget};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Blocking work is a task that never awaits.
pub(crate) fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    spawn(async { work() })
}

/// No program here awaits itself.
pub(crate) fn is_part_of<T>(_: &JoinHandle<T>) -> bool {
    false
}

/// A delay of whatever length the scheduler likes.
pub(crate) struct Sleep {
    deadline: Option<Instant>,
    alarm: Option<Arc<Alarm>>,
}

/// What a timer shares with its task.
#[derive(Default)]
struct Alarm(Mutex<State>);

#[derive(Default)]
struct State {
    has_gone_off: bool,
    waker: Option<Waker>,
}

pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: Instant::now().checked_add(duration), alarm: None }
}

pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline: Some(deadline), alarm: None }
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline.expect("only a delay can be too long for the clock")
    }

    pub(crate) fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        *self = sleep_until(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.is_none_or(|deadline| deadline > Instant::now() + YEAR) {
            return Poll::Pending;
        }
        let alarm = self.alarm.get_or_insert_with(Alarm::set);
        let waker = Some(cx.waker().clone());
        let mut state = lock(&alarm.0);
        if state.has_gone_off {
            return Poll::Ready(());
        }
        let former = mem::replace(&mut state.waker, waker);
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl Alarm {
    fn set() -> Arc<Self> {
        let alarm = Arc::<Self>::default();
        let ringing = Arc::clone(&alarm);
        drop(spawn(async move { ringing.go_off() }));
        alarm
    }

    fn go_off(&self) {
        let mut state = lock(&self.0);
        state.has_gone_off = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// `future` had not ended when its time was over.
pub(crate) struct Elapsed;

pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut expired) = (pin!(future), pin!(sleep(limit)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => expired.as_mut().poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}
