//! Children that say when they are up, and children that come back at intervals.

use super::{Cx, Task};
use crate::{
    Name, Stopping,
    rt::{Sleep, consume_budget, sleep_until},
};
use std::{
    fmt::{self, Debug, Display},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// A child's side of [`Cx::start`].
#[derive(Debug)]
#[must_use = "the starter waits until the child says that it is up"]
pub struct Ready<R>(oneshot::Sender<R>);

impl<R> Ready<R> {
    pub(crate) fn channel() -> (Self, oneshot::Receiver<R>) {
        let (tell, told) = oneshot::channel();
        (Self(tell), told)
    }

    /// Says that the child is up, with what the starter needs of it, such as an address.
    ///
    /// # Errors
    ///
    /// The value, if nobody waits for it any more.
    pub fn up(self, value: R) -> Result<(), R> {
        self.0.send(value)
    }
}

/// A child that was started has ended, or dropped its [`Ready`], without being up. Its task
/// knows more.
pub struct NotReady<T, E>(Task<T, E>);

impl<T, E> NotReady<T, E> {
    /// The child. If it has ended, awaiting it says why.
    ///
    /// # Cancel safety
    ///
    /// Awaiting the task is cancel safe, and dropping it neither stops nor detaches the child.
    /// Tested by `awaiting_a_child_that_is_not_ready`.
    #[must_use]
    pub fn into_task(self) -> Task<T, E> {
        self.0
    }
}

impl<T, E> Display for NotReady<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the child did not say that it is up")
    }
}

impl<T, E> Debug for NotReady<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotReady").field(&self.0).finish()
    }
}

impl<T, E> std::error::Error for NotReady<T, E> {}

/// Waits until a child is up; made by [`Cx::start`].
#[must_use = "futures do nothing unless awaited"]
pub struct Start<R, T, E> {
    told: oneshot::Receiver<R>,
    task: Option<Task<T, E>>,
}

impl<R, T, E> Future for Start<R, T, E> {
    type Output = Result<(R, Task<T, E>), NotReady<T, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { told, task } = self.get_mut();
        let mut result = None;
        let told = match Pin::new(&mut *told).poll(cx) {
            Poll::Ready(told) => told.ok(),
            // The child may have ended and left its `Ready` to somebody else.
            Poll::Pending => {
                let task = task.as_mut().expect("it was ready before");
                result = Some(ready!(Pin::new(task).poll(cx)));
                told.try_recv().ok()
            }
        };
        let task = task.take().expect("it was ready before");
        let task = result.map_or(task, Task::ended);
        Poll::Ready(match told {
            Some(value) => Ok((value, task)),
            None => Err(NotReady(task)),
        })
    }
}

impl<R, T, E> Debug for Start<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("task", &self.task).finish_non_exhaustive()
    }
}

