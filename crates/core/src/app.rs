//! The root of a program: one scope, ended by a signal, within a bounded time.
//!
//! | stage | begins | what happens |
//! |---|---|---|
//! | running | at the start | the body and its children run |
//! | draining | first SIGINT or SIGTERM, if there is time to drain | the token is stopped: take nothing new, finish what has begun |
//! | cancelling | the time to drain is over, or there is none; or the first failure | the token is cancelled; everybody may end in their own way |
//! | aborting | the grace period is over | what is left is dropped at its next await |
//! | given up | 1 s later | the report names what still runs, and `run` returns |
//!
//! A signal while draining skips to cancelling, and a further one from there to given up; the
//! first one leaves a program that is ending already its time.

use crate::{
    CancelToken, Cause, Cx, Name, Scope, ScopeError, Straggler, observe,
    scope::{ScopeNode, drive},
    sync::Arc,
};
use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    future::{Future, pending, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::coop::unconstrained;

/// How long work that was aborted may take to notice.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// Runs the root scope of a program and ends it in a bounded time when a signal comes.
///
/// With the feature `signal`, on Unix, SIGINT (Ctrl-C) and SIGTERM [stop](CancelToken::stop) the
/// root scope if it has time to [drain](Self::drain), and cancel it after that; each further one
/// skips a stage. Signal handlers stay installed after [`run`](Self::run) returns, as
/// tokio cannot remove them: a program should end then.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{convert::Infallible, time::Duration};
/// use tidegate_core::App;
///
/// let report = App::new("greeter")
///     .grace(Duration::from_secs(2))
///     .run(async |cx| {
///         let greeting = cx.spawn("greet", async { Ok::<_, Infallible>("hello") });
///         Ok(greeting.await.unwrap())
///     })
///     .await;
/// assert_eq!(report.exit_code(), 0);
/// assert_eq!(report.into_result().unwrap(), "hello");
/// # }
/// ```
///
/// # Limits
///
/// Two things can keep a program alive that no future can prevent:
///
/// - The body and the signals are polled by one task. While the body blocks or computes
///   without an await, no signal is heard and no time runs out. Keep it short, and spawn the
///   work as a child.
/// - A runtime that is dropped waits for its blocking work, and `#[tokio::main]` drops its
///   runtime. A program with blocking work that may hang builds its runtime by hand and ends
///   with [`shutdown_background`](tokio::runtime::Runtime::shutdown_background).
#[derive(Debug)]
#[must_use = "an app does nothing until it is run"]
pub struct App {
    scope: Scope,
    token: CancelToken,
    drain: Duration,
}

/// How a program ended, and what it left behind.
#[derive(Debug)]
#[must_use = "it may name work that still runs"]
pub struct ExitReport<T, E> {
    result: Result<T, ScopeError<E>>,
    gave_up: bool,
    signal: Option<i32>,
    stuck: Vec<Straggler>,
}

impl<T, E> ExitReport<T, E> {
    /// The result of the root scope. If [`App::run`] gave up it is an error, which has all
    /// that had gone wrong by then.
    ///
    /// # Errors
    ///
    /// As for [`Scope::run`].
    pub fn result(&self) -> Result<&T, &ScopeError<E>> {
        self.result.as_ref()
    }

    /// The same, by value.
    ///
    /// # Errors
    ///
    /// As for [`Scope::run`].
    pub fn into_result(self) -> Result<T, ScopeError<E>> {
        self.result
    }

    /// Whether [`App::run`] returned before the root scope had ended.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// The number of the first signal, such as 2 for SIGINT.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// What still ran when [`App::run`] gave up: blocking work, tasks that never yield, or
    /// at a further signal whatever had not ended; bodies included.
    #[must_use]
    pub fn stuck(&self) -> &[Straggler] {
        &self.stuck
    }

    /// Work that ignored the cancellation and was dropped after the grace period.
    #[must_use]
    pub fn aborted(&self) -> &[Straggler] {
        match &self.result {
            Err(error) => error.report().aborted(),
            Ok(_) => &[],
        }
    }

    /// The exit code: 0 for `Ok`, which a program that has drained in time returns, too;
    /// after a signal by the shell's convention 128 + its number; or 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.signal, &self.result) {
            (_, Ok(_)) => 0,
            (Some(signal), Err(_)) => 128 + u8::try_from(signal & 0x7f).unwrap_or(0),
            (None, Err(_)) => 1,
        }
    }
}

impl App {
    /// An app of that name, with a grace period of [`DEFAULT_GRACE`](crate::DEFAULT_GRACE).
    #[track_caller]
    pub fn new(name: impl Into<Name>) -> Self {
        Self { scope: Scope::builder(name), token: CancelToken::new(), drain: Duration::ZERO }
    }

