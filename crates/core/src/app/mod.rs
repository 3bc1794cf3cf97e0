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
//! first one leaves a program that is ending already its time. [`stages`] says how long each
//! stage may take, [`report`] how it ended; [`attendant`] answers SIGUSR1 and SIGQUIT, and ends
//! a program that hangs in spite of a signal.

#[cfg(all(unix, feature = "signal"))]
mod attendant;
#[cfg(all(unix, feature = "signal"))]
mod pictures;
mod report;
#[cfg(all(unix, feature = "signal"))]
mod signals;
#[cfg(not(all(unix, feature = "signal")))]
#[path = "no_signals.rs"]
mod signals;
mod stages;

pub use self::report::ExitReport;
use self::{
    signals::{Received, Signals},
    stages::{Times, join_orphans, left_by_orphans, pass, stuck},
};
use crate::{
    CancelToken, Cause, Cx, DEFAULT_GRACE, Name, OnPanic, Scope,
    inspect::{Snapshot, Watch},
    observe,
    scope::{ScopeNode, drive},
    sync::Arc,
};
use std::{
    fmt::{self, Debug, Display},
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::coop::unconstrained;

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
/// With the same feature, SIGUSR1 and SIGQUIT (Ctrl-\\) write a [picture](Snapshot) of all that runs
/// to stderr, and the program goes on: also one whose workers all hang, since a thread of its own
/// listens for these. While it runs, an app keeps a [`Watch`], so that the picture tells times.
///
/// # Limits
///
/// - The body and the stages are polled by one task. While the body blocks or computes without an
///   await, no time runs out and no signal is heard there, nor is one while all workers of the
///   runtime hang. Keep the body short, and spawn the work as a child. After a signal
///   the thread above ends a program that hangs so: one second after all stages have had their
///   time it writes the picture to stderr and exits with 128 + the number of the signal.
/// - A runtime that is dropped waits for its blocking work, and `#[tokio::main]` drops its
///   runtime. A program with blocking work that may hang ends with [`ExitReport::exit`], or
///   builds its runtime by hand and ends it with
///   [`shutdown_background`](tokio::runtime::Runtime::shutdown_background).
#[must_use = "an app does nothing until it is run"]
pub struct App {
    scope: Scope,
    token: CancelToken,
    budget: Option<Duration>,
    drain: Option<Duration>,
    grace: Duration,
    on_dump: Arc<dyn Fn(&Snapshot) + Send + Sync>,
}

impl App {
    /// An app of that name, with a grace period of [`DEFAULT_GRACE`](crate::DEFAULT_GRACE).
    #[track_caller]
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            scope: Scope::builder(name),
            token: CancelToken::new(),
            budget: None,
            drain: None,
            grace: DEFAULT_GRACE,
            on_dump: Arc::new(print),
        }
    }

    /// How long the program may take to end by itself once it is cancelled.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long the program may take from the moment it is to stop, or is cancelled, until
    /// [`run`](Self::run) returns: some seconds less than the 30 that Kubernetes waits before it
    /// kills, so that there is time to say what was left. The
    /// stages share it: a second (or a quarter, if that is less) to abort, then the
    /// [grace](Self::grace) period as far as there is room, and the rest to
    /// [drain](Self::drain), which has no more than that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{convert::Infallible, future::pending, time::Duration};
    /// use tidegate_core::{App, Cx};
    /// use tokio::time::Instant;
    ///
    /// let app = App::new("server").budget(Duration::from_secs(25)).grace(Duration::from_secs(5));
    /// app.token().stop("as SIGTERM does");
    /// let begun = Instant::now();
    /// let report = app
    ///     .run(async |cx: Cx<Infallible>| {
    ///         cx.cancelled().await; // After the time to drain.
    ///         assert_eq!(begun.elapsed(), Duration::from_secs(19));
    ///         pending::<Result<(), _>>().await
    ///     })
    ///     .await;
    /// assert_eq!(begun.elapsed(), Duration::from_secs(24), "aborted at once after the grace");
    /// assert_eq!(report.aborted().len(), 1);
    /// # }
    /// ```
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }

    /// What is done with the picture of all that runs which SIGUSR1 or SIGQUIT asks for, instead of
    /// writing it to stderr. It runs on a thread of its own.
    pub fn on_dump(mut self, on_dump: impl Fn(&Snapshot) + Send + Sync + 'static) -> Self {
        self.on_dump = Arc::new(on_dump);
        self
    }

    /// Hands a value down to the whole program: see [`Scope::value`].
    pub fn value<V: Send + Sync + 'static>(mut self, value: V) -> Self {
        self.scope = self.scope.value(value);
        self
    }

    /// What the panic of a child does, anywhere in the program: see [`OnPanic`].
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.scope = self.scope.on_panic(on_panic);
        self
    }

    /// How long the program may go on with what it has begun once it is to stop, before it is
    /// cancelled. The default is what a [budget](Self::budget) leaves, and no time at all without one.
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
        self.drain = Some(time);
        self
    }

    /// The token a signal stops or cancels; do so to end the program in the same way.
    #[must_use]
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Runs `body` as the root scope. Returns when the scope has ended, and what root scopes left
    /// that were dropped; or when it has been given up: one second after the grace period, or at
    /// a signal in that.
    ///
    /// # Panics
    ///
    /// As for [`Scope::run`]; with the feature `signal`, if the handlers cannot be installed,
    /// or outside a tokio runtime with I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the root scope and aborts its children. Tested by `an_app`.
    pub async fn run<T, E, F, Fut>(self, body: F) -> ExitReport<T, E>
    where
        E: Display + Debug + Send + Sync + 'static,
        F: FnOnce(Cx<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Self { scope, token, budget, drain, grace, on_dump } = self;
        let times = Times::within(budget, drain, grace);
        // Before anybody else hears one: a signal that this missed would end nothing.
        let mut signals =
            Signals::install().unwrap_or_else(|error| panic!("cannot listen for signals: {error}"));
        // Without a thread for it there are no times.
        let _watch = Watch::start();
        #[cfg(all(unix, feature = "signal"))]
        let _attendant =
            attendant::Attendant::start(times, on_dump).inspect_err(observe::unattended);
        #[cfg(not(all(unix, feature = "signal")))]
        drop(on_dump);
        let open = scope.grace(times.grace).root(&token);
        let node = Arc::clone(open.node());
        let mut stage = Stage { token: &token, node: &node, times, signal: None };
        let mut running = pin!(drive(open, body));
        // A body may use up the budget of the task at each poll: signals are heard and time
        // passes all the same.
        let mut passing = pin!(unconstrained(pass(&token, &node, times)));
        let mut overdue = |cx: &mut Context<'_>| {
            while let Poll::Ready(received) = poll_unconstrained(cx, |cx| signals.poll(cx)) {
                if stage.hear(&received) {
                    return Poll::Ready(());
                }
            }
            passing.as_mut().poll(cx)
        };
        let ended = poll_fn(|cx| match running.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => overdue(cx).map(|()| None),
        });
        let Some(result) = ended.await else {
            return give_up_on(&node, stage.signal);
        };
        let mut joining = pin!(unconstrained(join_orphans(times.abort)));
        poll_fn(|cx| match joining.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => overdue(cx),
        })
        .await;
        let (signal, stuck) = (stage.signal, left_by_orphans());
        ExitReport::ended(result, signal, stuck)
    }
}

