//! How a stress run ended.

use std::fmt;

use crate::{repro, seed::Seed};

/// A stress run without a failure.
///
/// Its `Display` form is `stress: <name> seed=0x.. rounds=N threads=2,4,8`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StressReport {
    /// The name of the run.
    pub name: String,
    /// The seed it used.
    pub seed: Seed,
    /// How many rounds were played in all.
    pub rounds: u64,
    /// The thread counts, one after the other.
    pub threads: Vec<usize>,
}

impl fmt::Display for StressReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stress: {} seed={} rounds={} threads=", self.name, self.seed, self.rounds)?;
        for (i, threads) in self.threads.iter().enumerate() {
            write!(f, "{}{threads}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Why a stress run did not pass.
///
/// Its `Debug` form, which `unwrap` shows, is its `Display` form.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StressFailure {
    /// A round broke an invariant or panicked.
    #[error(
        "stress: {name} seed={seed} round={round} threads={threads} FAILED: {message}; \
         the same round failed {again} of {reruns} times when run again\n\
         run it again: {}", repro::command(Some(*seed))
    )]
    Failed {
        /// The name of the run.
        name: String,
        /// The seed that leads to this round.
        seed: Seed,
        /// How many threads raced.
        threads: usize,
        /// The number of the round, from 0.
        round: u64,
        /// What the check or the panic said.
        message: String,
        /// How often the round was run again.
        reruns: u32,
        /// How often it failed again.
        again: u32,
    },
    /// Too few rounds fitted into the time to say anything.
    #[error(
        "stress: {name} seed={seed} threads={threads} INCONCLUSIVE: \
         {rounds} rounds, {min_rounds} are needed"
    )]
    Inconclusive {
        /// The name of the run.
        name: String,
        /// The seed it used.
        seed: Seed,
        /// How many threads raced.
        threads: usize,
        /// How many rounds were played.
        rounds: u64,
        /// How many were needed.
        min_rounds: u64,
    },
}

impl fmt::Debug for StressFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
