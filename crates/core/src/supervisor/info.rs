//! What a look at a supervisor sees of its children.

use super::{Exit, Restart};
use crate::Name;
use std::fmt;
use tokio::time::Instant;

/// A child as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its name.
    pub name: Name,
    /// What it does.
    pub state: ChildState,
    /// Whether it is started again when it has ended.
    pub restart: Restart,
    /// Whether its end may end the supervisor.
    pub significant: bool,
    /// Whether it is a nested supervisor.
    pub is_supervisor: bool,
    /// Since when it is in its state.
    pub since: Instant,
    /// When it is to be started again, in [`ChildState::Backoff`].
    pub due: Option<Instant>,
    /// Which of its lives runs, or ran last; 0 before the first. No other child has the number.
    pub incarnation: u64,
    /// How many times it was started again, for whatever reason.
    pub restarts: u64,
    /// How its last life ended.
    pub last_exit: Option<Exit>,
}

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// It waits to be started, for those before it or for others that are being stopped.
    Queued,
    /// It was started, and has not said yet that it is up.
    Starting,
    /// It runs.
    Up,
    /// It was asked to end, and has not yet.
    Stopping,
    /// It waits for the delay before it is started again.
    Backoff,
    /// It has ended, and is not started again by itself.
    Ended,
    /// It was terminated by hand.
    Terminated,
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Stopping => "stopping",
            Self::Backoff => "in backoff",
            Self::Ended => "ended",
            Self::Terminated => "terminated",
        })
    }
}
