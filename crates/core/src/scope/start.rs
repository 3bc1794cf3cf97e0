//! Children that say when they are up, and children that come back at intervals.

use super::{Cx, Task};
use crate::Name;
use std::{
    fmt::{self, Debug, Display},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

/// A child's side of [`Cx::start`].
#[derive(Debug)]
#[must_use = "the starter waits until the child says that it is up"]
pub struct Ready<R>(oneshot::Sender<R>);

impl<R> Ready<R> {
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
        let this = self.get_mut();
        Pin::new(&mut this.told).poll(cx).map(|told| {
            let task = this.task.take().expect("it was ready before");
            match told {
                Ok(value) => Ok((value, task)),
                Err(_) => Err(NotReady(task)),
            }
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
    /// Dropping the future leaves the child in the scope, and [`Ready::up`] gives it its value
    /// back.
    #[track_caller]
    pub fn start<R, T, F, Fut>(&self, name: impl Into<Name>, child: F) -> Start<R, T, E>
    where
        T: Send + 'static,
        F: FnOnce(Ready<R>) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        Start { task: Some(self.spawn(name, child(Ready(tell)))), told }
    }

    /// Starts a child that calls `work` now and then once per `period`, one call after the
    /// other, until the scope is to stop or `work` fails. Of the ticks that pass during a call
    /// one is kept, as Go's `time.Ticker` does; without a period it goes on at once.
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
    /// Outside a tokio runtime; the child does without a time driver.
    ///
    /// # Cancel safety
    ///
    /// Awaiting the task is cancel safe, and dropping it neither stops nor detaches the child.
    #[track_caller]
    pub fn every<F, Fut>(&self, name: impl Into<Name>, period: Duration, mut work: F) -> Task<(), E>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let cx = self.clone();
        self.spawn(name, async move {
            let mut ticks = interval(period.max(Duration::from_nanos(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut stopping = pin!(cx.stopping());
            let mut goes_on = async || {
                poll_fn(|cx| match stopping.as_mut().poll(cx) {
                    Poll::Ready(_) => Poll::Ready(false),
                    Poll::Pending => ticks.poll_tick(cx).map(|_| true),
                })
                .await
            };
            while goes_on().await {
                work().await?;
            }
            Ok(())
        })
    }
}
