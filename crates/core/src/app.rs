//! The root of a program: one scope, ended by a signal, within a bounded time.
//!
//! | stage | begins | what happens |
//! |---|---|---|
//! | running | at the start | the body and its children run |
//! | cancelling | first SIGINT or SIGTERM, or the first failure | the scope's token is cancelled; everybody may end in their own way |
//! | aborting | the grace period is over | what is left is dropped at its next await |
//! | given up | 1 s later, or at a second signal | the report names what still runs, and `run` returns |

use crate::{
    CancelToken, Cause, Cx, DEFAULT_GRACE, Name, Scope, ScopeError, Straggler,
    scope::{ScopeNode, drive},
    sync::Arc,
};
use std::{
    fmt::{Debug, Display},
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How long work that was aborted may take to notice.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// Runs the root scope of a program and ends it in a bounded time when a signal comes.
///
/// With the feature `signal`, SIGINT (Ctrl-C) and SIGTERM cancel the root scope; a second
/// one gives up at once. Signal handlers stay installed after [`run`](Self::run) returns, as
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
/// assert_eq!(report.into_result().unwrap().unwrap(), "hello");
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an app does nothing until it is run"]
pub struct App {
    scope: Scope,
    grace: Duration,
    token: CancelToken,
}

/// How a program ended, and what it left behind.
#[derive(Debug)]
#[must_use = "it may name work that still runs"]
pub struct ExitReport<T, E> {
    result: Option<Result<T, ScopeError<E>>>,
    signal: Option<i32>,
    stuck: Vec<Straggler>,
}

impl<T, E> ExitReport<T, E> {
    /// The result of the root scope; none, if it had not ended when [`App::run`] gave up.
    #[must_use]
    pub fn result(&self) -> Option<&Result<T, ScopeError<E>>> {
        self.result.as_ref()
    }

    /// The same, by value.
    #[must_use]
    pub fn into_result(self) -> Option<Result<T, ScopeError<E>>> {
        self.result
    }

    /// The number of the first signal, such as 2 for SIGINT.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// What still ran when [`App::run`] gave up: blocking work, or tasks that never yield.
    #[must_use]
    pub fn stuck(&self) -> &[Straggler] {
        &self.stuck
    }

    /// Work that ignored the cancellation and was dropped after the grace period.
    #[must_use]
    pub fn aborted(&self) -> &[Straggler] {
        match &self.result {
            Some(Err(error)) => error.report().aborted(),
            _ => &[],
        }
    }

    /// The exit code by the shell's convention: 128 + the signal's number, or 0 for `Ok`,
    /// or 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.signal, &self.result) {
            (Some(signal), _) => 128 + u8::try_from(signal & 0x7f).unwrap_or(0),
            (None, Some(Ok(_))) => 0,
            (None, _) => 1,
        }
    }
}

impl App {
    /// An app of that name, with a grace period of [`DEFAULT_GRACE`].
    #[track_caller]
    pub fn new(name: impl Into<Name>) -> Self {
        let token = CancelToken::new();
        let scope = Scope::builder(name).token(&token);
        Self { scope, grace: DEFAULT_GRACE, token }
    }

    /// How long the program may take to end by itself once it is cancelled.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The token a signal cancels; cancel it to end the program in the same way.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Runs `body` as the root scope. Returns when the scope has ended, or has been given up:
    /// one second after the grace period, or at a second signal.
    ///
    /// # Panics
    ///
    /// A panic of the body is resumed here; with the feature `signal`, if the handlers
    /// cannot be installed, or outside a tokio runtime with I/O enabled.
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
        let Self { scope, grace, token } = self;
        let open = scope.root();
        let node = Arc::clone(open.node());
        let mut running = pin!(drive(open, grace, body));
        let mut signals = signals::Signals::install();
        let mut given_up = pin!(give_up(&node, grace));
        let mut signal = None;
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = running.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            while let Poll::Ready(received) = signals.poll(cx) {
                if signal.is_some() {
                    return Poll::Ready(None);
                }
                signal = Some(received.number);
                let cause = Cause::signal(received.name);
                crate::observe::stopping(node.name().as_str(), &cause);
                token.cancel(cause);
            }
            given_up.as_mut().poll(cx).map(|()| None)
        })
        .await;
        let stuck = if result.is_some() { Vec::new() } else { node.stragglers() };
        ExitReport { result, signal, stuck }
    }
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
