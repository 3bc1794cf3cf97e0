//! A test in a runtime and on a clock of its own, which says why it does not go on.
//!
//! | what the runtime does | how the bubble knows | verdict |
//! |---|---|---|
//! | all tasks wait, and no timer is armed | a sentinel timer, more than a year ahead, is the next to fire, and again as much later | [`Deadlock`](FailureKind::Deadlock) |
//! | timers fire without end | the clock has passed the budget when the runtime is idle | [`OverBudget`](FailureKind::OverBudget) |
//! | the same, and they are short | the clock has moved more often than it may | [`OverMoved`](FailureKind::OverMoved) |
//! | the test is polled without end | there were more polls than there may be | [`OverPolled`](FailureKind::OverPolled) |
//! | tasks run without end, none waits | the clock has not moved for long, in real time, and the runtime is busy | [`Livelock`](FailureKind::Livelock) |
//! | all wait for tokio's blocking pool, or for I/O | the same, and it is idle | [`Waits`](FailureKind::Waits) |
//! | one poll does not return | the same, and it does not poll the root either | the process ends, with a word |
//!
//! A paused clock moves when the runtime is idle, to the next timer that is armed. So a sentinel
//! fires exactly if there is no other: no time has to pass before it is known that nothing will
//! happen any more, and it does not matter what the tasks wait for.

mod builder;
mod failure;
mod panics;
mod place;
mod root;
mod schedule;
mod shared;
mod step;
mod time;
mod watchdog;

pub use self::builder::{BubbleBuilder, BubbleConfigError};
pub use self::failure::{Failure, FailureKind};
pub use self::schedule::perturbed;
pub use self::time::{advance, advance_to_next_timer, settle};

use self::builder::Settings;
use self::place::Spy;
use self::root::Root;
use self::shared::{Inside, Shared};
use self::watchdog::Watchdog;
use crate::{Leak, LeakGuard, Seed, clock};
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

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
    /// [patience](BubbleBuilder::patience): a test that waits for long needs more of it.
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
/// - The clock stands while tokio's blocking pool works. It does not know of other threads: a test that
///   waits for one of those seems to wait for nobody, which is told as a deadlock. Use
///   [`Mode::RealIo`] for it.
/// - A timer that is more than two years away is none: a test that waits for that is in a deadlock.
/// - A panic of a task counts even if somebody awaits its handle: tokio does not tell. A test in
///   which tasks are to panic [says so](BubbleBuilder::allow_panics). Panics that somebody catches within
///   the task, as a scope of tidegate does, do not count; to tell them apart takes the line tables
///   that builds for tests have, and without these all count. They are seen by a panic hook: a
///   program that sets its own one after the first bubble hides them, and so does `resume_unwind`.
/// - A task is known by the number of those that are left only; its name and place are the
///   business of whoever spawns it. Tasks of a `LocalSet` are not among them.
#[derive(Debug, Default)]
#[must_use = "a bubble does nothing until it runs a test"]
pub struct Bubble {
    settings: Settings,
}

