//! What a child is: its code, and how it is started, stopped and started again.

use super::{
    Exit, ExitKind, Handle, Restart, Supervisor, SupervisorError, builder::Shared, mailbox::End,
    run::supervise, state::Kid,
};
use crate::{
    Backoff, Cx, DEFAULT_GRACE, Name, Ready, Reason, Scope, ScopeError,
    panic::quietly,
    scope::{Placed, run_supervised},
    sync::Arc,
};
use std::{
    fmt::{self, Debug, Display, Write},
    future::Future,
    panic::Location,
    pin::Pin,
    time::Duration,
};

/// How long a child may take until it says that it is up, unless it is told otherwise: 30 s.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a child's error is kept as text.
const TEXT_MAX: usize = 1024;

/// One life of a child, from the outside.
pub(super) type Running = Pin<Box<dyn Future<Output = End> + Send>>;

type Body = dyn Fn(Scope<Placed>, Option<Ready<()>>) -> Running + Send + Sync;

/// A child of a [`Supervisor`]: a name, the code, and when it is started again.
///
/// The code is called for each life of the child, with a [`Cx`] of a new scope that is nested in
/// the supervisor's. Everything it spawns there has ended before it is started again. Each child
/// has errors of its own type.
///
/// ```
/// use std::{io, time::Duration};
/// use tidegate_core::{Cx, supervisor::{ChildSpec, Restart}};
///
/// let conn = ChildSpec::new("conn", |cx: Cx<io::Error>| async move {
///     // Connect and serve here.
///     cx.stopping().await;
///     Ok(())
/// })
/// .restart(Restart::Transient)
/// .stop_grace(Duration::from_secs(2))
/// .after("config");
/// assert_eq!(conn.name().as_str(), "conn");
/// ```
#[derive(Clone)]
#[must_use = "a child is not started until its supervisor is"]
pub struct ChildSpec {
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) body: Arc<Body>,
    pub(super) stop_grace: Duration,
    pub(super) nested: Option<Arc<Shared>>,
    restart: Restart,
    significant: bool,
    start_timeout: Option<Duration>,
    after: Vec<Name>,
    backoff: Option<Backoff>,
}

impl ChildSpec {
    /// A child that is up as soon as it is started.
    #[track_caller]
    pub fn new<E, F, Fut>(name: impl Into<Name>, code: F) -> Self
    where
        E: Display + Debug + Send + Sync + 'static,
        F: Fn(Cx<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let code = Arc::new(code);
        Self::of(name.into(), None, move |scope, _| {
            let code = Arc::clone(&code);
            Box::pin(async move { End::of(run_supervised(scope, move |cx| code(cx)).await) })
        })
    }

    /// A child that says itself when it is up, as [`Cx::start`] has it: those that come after it
    /// in the order of start wait for that.
    ///
    /// It is stopped, and has failed, if it lets go of its [`Ready`] without a word, or when its
    /// [time](Self::start_timeout) is over.
    ///
    /// ```
    /// use std::io;
    /// use tidegate_core::{Cx, Ready, supervisor::ChildSpec};
    ///
    /// let server = ChildSpec::starting("server", |cx: Cx<io::Error>, ready: Ready<()>| async move {
    ///     // Bind the socket here.
    ///     ready.up(()).ok();
    ///     cx.stopping().await;
    ///     Ok(())
    /// });
    /// # drop(server);
    /// ```
    #[track_caller]
    pub fn starting<E, F, Fut>(name: impl Into<Name>, code: F) -> Self
    where
        E: Display + Debug + Send + Sync + 'static,
        F: Fn(Cx<E>, Ready<()>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let code = Arc::new(code);
        let body = move |scope, ready: Option<Ready<()>>| -> Running {
            let code = Arc::clone(&code);
            Box::pin(async move {
                let Some(ready) = ready else { return End::aborted() };
                End::of(run_supervised(scope, move |cx| code(cx, ready)).await)
            })
        };
        Self { start_timeout: Some(DEFAULT_START_TIMEOUT), ..Self::of(name.into(), None, body) }
    }