/// What a signal does to a program.
struct Stage<'a> {
    token: &'a CancelToken,
    node: &'a ScopeNode,
    times: Times,
    signal: Option<i32>,
}

impl Stage<'_> {
    /// Goes to the next stage; true, if that is the last.
    fn hear(&mut self, received: &Received) -> bool {
        let cause = Cause::signal(received.name);
        if self.signal.is_some() {
            return self.node.token().is_cancelled() || !self.token.cancel(cause);
        }
        self.signal = Some(received.number);
        observe::stopping(self.node.name().as_str(), &cause);
        // A program that is draining already, or has no time to, skips to the next stage: at once,
        // so that a signal that comes together with this one finds it there.
        if !self.token.stop(cause.clone()) || self.times.drain.is_zero() {
            self.token.cancel(cause);
        }
        false
    }
}

/// The report of a program that did not end in time.
fn give_up_on<T, E: Send + Sync + 'static>(
    node: &Arc<ScopeNode>,
    signal: Option<i32>,
) -> ExitReport<T, E> {
    let (stuck, deadlocks) = (stuck(node), Snapshot::take().deadlocks());
    observe::left(node.path(), &stuck, "gave up");
    let result = node.give_up();
    ExitReport::given_up(result, signal, stuck, deadlocks)
}

/// A picture goes to stderr, where people look for it. Nobody may be there to read.
fn print(snapshot: &Snapshot) {
    use std::io::Write as _;
    let _ = write!(std::io::stderr().lock(), "{snapshot}");
}

fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

impl Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("scope", &self.scope)
            .field("budget", &self.budget)
            .field("drain", &self.drain)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
