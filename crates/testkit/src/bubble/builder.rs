//! How a bubble is to be.

use super::{Bubble, Mode};
use crate::{LeakGuard, Seed};
use std::time::Duration;
#[cfg(tokio_unstable)]
use tokio::runtime::{Builder, RngSeed};

/// How far the clock of a bubble may move, unless it is told otherwise.
const VIRTUAL_BUDGET: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the clock of a bubble may move, unless it is told otherwise: as often as it does in a second
/// or two of real time, and more often than a day has seconds.
const MOVE_BUDGET: u64 = 200_000;

/// How long a bubble may make no progress, in real time, unless it is told otherwise.
const REAL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: Option<Seed>,
    /// Whether the seed decides where tasks yield.
    pub(super) is_perturbed: bool,
    pub(super) mode: Mode,
    pub(super) virtual_budget: Duration,
    pub(super) move_budget: u64,
    pub(super) poll_budget: Option<u64>,
    pub(super) patience: Duration,
    pub(super) leaks: Leaks,
    pub(super) are_panics_allowed: bool,
}

/// What may be left over at the end.
#[derive(Clone, Debug)]
pub(super) struct Leaks {
    pub(super) tasks: usize,
    pub(super) grace: Duration,
    pub(super) guard: fn(LeakGuard) -> LeakGuard,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: None,
            is_perturbed: false,
            mode: Mode::Virtual,
            virtual_budget: VIRTUAL_BUDGET,
            move_budget: MOVE_BUDGET,
            poll_budget: None,
            patience: REAL_PATIENCE,
            leaks: Leaks { tasks: 0, grace: Duration::ZERO, guard: |guard| guard },
            are_panics_allowed: false,
        }
    }
}

#[cfg(tokio_unstable)]
impl Settings {
    /// What only such a build can do.
    pub(super) fn unstable(&self, builder: &mut Builder) {
        if let Some(seed) = self.seed.or_else(Seed::from_env) {
            builder.rng_seed(RngSeed::from_bytes(&seed.value().to_le_bytes()));
        }
        if self.is_perturbed || self.poll_budget.is_some() {
            builder.on_before_task_poll(|_task| {
                super::shared::count_poll();
                super::schedule::preempt();
            });
        }
    }
}

/// Sets up a [`Bubble`].
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{Bubble, BubbleConfigError};
///
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let bubble = Bubble::builder().virtual_budget(week).allow_panics().build()?;
/// # #[cfg(not(miri))]
/// bubble.run(async { /* .. */ }).unwrap();
///
/// let nonsense = Bubble::builder().patience(Duration::ZERO).build();
/// assert!(matches!(nonsense, Err(BubbleConfigError::NoPatience)));
/// # Ok::<(), BubbleConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a bubble is made by `build`"]
pub struct BubbleBuilder {
    settings: Settings,
}

/// A bubble cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BubbleConfigError {
    /// Any timer would be too much.
    #[error("a clock that may not move at all: give the bubble a virtual budget")]
    NoVirtualBudget,
    /// Any timer would be too much, as well.
    #[error("a clock that may never move: give the bubble a move budget")]
    NoMoveBudget,
    /// It would not even begin.
    #[error("a poll budget of no polls at all: the test would not begin")]
    NoPollBudget,
    /// Whatever the test does, it would have taken too long.
    #[error("a patience of no time at all: any test would be stuck")]
    NoPatience,
}

impl BubbleBuilder {
    /// The seed that [`Seed::current`] and a failure tell, instead of the one in `TIDEGATE_SEED`. In a
    /// build with `tokio_unstable` it also decides in which order `select!` looks at its branches.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Which clock it has.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// How far the clock may move; a day, by default. It bounds tests whose timers fire for ever.
    pub fn virtual_budget(mut self, budget: Duration) -> Self {
        self.settings.virtual_budget = budget;
        self
    }

    /// How often the clock may move; 200 000 times, by default. It bounds tests whose timers fire
    /// for ever and are short, for which the [virtual budget](Self::virtual_budget) is far away.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_testkit::{Bubble, FailureKind};
    /// use tokio::time::sleep;
    ///
    /// let failure = Bubble::builder().move_budget(1_000).build().unwrap().run(async {
    ///     loop {
    ///         sleep(Duration::from_millis(1)).await; // Somebody tries again.
    ///     }
    /// });
    /// let failure = failure.map(|()| "it ends").unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::OverMoved { budget: 1_000, .. }));
    /// ```
    pub fn move_budget(mut self, moves: u64) -> Self {
        self.settings.move_budget = moves;
        self
    }

    /// How many polls there may be; as many as it takes, by default. A test that yields for ever fails
    /// at once then, and at the same poll each time, rather than after the
    /// [patience](Self::patience). In a build with `tokio_unstable` the polls of all tasks count, in
    /// others those of the test itself.
    ///
    /// ```
    /// use tidegate_testkit::{Bubble, FailureKind};
    /// use tokio::task::yield_now;
    ///
    /// let failure = Bubble::builder().poll_budget(1_000).build().unwrap().run(async {
    ///     loop {
    ///         yield_now().await;
    ///     }
    /// });
    /// let failure = failure.map(|()| "it ends").unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::OverPolled { budget: 1_000, .. }));
    /// ```
    pub fn poll_budget(mut self, polls: u64) -> Self {
        self.settings.poll_budget = Some(polls);
        self
    }

    /// How long, in real time, the test may make no progress; 10 s, by default. Progress is a clock
    /// that moves; with the real one, a test that is woken.
    ///
    /// A poll that does not return cannot be taken back: the process ends then, after a word on
    /// stderr, and other tests of the same process with it.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// How many tasks may be left when the test returns; none, by default.
    pub fn allow_tasks(mut self, tasks: usize) -> Self {
        self.settings.leaks.tasks = tasks;
        self
    }

    /// How long what the test leaves may take to end, on tokio's clock and the real one, and not
    /// longer than the [patience](Self::patience); no time at all, by default: what can end without
    /// waiting for time has ended by then.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.leaks.grace = grace;
        self
    }

    /// Watches more than tasks: see [`LeakGuard`]. Files and threads belong to the process, so
    /// this is for tests that have one to themselves, or name what they watch.
    ///
    /// ```
    /// use tidegate_testkit::{Bubble, LeakGuard};
    ///
    /// let watched = Bubble::builder().watch(|guard| guard.threads_named("my-workers")).build();
    /// # #[cfg(not(miri))]
    /// watched.unwrap().run(async {}).unwrap();
    /// ```
    pub fn watch(mut self, guard: fn(LeakGuard) -> LeakGuard) -> Self {
        self.settings.leaks.guard = guard;
        self
    }

    /// Lets tasks panic: somebody awaits their handles, and looks.
    pub fn allow_panics(mut self) -> Self {
        self.settings.are_panics_allowed = true;
        self
    }

    /// Makes the bubble.
    ///
    /// # Errors
    ///
    /// If a budget has nothing in it.
    pub fn build(self) -> Result<Bubble, BubbleConfigError> {
        let Self { settings } = self;
        if settings.virtual_budget.is_zero() {
            return Err(BubbleConfigError::NoVirtualBudget);
        }
        if settings.move_budget == 0 {
            return Err(BubbleConfigError::NoMoveBudget);
        }
        if settings.poll_budget == Some(0) {
            return Err(BubbleConfigError::NoPollBudget);
        }
        if settings.patience.is_zero() {
            return Err(BubbleConfigError::NoPatience);
        }
        Ok(Bubble { settings })
    }
}