    /// A supervisor as a child, under its own name. Its children are reached by a
    /// [path](super::Handle). It is up when all of them are, or have ended. It fails if it gives
    /// up, so that it is this supervisor's turn to decide. Its [`stop_grace`](Self::stop_grace)
    /// and its [`start_timeout`](Self::start_timeout) are unlimited, unless they are set: each of
    /// its children has its own.
    #[track_caller]
    pub fn supervisor(supervisor: Supervisor) -> Self {
        let shared = supervisor.into_shared();
        let nested = Arc::clone(&shared);
        let name = shared.name.clone();
        let body = move |scope: Scope<Placed>, ready| -> Running {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let scope = scope.value(Handle::new(Arc::clone(&shared)));
                let code = |cx: Cx<SupervisorError>| async move {
                    match supervise(&shared, &cx, ready).await {
                        // It has done what it was told to.
                        Err(SupervisorError::Cancelled(_)) => Ok(()),
                        ended => ended,
                    }
                };
                End::of(run_supervised(scope, code).await)
            })
        };
        let of = Self::of(name, Some(nested), body);
        Self { stop_grace: Duration::MAX, start_timeout: Some(Duration::MAX), ..of }
    }

    #[track_caller]
    fn of(
        name: Name,
        nested: Option<Arc<Shared>>,
        body: impl Fn(Scope<Placed>, Option<Ready<()>>) -> Running + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            at: Location::caller(),
            body: Arc::new(body),
            stop_grace: DEFAULT_GRACE,
            nested,
            restart: Restart::default(),
            significant: false,
            start_timeout: None,
            after: Vec::new(),
            backoff: None,
        }
    }

    /// Whether it is started again when it has ended. The default is [`Restart::Permanent`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it may go on once it was asked to end, before it is dropped at its next await:
    /// the grace period of its scope. The default is [`DEFAULT_GRACE`]; none is OTP's
    /// `brutal_kill`, and [`Duration::MAX`] its `infinity`.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// How long it may take until it [says that it is up](Self::starting); nothing, if it does
    /// not. The default is [`DEFAULT_START_TIMEOUT`]; [`Duration::MAX`] waits for ever.
    pub fn start_timeout(mut self, time: Duration) -> Self {
        self.start_timeout = self.start_timeout.map(|_| time);
        self
    }

    /// Starts it after that child, and stops it before. It is not started, first or again, while
    /// that child is not up but is on its way; one that has ended for good is not waited for, nor
    /// one of that name that is added later.
    pub fn after(mut self, child: impl Into<Name>) -> Self {
        self.after.push(child.into());
        self
    }

    /// Lets its end end the supervisor, as its [`AutoShutdown`](super::AutoShutdown) says.
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// How long to wait before it is started again, instead of the
    /// [supervisor's](super::SupervisorBuilder::backoff).
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn kid(&self, backoff: &Backoff) -> Kid {
        Kid {
            name: self.name.clone(),
            restart: self.restart,
            significant: self.significant,
            is_supervisor: self.nested.is_some(),
            start_timeout: self.start_timeout,
            after: self.after.clone(),
            // Children that failed together must not come back together.
            backoff: self.backoff.as_ref().unwrap_or(backoff).fork(self.name.as_str()),
        }
    }

    /// Whether it says itself when it is up.
    pub(super) fn is_starting(&self) -> bool {
        self.start_timeout.is_some()
    }

    pub(super) fn after_names(&self) -> &[Name] {
        &self.after
    }
}

impl Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("significant", &self.significant)
            .field("after", &self.after)
            .field("stop_grace", &self.stop_grace)
            .finish_non_exhaustive()
    }
}

impl End {
    /// What became of the scope of a child.
    fn of<E: Display + Debug + Send + Sync + 'static>(result: Result<(), ScopeError<E>>) -> Self {
        let Err(error) = result else { return Self { exit: Exit::finished(), error: None } };
        let kind = match error.reason() {
            Reason::Failed(_) => ExitKind::Failed,
            Reason::Panicked(_) => ExitKind::Panicked,
            Reason::Cancelled(_) => ExitKind::Cancelled,
            // Nobody gives the scope of a child a policy that could have no outcome.
            Reason::Aborted | Reason::Empty => ExitKind::Aborted,
        };
        let mut text = Text(String::new());
        // The `Display` of an error is foreign code. What does not fit is cut off.
        if !quietly(|| _ = write!(text, "{error}")) {
            text = Text("(cannot be displayed)".to_owned());
        }
        let error = match error.into_reason() {
            Reason::Failed(failure) => Some(failure.into_shared() as _),
            _ => None,
        };
        Self { exit: Exit::new(kind, text.0), error }
    }

    /// The child was dropped, and nobody knows more.
    pub(super) fn aborted() -> Self {
        Self { exit: Exit::new(ExitKind::Aborted, "dropped before it ended"), error: None }
    }
}

/// A text of bounded length.
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_MAX.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let cut = (0..=room).rev().find(|cut| text.is_char_boundary(*cut)).unwrap_or(0);
        self.0.push_str(&text[..cut]);
        self.0.push_str("...");
        Err(fmt::Error)
    }
}
