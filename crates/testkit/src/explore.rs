//! The same test under many schedules, each from a seed.

use crate::{Bubble, Seed, clock, payload, repro, rng::mix, tell::tell};
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// Which seeds [`explore`] runs a test with. If `TIDEGATE_SEED` is set, that is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds(Which);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Number(u64),
    Time(Duration),
    Only(Seed),
}

impl Seeds {
    /// So many, at least one, and the same ones each time.
    #[must_use]
    pub fn n(seeds: u64) -> Self {
        Self(Which::Number(seeds.max(1)))
    }

    /// As many as there is real time for, at least one, and others each time.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self(Which::Time(time))
    }

    /// This one.
    #[must_use]
    pub fn only(seed: Seed) -> Self {
        Self(Which::Only(seed))
    }

    /// Calls `run` with one after the other until it has something to say.
    fn find<T>(self, mut run: impl FnMut(Seed) -> Option<T>) -> Option<T> {
        match Seed::from_env().map_or(self.0, Which::Only) {
            Which::Only(seed) => run(seed),
            Which::Number(seeds) => (0..seeds).find_map(|n| run(Seed::new(mix(0, n)))),
            Which::Time(time) => {
                let (begun, base): (Instant, _) = (clock::now(), clock::wall_nanos());
                let is_on = |n: &u64| *n == 0 || clock::now() - begun < time;
                (0..).take_while(is_on).find_map(|n| run(Seed::new(mix(base, n))))
            }
        }
    }
}

/// What a test may return that is run with many seeds: whether it has passed.
pub trait Outcome {
    /// The error, if it has not.
    ///
    /// # Errors
    ///
    /// With what is to be told of it.
    fn passed(self) -> Result<(), String>;
}

impl Outcome for () {
    fn passed(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Debug> Outcome for Result<(), E> {
    fn passed(self) -> Result<(), String> {
        self.map_err(|error| format!("the test has returned {error:?}"))
    }
}

/// What differs from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Perturbed {
    /// What is drawn from the seed, and where the test itself yields, and futures that are
    /// [`perturbed`](crate::perturbed); not where other tasks yield: this build is without `tokio_unstable`.
    Test,
    /// All of that, where each task yields, and in which order `select!` looks at its branches.
    Tasks,
}

impl Perturbed {
    const HERE: Self = if cfg!(tokio_unstable) { Self::Tasks } else { Self::Test };
}

impl fmt::Display for Perturbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => {
                "perturbed: the test itself and what is wrapped in `perturbed`; for all tasks \
                 build with RUSTFLAGS=\"--cfg tokio_unstable\""
            }
            Self::Tasks => "perturbed: all tasks, and `select!`",
        })
    }
}

/// What [`explore`] has seen.
#[derive(Clone, Debug)]
#[must_use = "a failure is in the report: see `assert_passed`"]
pub struct ExploreReport {
    seeds: u64,
    failure: Option<ExploreFailure>,
}

/// The first failure of a test that was run with many seeds.
#[derive(Clone, Debug)]
struct ExploreFailure {
    seed: Seed,
    text: String,
}

impl ExploreReport {
    /// How many seeds the test was run with.
    #[must_use]
    pub fn seeds(&self) -> u64 {
        self.seeds
    }

    /// What has differed from seed to seed.
    #[must_use]
    pub fn perturbed(&self) -> Perturbed {
        Perturbed::HERE
    }

    /// The seed that the test failed with.
    #[must_use]
    pub fn failing_seed(&self) -> Option<Seed> {
        self.failure.as_ref().map(|failure| failure.seed)
    }

    /// Why it failed, with the command that runs it again.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.text.as_str())
    }

    /// Checks that it has not failed.
    ///
    /// # Panics
    ///
    /// With the report, if it has.
    #[track_caller]
    pub fn assert_passed(self) {
        assert!(self.failure.is_none(), "{self}");
    }
}

impl fmt::Display for ExploreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, failure } = self;
        let perturbed = self.perturbed();
        match failure {
            None => write!(f, "passed with {seeds} seed(s); {perturbed}"),
            Some(ExploreFailure { seed, text }) => {
                let before = seeds - 1;
                write!(
                    f,
                    "failed with seed {seed}, passed with {before} before; {perturbed}\n{text}"
                )
            }
        }
    }
}

/// Runs a test with one seed after the other, each time in a new [`Bubble`] and on another
/// schedule, until it fails, and prints `explore-seeds: <test> <seeds>`.
///
/// tokio gives a task a budget of operations, after which it yields. Here the seed takes a share of it
/// away before a poll, so that the task yields at one of its awaits, and others go first: what
/// it does is what it could do anyhow. Code that is tested needs no change. The same seed has the
/// same schedule again, as long as no thread has a part in it.
///
/// For the polls of all tasks this takes a build with `RUSTFLAGS="--cfg tokio_unstable"`. Without it
/// the schedule of the test's own future differs, and that of futures that are wrapped in
/// [`perturbed`](crate::perturbed); the report [says which](ExploreReport::perturbed).
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use tidegate_testkit::{Seeds, explore};
/// use tokio::sync::Mutex;
///
/// # #[cfg(not(miri))] {
/// // Between a look at a balance and the next, somebody else may have taken from it.
/// let report = explore(Seeds::n(256), async |_seed| {
///     let balance = Mutex::new(10);
///     let withdraw = async || {
///         let seen = *balance.lock().await;
///         if seen >= 10 {
///             *balance.lock().await -= 10;
///         }
///     };
///     tokio::join!(withdraw(), withdraw());
///     assert_eq!(*balance.lock().await, 0);
/// });
/// let failure = report.failure().expect("some schedule has both look first");
/// assert!(failure.contains("run it again: TIDEGATE_SEED=0x"), "{failure}");
/// # }
/// ```
///
/// # Limits
///
/// - Tasks yield, but those that can go on are still polled in the order in which they were woken. A
///   model of your own state machines has all orders.
/// - Only operations of tokio use its budget, so a task that has none of them between two accesses
///   does not yield there.
///
/// # Panics
///
/// If `TIDEGATE_SEED` is set to something else than a seed.
pub fn explore<F>(seeds: Seeds, test: impl Fn(Seed) -> F) -> ExploreReport
where
    F: Future<Output: Outcome>,
{
    Bubble::new().explore(seeds, test)
}

impl Bubble {
    /// As [`explore`], with bubbles that are set up as this one.
    ///
    /// # Panics
    ///
    /// If `TIDEGATE_SEED` is set to something else than a seed.
    pub fn explore<F>(&self, seeds: Seeds, test: impl Fn(Seed) -> F) -> ExploreReport
    where
        F: Future<Output: Outcome>,
    {
        let mut number = 0;
        let failure = seeds.find(|seed| {
            number += 1;
            // Called in the bubble, as it may be no async function.
            // What it returns is shown by code of its own, which may panic as well.
            let run = || self.perturbed(seed).run(async { test(seed).await }).map(Outcome::passed);
            let text = match catch_unwind(AssertUnwindSafe(run)) {
                // It ends with the command.
                Ok(Err(failure)) => {
                    return Some(ExploreFailure { seed, text: failure.to_string() });
                }
                Ok(Ok(passed)) => passed.err()?,
                Err(panic) => format!("the test panicked: {}", payload::text(&*panic)),
            };
            let text = format!("{text}\nrun it again: {}", repro::command(Some(seed)));
            Some(ExploreFailure { seed, text })
        });
        tell("explore-seeds", number);
        ExploreReport { seeds: number, failure }
    }
}
