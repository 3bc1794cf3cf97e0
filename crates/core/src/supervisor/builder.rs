//! A supervisor that is not running yet, and what it shares with its handles.

use super::{
    AutoShutdown, ChildSpec, ConfigError, Event, Handle, Strategy, SupervisorError,
    handle::Command,
    mailbox::Mailbox,
    order::order,
    policy::Rules,
    run::run_in,
    state::{ChildId, Machine},
};
use crate::{
    Backoff, Cx, Name, Scope,
    sync::{Arc, Mutex, lock},
};
use std::{
    collections::HashMap,
    fmt::{self, Debug, Display},
    future::Future,
    panic::Location,
    time::Duration,
};
use tokio::sync::Semaphore;

/// How many commands of [handles](Handle) may be under way at once; more wait for their turn.
const COMMANDS_MAX: usize = 64;
const DEFAULT_MAX_CHILDREN: usize = 1024;
const DEFAULT_HISTORY: usize = 64;

type Observer = dyn Fn(&Event) + Send + Sync;

/// Starts children in order, starts them again when they fail, and gives up when they fail too
/// often: see the [module](super).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{io, time::Duration};
/// use tidegate_core::{
///     Backoff, Cx, scope,
///     supervisor::{ChildSpec, Strategy, Supervisor, SupervisorError},
/// };
///
/// let db = Supervisor::builder("db")
///     .strategy(Strategy::RestForOne)
///     .intensity(3, Duration::from_secs(5))
///     .backoff(Backoff::exponential(Duration::from_millis(10)))
///     .child(ChildSpec::new("conn", |_: Cx<io::Error>| async {
///         Err(io::Error::other("connection refused"))
///     }))
///     .build()?;
/// let error = scope("app", async |cx: Cx<SupervisorError>| db.run(&cx).await).await.unwrap_err();
/// let fatal = error.error().and_then(SupervisorError::fatal).unwrap();
/// assert_eq!(fatal.path(), "/app/db/conn");
/// assert!(fatal.downcast_ref::<io::Error>().is_some());
/// # Ok(())
/// # }
/// ```
#[must_use = "a supervisor does nothing until it is run"]
pub struct Supervisor(Arc<Shared>);

/// Builds a [`Supervisor`]; made by [`Supervisor::builder`].
#[must_use = "it builds nothing until it is told to"]
pub struct SupervisorBuilder {
    name: Name,
    at: &'static Location<'static>,
    rules: Rules,
    backoff: Backoff,
    observer: Option<Arc<Observer>>,
    children: Vec<ChildSpec>,
}

/// What a supervisor and its handles share.
pub(super) struct Shared {
    pub(super) name: Name,
    /// Where it was declared.
    pub(super) at: &'static Location<'static>,
    pub(super) rules: Rules,
    pub(super) backoff: Backoff,
    pub(super) observer: Option<Arc<Observer>>,
    /// In the order of start.
    pub(super) children: Vec<ChildSpec>,
    pub(super) mail: Mailbox<Command>,
    pub(super) permits: Arc<Semaphore>,
    core: Mutex<Core>,
}

/// What a run changes, and handles look at. Nothing foreign is called or dropped under its lock.
#[derive(Default)]
pub(super) struct Core {
    /// Of the run, or of the last one.
    pub(super) machine: Option<Machine>,
    pub(super) specs: HashMap<ChildId, ChildSpec>,
}

impl Shared {
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Core) -> R) -> R {
        f(&mut lock(&self.core))
    }
}