impl<E: Display + Debug + Send + Sync + 'static> Cx<E> {
    /// Starts a child and waits until it says that it is up: Trio's `nursery.start`, or
    /// systemd's `Type=notify`. The child runs from the call on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, Ready, scope};
    ///
    /// let port = scope("server", async |cx: Cx<Infallible>| {
    ///     let server = cx.clone();
    ///     let started = cx.start("accept", move |ready: Ready<u16>| async move {
    ///         // Bind the socket here.
    ///         ready.up(8080).ok();
    ///         server.stopping().await;
    ///         Ok(())
    ///     });
    ///     let (port, _accept) = started.await.unwrap();
    ///     cx.stop("the example ends");
    ///     Ok(port)
    /// });
    /// assert_eq!(port.await.unwrap(), 8080);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotReady`] with the task, if the child ends or drops its [`Ready`] before it is up.
    /// If it failed, the scope has its error.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime; the future, if it is polled again after it was ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the child in the scope, and from then on [`Ready::up`] gives
    /// it its value back. A value that the child has handed over by then is dropped. Tested by
    /// `starting_a_child`.
    #[track_caller]
    pub fn start<R, T, F, Fut>(&self, name: impl Into<Name>, child: F) -> Start<R, T, E>
    where
        T: Send + 'static,
        F: FnOnce(Ready<R>) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (ready, told) = Ready::channel();
        Start { task: Some(self.spawn(name, child(ready))), told }
    }

    /// Starts a child that calls `work` now and then once per `period`, one call after the
    /// other, until the scope is to stop or `work` fails. Of the ticks that pass during a call
    /// one is kept, as Go's `time.Ticker` does; without a period the next call follows at once.
    /// Timers are as fine as tokio's, which is a millisecond.
    ///
    /// A stop lets a call that has begun end; a cancellation is for `work` to see.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{convert::Infallible, time::Duration};
    /// use tidegate_core::{Cx, Scope};
    ///
    /// let ended = Scope::builder("job").timeout(Duration::from_secs(25));
    /// let error = ended
    ///     .run(async |cx: Cx<Infallible>| {
    ///         let mut beats = 0;
    ///         cx.every("heartbeat", Duration::from_secs(10), move || {
    ///             beats += 1;
    ///             println!("beat {beats}"); // After 0, 10 and 20 s.
    ///             async { Ok(()) }
    ///         });
    ///         cx.cancelled().await;
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(error.is_err());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. Without a time driver the child panics, and the scope fails.
    ///
    /// # Cancel safety
    ///
    /// Awaiting the task is cancel safe, and dropping it neither stops nor detaches the child.
    /// Tested by `awaiting_a_task`.
    #[track_caller]
    pub fn every<F, Fut>(&self, name: impl Into<Name>, period: Duration, mut work: F) -> Task<(), E>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let cx = self.clone();
        self.spawn(name, async move {
            let mut tick = Instant::now();
            let mut timer = pin!(sleep_until(tick));
            while !cx.is_stopping() {
                work().await?;
                // Also without a period others have their turn.
                consume_budget().await;
                let now = Instant::now();
                let Some(next) = next_tick(tick, now, period) else {
                    cx.stopping().await;
                    break;
                };
                tick = next;
                if tick > now {
                    timer.as_mut().reset(tick);
                    wait(timer.as_mut(), cx.stopping()).await;
                }
            }
            Ok(())
        })
    }
}

/// Waits for the timer or the stop, whichever comes first.
async fn wait(mut timer: Pin<&mut Sleep>, stopping: Stopping<'_>) {
    let mut stopping = pin!(stopping);
    poll_fn(|cx| match stopping.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => timer.as_mut().poll(cx),
    })
    .await;
}

/// The tick after `tick`, or the latest that is over, so that of several one is kept and those
/// after it stay where they were; `None`, if it is further away than the clock reaches.
fn next_tick(tick: Instant, now: Instant, period: Duration) -> Option<Instant> {
    let next = tick.checked_add(period)?;
    next.checked_add(Duration::from_secs(1))?;
    let late = now.saturating_duration_since(next).as_nanos();
    let since = late.checked_rem(period.as_nanos()).unwrap_or(0);
    let since = Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX));
    Some(if late == 0 { next } else { now.checked_sub(since)? })
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_on_their_grid_and_one_that_passed_is_kept() {
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let next = |tick, now| next_tick(at(tick), at(now), Duration::from_secs(10));
        assert_eq!(next(0, 0), Some(at(10)));
        assert_eq!(next(0, 9), Some(at(10)));
        assert_eq!(next(0, 10), Some(at(10)));
        assert_eq!(next(0, 25), Some(at(20)), "over: it is due at once, and the next at 30");
        assert_eq!(next(20, 25), Some(at(30)));
        assert_eq!(next(0, 40), Some(at(40)));
        assert_eq!(next_tick(at(3), at(7), Duration::ZERO), Some(at(7)), "at once");
        assert_eq!(next_tick(at(3), at(7), Duration::MAX), None);
    }
}
