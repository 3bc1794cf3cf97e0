//! How a bubble is to be.

use super::{Bubble, Mode};
use crate::{LeakGuard, Seed};
use std::time::Duration;

/// How far the clock of a bubble may move, unless it is told otherwise.
const VIRTUAL_BUDGET: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a bubble may make no progress, in real time, unless it is told otherwise.
const REAL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: Option<Seed>,
    pub(super) mode: Mode,
    pub(super) virtual_budget: Duration,
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
            mode: Mode::Virtual,
            virtual_budget: VIRTUAL_BUDGET,
            patience: REAL_PATIENCE,
            leaks: Leaks { tasks: 0, grace: Duration::ZERO, guard: |guard| guard },
            are_panics_allowed: false,
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
    /// Whatever the test does, it would have taken too long.
    #[error("a patience of no time at all: any test would be stuck")]
    NoPatience,
}

impl BubbleBuilder {
    /// The seed that a failure tells, instead of the one in `TIDEGATE_SEED`.
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
        if settings.patience.is_zero() {
            return Err(BubbleConfigError::NoPatience);
        }
        Ok(Bubble { settings })
    }
}