impl Bubble {
    /// One with everything as it is by default: a [virtual](Mode::Virtual) clock, and neither leaks
    /// nor panics allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is set up first.
    pub fn builder() -> BubbleBuilder {
        BubbleBuilder::default()
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
    /// As `test` does; and inside a runtime, if the system has no thread for the watchdog, or if
    /// `TIDEGATE_SEED` is set to something else than a seed.
    pub fn run<F: Future>(self, test: F) -> Result<F::Output, Failure> {
        let seed = self.settings.seed.or_else(Seed::from_env);
        let shared = Arc::new(Shared::new(seed, &self.settings));
        let runtime = self.runtime(&shared);
        let inside = Inside::enter(&shared);
        let watchdog = Watchdog::start(&shared, self.settings.patience);
        let (spy, mut test) = (Spy::default(), Box::pin(test));
        let in_it = async {
            let budget =
                (self.settings.mode == Mode::Virtual).then_some(self.settings.virtual_budget);
            shared.begin(budget);
            let guard = (self.settings.leaks.guard)(LeakGuard::current())
                .allow_tasks(self.settings.leaks.tasks);
            let value = Root::new(test.as_mut(), (&shared, &spy), self.settings.mode).await?;
            self.left_over(&shared, guard).await.map_err(FailureKind::Leaked)?;
            Ok(value)
        };
        let result: Result<_, FailureKind> =
            match catch_unwind(AssertUnwindSafe(|| runtime.block_on(in_it))) {
                Ok(result) => result,
                Err(panic) => {
                    drop_in(&runtime, test);
                    // Dropped, it would wait for blocking work that may never end.
                    runtime.shutdown_background();
                    resume_unwind(panic)
                }
            };
        let places = match &result {
            Err(kind) if kind.is_of_one_that_waits() => {
                spy.places(test.as_mut(), (&runtime, &shared))
            }
            _ => Vec::new(),
        };
        drop_in(&runtime, test);
        let ended = self.shut_down(runtime, &shared);
        drop((watchdog, inside));
        let panics =
            if self.settings.are_panics_allowed { Vec::new() } else { shared.take_panics() };
        let verdict = match (result, ended) {
            (Err(kind), _) | (Ok(_), Err(kind)) => kind,
            (Ok(_), Ok(())) if !panics.is_empty() => FailureKind::Panicked,
            (Ok(value), Ok(())) => return Ok(value),
        };
        Err(Failure::new(verdict, places, panics, seed))
    }

    /// One that is set up as this one, on a schedule from a seed.
    pub(crate) fn perturbed(&self, seed: Seed) -> Self {
        let seed = Some(seed);
        Self { settings: Settings { seed, is_perturbed: true, ..self.settings.clone() } }
    }

    fn runtime(&self, shared: &Arc<Shared>) -> Runtime {
        let mut builder = Builder::new_current_thread();
        let (parks, unparks) = (Arc::clone(shared), Arc::clone(shared));
        let (starts, stops) = (Arc::clone(shared), Arc::clone(shared));
        builder
            .on_thread_park(move || parks.before_park())
            .on_thread_unpark(move || unparks.after_unpark())
            .event_interval(step::TURN)
            // An idle thread of the blocking pool is nobody's leak.
            .thread_keep_alive(Duration::from_millis(1))
            // A panic on a thread of the blocking pool is the bubble's, too.
            .on_thread_start(move || Inside::stay(&starts))
            .on_thread_stop(move || stops.thread_stops());
        #[cfg(tokio_unstable)]
        self.settings.unstable(&mut builder);
        match self.settings.mode {
            Mode::Virtual => builder.enable_time().start_paused(true),
            Mode::RealIo => builder.enable_all(),
        };
        builder.build().unwrap_or_else(|error| panic!("no runtime for the bubble: {error}"))
    }

    /// Waits for what may end yet, and says what does not; not for longer than the patience.
    async fn left_over(&self, shared: &Shared, guard: LeakGuard) -> Result<(), Leak> {
        let mut waiting = pin!(async {
            settle().await;
            guard.wait(self.settings.leaks.grace).await
        });
        let begun = clock::now();
        poll_fn(|cx| {
            let is_suspected = shared.poll_root(cx.waker()).is_some();
            if is_suspected || clock::now() - begun > self.settings.patience {
                return Poll::Ready(guard.look());
            }
            waiting.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the threads of the blocking pool, and drops what is left of the tasks.
    fn shut_down(&self, runtime: Runtime, shared: &Shared) -> Result<(), FailureKind> {
        // It is waited for as long, and the watchdog must not end the process meanwhile.
        shared.start_over();
        runtime.shutdown_timeout(self.settings.patience);
        // How long that took tells nothing: destructors of tasks take their time, too.
        if shared.has_blocking_threads() {
            return Err(FailureKind::BlockingLeft { patience: self.settings.patience });
        }
        Ok(())
    }
}

/// The seed of the bubble that the calling thread is in, if it has one.
pub(crate) fn seed() -> Option<Seed> {
    Inside::current().and_then(|shared| shared.seed())
}

/// Drops a test where its destructors may do what it may do. One that fails is no news.
fn drop_in(runtime: &Runtime, test: impl Future) {
    let _inside = runtime.enter();
    drop(catch_unwind(AssertUnwindSafe(|| drop(test))));
}
