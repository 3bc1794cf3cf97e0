//! How a lane ended.

use std::fmt;

/// The result of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything ran and held.
    Pass,
    /// Something is wrong, or nothing ran.
    Fail,
    /// The lane's time limit was hit; its processes were killed.
    Timeout,
    /// A bound was hit before the check was complete.
    Inconclusive,
    /// A tool is missing and could not be installed.
    Unavailable,
    /// There is nothing to check yet, for a reason outside of the sources.
    Skipped,
}

impl Outcome {
    /// Whether a run with this lane fails; `strict` means that a missing tool is a failure, too.
    #[must_use]
    pub fn is_failure(self, strict: bool) -> bool {
        match self {
            Self::Pass | Self::Skipped => false,
            Self::Unavailable => strict,
            Self::Fail | Self::Timeout | Self::Inconclusive => true,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Timeout => "timeout",
            Self::Inconclusive => "inconclusive",
            Self::Unavailable => "unavailable",
            Self::Skipped => "skipped",
        })
    }
}

/// Why a lane stopped before passing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Never [`Outcome::Pass`].
    pub outcome: Outcome,
    /// One line for the table and the JSON.
    pub reason: String,
}

impl Stop {
    /// A check did not hold, or nothing was checked.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, reason: reason.into() }
    }

    /// A bound was hit before the check was complete.
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Inconclusive, reason: reason.into() }
    }

    /// The lane's time limit was hit.
    pub fn timeout(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Timeout, reason: reason.into() }
    }

    /// There is nothing to check yet; never for want of a tool or of time.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, reason: reason.into() }
    }

    /// A tool is missing; `install` is the line that installs it.
    pub fn unavailable(reason: impl fmt::Display, install: impl fmt::Display) -> Self {
        Self { outcome: Outcome::Unavailable, reason: format!("{reason}; install: {install}") }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::fail(error.to_string())
    }
}