    /// How long the program may take to end by itself once it is cancelled.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.scope = self.scope.grace(grace);
        self
    }

    /// Hands a value down to the whole program: see [`Scope::value`].
    pub fn value<V: Send + Sync + 'static>(mut self, value: V) -> Self {
        self.scope = self.scope.value(value);
        self
    }

    /// How long the program may go on with what it has begun once it is to stop, before it is
    /// cancelled. The default is no time at all.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{convert::Infallible, time::Duration};
    /// use tidegate_core::{App, Cx};
    ///
    /// let app = App::new("server").drain(Duration::from_secs(20)).grace(Duration::from_secs(5));
    /// let token = app.token().clone();
    /// let report = app
    ///     .run(async |cx: Cx<Infallible>| {
    ///         token.stop("as SIGTERM does");
    ///         cx.stopping().await;
    ///         // Refuse new connections here; what is open has 20 s.
    ///         Ok("drained")
    ///     })
    ///     .await;
    /// assert_eq!(report.exit_code(), 0);
    /// # }
    /// ```
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// The token a signal stops or cancels; do so to end the program in the same way.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Runs `body` as the root scope. Returns when the scope has ended, or has been given up:
    /// one second after the grace period, or at a signal in that.
    ///
    /// # Panics
    ///
    /// As for [`Scope::run`]; with the feature `signal`, if the handlers cannot be installed,
    /// or outside a tokio runtime with I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the root scope and aborts its children.
    pub async fn run<T, E, F, Fut>(self, body: F) -> ExitReport<T, E>
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Self { scope, token, drain } = self;
        let open = scope.root(&token);
        let (node, grace) = (Arc::clone(open.node()), open.grace());
        let mut running = pin!(drive(open, body));
        let mut signals = signals::Signals::install();
        // A body may use up the budget of the task at each poll: signals are heard and time
        // passes all the same.
        let mut drained = pin!(unconstrained(cancel_drained(&token, drain)));
        let mut given_up = pin!(unconstrained(give_up(&node, grace)));
        let mut signal = None;
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = running.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            while let Poll::Ready(received) = poll_unconstrained(cx, |cx| signals.poll(cx)) {
                let cause = Cause::signal(received.name);
                let is_first = signal.is_none();
                signal.get_or_insert(received.number);
                if is_first {
                    observe::stopping(node.name().as_str(), &cause);
                    // A program that is draining already skips to the next stage.
                    if !token.stop(cause.clone()) {
                        token.cancel(cause);
                    }
                } else if node.token().is_cancelled() {
                    return Poll::Ready(None);
                } else {
                    token.cancel(cause);
                }
            }
            let _: Poll<Infallible> = drained.as_mut().poll(cx);
            given_up.as_mut().poll(cx).map(|()| None)
        })
        .await;
        let Some(result) = result else {
            let stuck = node.stragglers();
            observe::left(&node.path(), &stuck, "gave up");
            return ExitReport { result: node.give_up(), gave_up: true, signal, stuck };
        };
        ExitReport { result, gave_up: false, signal, stuck: Vec::new() }
    }
}

fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

/// Cancels a program that is to stop when it has had its time to drain; never ends itself.
async fn cancel_drained(token: &CancelToken, drain: Duration) -> Infallible {
    let cause = token.stopping().await;
    if !drain.is_zero() {
        tokio::time::sleep(drain).await;
    }
    token.cancel(cause);
    pending().await
}

/// Ends when a cancelled program has had its grace period and then the time to abort.
async fn give_up(node: &ScopeNode, grace: Duration) {
    node.token().cancelled().await;
    tokio::time::sleep(grace.saturating_add(ABORT_WAIT)).await;
}

#[cfg(all(unix, feature = "signal"))]
mod signals {
    use std::task::{Context, Poll};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// A signal that asks the program to end.
    pub(super) struct Received {
        pub(super) name: &'static str,
        pub(super) number: i32,
    }

    pub(super) struct Signals(Vec<(&'static str, SignalKind, Signal)>);

    impl Signals {
        pub(super) fn install() -> Self {
            let kinds = [("SIGINT", SignalKind::interrupt()), ("SIGTERM", SignalKind::terminate())];
            Self(kinds.map(|(name, kind)| (name, kind, listen(name, kind))).into())
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
            for (name, kind, signal) in &mut self.0 {
                if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                    return Poll::Ready(Received { name, number: kind.as_raw_value() });
                }
            }
            Poll::Pending
        }
    }

    fn listen(name: &str, kind: SignalKind) -> Signal {
        signal(kind).unwrap_or_else(|error| panic!("cannot listen for {name}: {error}"))
    }
}

#[cfg(not(all(unix, feature = "signal")))]
mod signals {
    use std::task::{Context, Poll};

    /// Without the feature no signal is listened for.
    pub(super) struct Received {
        pub(super) name: &'static str,
        pub(super) number: i32,
    }

    pub(super) struct Signals;

    impl Signals {
        pub(super) fn install() -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "the same shape as with signals")]
        pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<Received> {
            Poll::Pending
        }
    }
}
