//! A test in a runtime and on a clock of its own, which says why it does not go on.
//!
//! | what the runtime does | how the bubble knows | verdict |
//! |---|---|---|
//! | all tasks wait, and no timer is armed | a sentinel timer, a year ahead, is the next to fire | [`Deadlock`](FailureKind::Deadlock) |
//! | timers fire without end | the clock has passed the budget when the runtime is idle | [`OverBudget`](FailureKind::OverBudget) |
//! | tasks run without end, none waits | it was not idle for long, in real time, and yet polls | [`Livelock`](FailureKind::Livelock) |
//! | all wait for a thread, or for I/O | it was idle for long, in real time | [`Waits`](FailureKind::Waits) |
//! | one poll does not return | it was not idle for long, and does not poll | the process ends, with a word |
//!
//! A paused clock moves when the runtime is idle, to the next timer that is armed. So a sentinel
//! fires exactly if there is no other: no time has to pass before it is known that nothing will
//! happen any more, and it does not matter what the tasks wait for.

mod failure;
mod panics;
mod place;
mod root;
mod shared;
mod time;
mod watchdog;

pub use self::failure::{Failure, FailureKind};
pub use self::time::{advance, settle};

use self::place::Spy;
use self::root::Root;
use self::shared::{Inside, Shared};
use self::watchdog::Watchdog;
use crate::{Leak, LeakGuard, Seed, clock};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// How far the clock of a bubble may move, unless it is told otherwise.
const VIRTUAL_BUDGET: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a bubble may make no progress, in real time, unless it is told otherwise.
const REAL_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in a bubble with everything as it is by default, and panics if that fails.
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::bubble;
/// use tokio::time::{Instant, sleep};
///
/// # #[cfg(not(miri))]
/// bubble(async {
///     let begun = Instant::now();
///     sleep(Duration::from_secs(3600)).await; // Takes no time.
///     assert_eq!(begun.elapsed(), Duration::from_secs(3600));
/// });
/// ```
///
/// # Panics
///
/// With the [`Failure`], or as the future does.
#[track_caller]
pub fn bubble<F: Future>(test: F) -> F::Output {
    match Bubble::new().run(test) {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

/// Which clock a bubble has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A clock that stands still while anything can go on, and jumps to the next timer when
    /// nothing can. Real sockets and pipes do not fit: the clock would not wait for them.
    #[default]
    Virtual,
    /// The real clock, with I/O. That nothing can go on is not known then, but for the
    /// [patience](Bubble::patience).
    RealIo,
}

/// A runtime of its own for one test: current thread, with a clock that moves by itself when all
/// tasks wait.
///
/// The test fails if it cannot go on, if it leaves a task behind, or if a task panics.
///
/// ```
/// use tidegate_testkit::{Bubble, FailureKind};
/// use tokio::sync::Mutex;
///
/// let lock = Mutex::new(());
/// let failure = Bubble::new()
///     .run(async {
///         let _held = lock.lock().await;
///         let _again = lock.lock().await; // It is not reentrant.
///     })
///     .unwrap_err();
/// assert!(matches!(failure.kind(), FailureKind::Deadlock { .. }));
/// ```
///
/// # Limits
///
/// - Work on a thread of its own, of `spawn_blocking` too, is waited for in real time: the clock
///   stands while tokio's blocking pool works, and jumps while a thread of another kind does.
/// - A panic of a task counts even if somebody awaits its handle: tokio does not tell. A test in
///   which tasks are to panic [says so](Self::allow_panics). Panics that somebody catches within
///   the task, as a scope of tidegate does, do not count.
/// - A task is known by the number of those that are left only; its name and place are the
///   business of whoever spawns it.
#[derive(Debug)]
#[must_use = "a bubble does nothing until it runs a test"]
pub struct Bubble {
    seed: Option<Seed>,
    mode: Mode,
    virtual_budget: Duration,
    patience: Duration,
    leaks: Leaks,
    are_panics_allowed: bool,
}

/// What may be left over at the end.
#[derive(Debug)]
struct Leaks {
    tasks: usize,
    grace: Duration,
    guard: fn(LeakGuard) -> LeakGuard,
}

impl Default for Bubble {
    fn default() -> Self {
        Self::new()
    }
}

impl Bubble {
    /// One with a [virtual](Mode::Virtual) clock that allows neither leaks nor panics.
    pub fn new() -> Self {
        Self {
            seed: None,
            mode: Mode::Virtual,
            virtual_budget: VIRTUAL_BUDGET,
            patience: REAL_PATIENCE,
            leaks: Leaks { tasks: 0, grace: Duration::ZERO, guard: |guard| guard },
            are_panics_allowed: false,
        }
    }

    /// The seed that a failure tells, instead of the one in `TIDEGATE_SEED`.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Which clock it has.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How far the clock may move; a day, by default. It bounds tests whose timers fire for ever.
    pub fn virtual_budget(mut self, budget: Duration) -> Self {
        self.virtual_budget = budget;
        self
    }

    /// How long, in real time, the test may go on without being idle, be idle waiting for a
    /// thread or for I/O, or stay in one poll; 10 s, by default.
    ///
    /// A poll that does not return cannot be taken back: the process ends then, after a word on
    /// stderr, and other tests of the same process with it.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many tasks may be left when the test returns; none, by default.
    pub fn allow_tasks(mut self, tasks: usize) -> Self {
        self.leaks.tasks = tasks;
        self
    }

    /// How long what the test leaves may take to end, on tokio's clock and the real one; no time
    /// at all, by default: what can end without waiting for time has ended by then.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.leaks.grace = grace;
        self
    }

    /// Watches more than tasks: see [`LeakGuard`]. Files and threads belong to the process, so
    /// this is for tests that have one to themselves, or name what they watch.
    ///
    /// ```
    /// use tidegate_testkit::{Bubble, LeakGuard};
    ///
    /// let watched = Bubble::new().watch(|guard| guard.threads_named("my-workers"));
    /// # #[cfg(not(miri))]
    /// watched.run(async {}).unwrap();
    /// ```
    pub fn watch(mut self, guard: fn(LeakGuard) -> LeakGuard) -> Self {
        self.leaks.guard = guard;
        self
    }

    /// Lets tasks panic: somebody awaits their handles, and looks.
    pub fn allow_panics(mut self) -> Self {
        self.are_panics_allowed = true;
        self
    }

    /// Runs `test`, and whatever it spawns, on the calling thread.
    ///
    /// # Errors
    ///
    /// Why the test did not go on, or what it left behind. Its result is dropped in the latter
    /// case.
    ///
    /// # Panics
    ///
    /// As `test` does; and inside a runtime, or if the system has no thread for the watchdog.
    pub fn run<F: Future>(self, test: F) -> Result<F::Output, Failure> {
        self.run_kind(test)
            .map_err(|(kind, places)| Failure::new(kind, places, self.seed.or_else(Seed::from_env)))
    }

    fn run_kind<F: Future>(&self, test: F) -> Result<F::Output, (FailureKind, Vec<String>)> {
        let shared = Arc::new(Shared::default());
        let runtime = self.runtime(&shared);
        let _inside = Inside::enter(&shared);
        let _watchdog = Watchdog::start(&shared, self.patience);
        let (spy, mut test) = (Spy::default(), pin!(test));
        let result: Result<_, FailureKind> = runtime.block_on(async {
            let budget = (self.mode == Mode::Virtual).then_some(self.virtual_budget);
            shared.begin(budget);
            let guard = (self.leaks.guard)(LeakGuard::current()).allow_tasks(self.leaks.tasks);
            let value = Root::new(test.as_mut(), (&shared, &spy), self.mode).await?;
            self.left_over(guard).await.map_err(FailureKind::Leaked)?;
            Ok(value)
        });
        let places = match &result {
            Err(kind) if kind.is_of_one_that_waits() => spy.places(test, runtime.handle()),
            _ => Vec::new(),
        };
        let ended = self.shut_down(runtime);
        let panics = shared.take_panics();
        let value = result.map_err(|kind| (kind, places))?;
        if !panics.is_empty() && !self.are_panics_allowed {
            return Err((FailureKind::Panicked(panics), Vec::new()));
        }
        ended.map_err(|kind| (kind, Vec::new()))?;
        Ok(value)
    }

    fn runtime(&self, shared: &Arc<Shared>) -> Runtime {
        let mut builder = Builder::new_current_thread();
        let (parks, unparks, starts) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
        builder
            .on_thread_park(move || parks.before_park())
            .on_thread_unpark(move || unparks.after_unpark())
            // A panic on a thread of the blocking pool is the bubble's, too.
            .on_thread_start(move || Inside::stay(&starts));
        match self.mode {
            Mode::Virtual => builder.enable_time().start_paused(true),
            Mode::RealIo => builder.enable_all(),
        };
        builder.build().unwrap_or_else(|error| panic!("no runtime for the bubble: {error}"))
    }

    /// Waits for what may end yet, and says what does not.
    async fn left_over(&self, guard: LeakGuard) -> Result<(), Leak> {
        if self.mode == Mode::Virtual {
            settle().await;
        }
        guard.verify(self.leaks.grace).await
    }

    /// Drops what is left of the tasks, and waits for the threads of the blocking pool.
    fn shut_down(&self, runtime: Runtime) -> Result<(), FailureKind> {
        let begun = clock::now();
        runtime.shutdown_timeout(self.patience);
        if clock::now() - begun < self.patience {
            return Ok(());
        }
        Err(FailureKind::BlockingLeft { patience: self.patience })
    }
}
