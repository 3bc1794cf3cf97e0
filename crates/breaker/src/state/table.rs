//! Which state follows which, as data: the machine looks it up here, and so does the documentation.

use std::fmt::{self, Write as _};

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Calls pass, and their results are counted.
    Closed = 0,
    /// No call passes until a time is over.
    Open = 4,
    /// Some calls pass, as probes, and decide what comes next.
    HalfOpen = 5,
    /// No call passes until somebody says otherwise.
    ForcedOpen = 6,
    /// All calls pass until somebody says otherwise; their results are summed up, and decide nothing.
    ForcedClosed = 2,
    /// All calls pass; their results are counted, and it says when it would have opened.
    MetricsOnly = 1,
    /// All calls pass, and nothing is counted.
    Disabled = 3,
}

impl State {
    #[cfg(all(test, not(tidegate_loom)))]
    pub(super) const ALL: [Self; 7] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
        Self::MetricsOnly,
        Self::Disabled,
    ];

    /// Whether results go into the window.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Closed | Self::MetricsOnly)
    }

    /// The name, in plain words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
            Self::MetricsOnly => "metrics only",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a breaker has changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Too large a part of the calls has failed.
    FailureRate,
    /// Too large a part of the calls was slow.
    SlowRate,
    /// Too many calls have failed one after the other.
    ConsecutiveFailures,
    /// The wait is over, and somebody calls.
    WaitOver,
    /// Enough probes have succeeded.
    ProbesPassed,
    /// Too many probes have failed, or none has answered for too long.
    ProbesFailed,
    /// Somebody forced it open.
    ForceOpen,
    /// Somebody forced it closed.
    ForceClosed,
    /// Somebody wants numbers only.
    MetricsOnly,
    /// Somebody has disabled it.
    Disable,
    /// Somebody has reset it.
    Reset,
    /// Another one of its fleet has opened, or probes.
    FleetOpened,
    /// Another one of its fleet has closed.
    FleetClosed,
}

impl Cause {
    /// The cause, in plain words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "failure rate reached",
            Self::SlowRate => "slow-call rate reached",
            Self::ConsecutiveFailures => "consecutive failures reached",
            Self::WaitOver => "a call after the wait",
            Self::ProbesPassed => "probes passed",
            Self::ProbesFailed => "probes failed",
            Self::ForceOpen => "force_open",
            Self::ForceClosed => "force_closed",
            Self::MetricsOnly => "metrics_only",
            Self::Disable => "disable",
            Self::Reset => "reset",
            Self::FleetOpened => "its fleet has opened",
            Self::FleetClosed => "its fleet has closed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A row of the [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// In which state; none, if in any.
    pub from: Option<State>,
    /// What happens.
    pub cause: Cause,
    /// Which state follows.
    pub to: State,
}

const fn row(from: Option<State>, cause: Cause, to: State) -> Row {
    Row { from, cause, to }
}

/// All changes of state there are.
pub const TABLE: [Row; 15] = [
    row(Some(State::Closed), Cause::FailureRate, State::Open),
    row(Some(State::Closed), Cause::SlowRate, State::Open),
    row(Some(State::Closed), Cause::ConsecutiveFailures, State::Open),
    row(Some(State::Open), Cause::WaitOver, State::HalfOpen),
    row(Some(State::HalfOpen), Cause::ProbesPassed, State::Closed),
    row(Some(State::HalfOpen), Cause::ProbesFailed, State::Open),
    row(None, Cause::ForceOpen, State::ForcedOpen),
    row(None, Cause::ForceClosed, State::ForcedClosed),
    row(None, Cause::MetricsOnly, State::MetricsOnly),
    row(None, Cause::Disable, State::Disabled),
    row(None, Cause::Reset, State::Closed),
    row(Some(State::Closed), Cause::FleetOpened, State::Open),
    row(Some(State::HalfOpen), Cause::FleetOpened, State::Open),
    row(Some(State::Open), Cause::FleetClosed, State::Closed),
    row(Some(State::HalfOpen), Cause::FleetClosed, State::Closed),
];

/// The state that follows, if that can happen in this one.
pub(super) fn next(from: State, cause: Cause) -> Option<State> {
    let fits = |row: &&Row| row.cause == cause && row.from.is_none_or(|state| state == from);
    TABLE.iter().find(fits).map(|row| row.to)
}

/// The [`TABLE`] as a state diagram of Mermaid: the one in the documentation.
#[must_use]
pub fn diagram() -> String {
    let mut text =
        String::from("stateDiagram-v2\n    state \"any state\" as Any\n    [*] --> Closed\n");
    for Row { from, cause, to } in TABLE {
        let from = from.map_or("Any".to_owned(), |state| format!("{state:?}"));
        let _ = writeln!(text, "    {from} --> {to:?}: {cause}");
    }
    text
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_disagree() {
        for state in State::ALL {
            for row in TABLE {
                let fits = TABLE.iter().filter(|other| {
                    other.cause == row.cause && other.from.is_none_or(|from| from == state)
                });
                assert!(fits.count() <= 1, "{state} {}", row.cause);
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_left() {
        for state in State::ALL {
            assert!(TABLE.iter().any(|row| row.to == state), "{state}");
            let left = |row: &Row| row.from.is_none_or(|from| from == state) && row.to != state;
            assert!(TABLE.iter().any(left), "{state}");
        }
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let pages = [("README.md", include_str!("../../README.md"))];
        for (page, text) in pages {
            let diagram = format!("```mermaid\n{}```\n", diagram());
            assert!(text.contains(&diagram), "{page} is to contain\n{diagram}");
        }
    }
}