impl Supervisor {
    /// A supervisor of that name, with OTP's defaults: [`Strategy::OneForOne`], and one restart
    /// within 5 s. Delays before restarts are exponential from 100 ms, up to 30 s.
    #[track_caller]
    pub fn builder(name: impl Into<Name>) -> SupervisorBuilder {
        SupervisorBuilder {
            name: name.into(),
            at: Location::caller(),
            rules: Rules {
                strategy: Strategy::default(),
                intensity: 1,
                period: Duration::from_secs(5),
                auto_shutdown: AutoShutdown::default(),
                max_children: DEFAULT_MAX_CHILDREN,
                history: DEFAULT_HISTORY,
            },
            backoff: Backoff::exponential(Duration::from_millis(100)),
            observer: None,
            children: Vec::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// To look at it, and to control it while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.0))
    }

    /// Runs the children in a scope of the supervisor's name, nested in that of `cx`, until it
    /// is stopped, or cancelled, or gives up. All children have ended by then.
    ///
    /// A failure of a child makes no scope fail: what follows is the supervisor's decision. When
    /// `cx` is [stopped](Cx::stop) the children are asked to end softly, one after the other in
    /// reverse order, for as long as they like; when it is cancelled, in the same order, each
    /// within its own [`stop_grace`](ChildSpec::stop_grace). The grace period of the scope around
    /// it is a bound for all of them. So is a deadline; children do not see it as theirs.
    ///
    /// Without children it waits for some to be [added](Handle::add).
    ///
    /// # Errors
    ///
    /// [`SupervisorError::GaveUp`] with the last error, if children failed too often;
    /// [`SupervisorError::Significant`], if one failed that ends the supervisor;
    /// [`SupervisorError::Cancelled`]; [`SupervisorError::Running`], if it runs already, or
    /// children of a run that was dropped have not ended. It is `Ok` if it was stopped, or ended
    /// with a significant child that had finished.
    ///
    /// # Panics
    ///
    /// If the runtime has no time driver, when it first has to wait for a time.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. Dropping the future after that aborts the children,
    /// and the scope of `cx` waits for them, as it does for any [scope](Cx::scope). Tested by
    /// `a_run_dropped_at_any_await_leaves_nothing_alive`.
    #[track_caller]
    pub fn run<P>(&self, cx: &Cx<P>) -> impl Future<Output = Result<(), SupervisorError>> + use<P> {
        let scope = Scope::builder(self.0.name.clone()).parent(cx).grace(Duration::MAX);
        run_in(Arc::clone(&self.0), scope.value(self.handle()))
    }

    pub(super) fn into_shared(self) -> Arc<Shared> {
        self.0
    }
}

impl SupervisorBuilder {
    /// Which children are started again when one has failed.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.rules.strategy = strategy;
        self
    }

    /// How many restarts there may be within a period. The one after that, and any without a
    /// restart to spare, ends the supervisor. A group that is started again counts as one; what
    /// is restarted by hand does not. A child whose last life was as long as the period begins
    /// with the first delay of its backoff again.
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.rules.intensity = restarts;
        self.rules.period = period;
        self
    }

    /// How long to wait before a child is started again. Each child goes through the delays on
    /// its own, with jitter of its own; when they [end](Backoff::limit), the supervisor gives up.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Whether the end of significant children ends the supervisor.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child. Children are started in the order in which they were added, but none before
    /// those that it comes [after](ChildSpec::after); and stopped in reverse.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// How many children there may be, those included that are added later. The default is 1024.
    pub fn max_children(mut self, max: usize) -> Self {
        self.rules.max_children = max;
        self
    }

    /// How many [events](Handle::history) are kept. The default is 64.
    pub fn history(mut self, events: usize) -> Self {
        self.rules.history = events;
        self
    }

    /// Has `observer` called with each event. It runs within the supervisor, so it must be short;
    /// a panic of it is ignored.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// A supervisor, which does nothing until it is [run](Supervisor::run).
    ///
    /// # Errors
    ///
    /// If the children do not fit together: see [`ConfigError`].
    pub fn build(self) -> Result<Supervisor, ConfigError> {
        let Self { name, at, rules, backoff, observer, children } = self;
        if children.len() > rules.max_children {
            return Err(ConfigError::TooMany { max: rules.max_children });
        }
        for child in &children {
            rules.check(&child.kid(&backoff))?;
        }
        let order = order(children.iter().map(|child| (&child.name, child.after_names())))?;
        let children = order.into_iter().map(|n| children[n].clone()).collect();
        Ok(Supervisor(Arc::new(Shared {
            name,
            at,
            rules,
            backoff,
            observer,
            children,
            mail: Mailbox::new(),
            permits: Arc::new(Semaphore::new(COMMANDS_MAX)),
            core: Mutex::default(),
        })))
    }
}

impl Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&*self.0, f)
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .field("running", &self.mail.is_open())
            .finish_non_exhaustive()
    }
}

impl Debug for SupervisorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorBuilder")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

impl Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneForOne => "one for one",
            Self::OneForAll => "one for all",
            Self::RestForOne => "rest for one",
        })
    }
}
