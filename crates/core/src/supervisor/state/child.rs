//! One child in the machine.

use super::super::{ChildInfo, ChildState, Exit, Restart, StopReason};
use crate::{Backoff, Name};
use std::time::Duration;
use tokio::time::Instant;

/// Which child of one run. Numbers rise in the order of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::supervisor) struct ChildId(pub(super) u64);

#[cfg(all(test, tidegate_loom))]
impl ChildId {
    pub(in crate::supervisor) fn first() -> Self {
        Self(0)
    }
}

/// What the machine has to know of a child.
#[derive(Clone, Debug)]
pub(in crate::supervisor) struct Kid {
    pub(in crate::supervisor) name: Name,
    pub(in crate::supervisor) restart: Restart,
    pub(in crate::supervisor) significant: bool,
    pub(in crate::supervisor) is_supervisor: bool,
    /// How long it has to say that it is up, if it is one that does.
    pub(in crate::supervisor) start_timeout: Option<Duration>,
    pub(in crate::supervisor) after: Vec<Name>,
    pub(in crate::supervisor) backoff: Backoff,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) kid: Kid,
    pub(super) after: Vec<ChildId>,
    pub(super) state: State,
    /// What becomes of a child that is to be stopped when those after it have ended.
    pub(super) doom: Option<Doom>,
    /// The number of its life; of the last one, if it has ended.
    pub(super) incarnation: u64,
    pub(super) restarts: u64,
    pub(super) since: Instant,
    /// Since when it is up, or was until it ended.
    pub(super) up: Option<Instant>,
    pub(super) exit: Option<Exit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is started in its turn; one that is started `alone` waits for those alone that it
    /// comes after.
    Queued {
        alone: bool,
    },
    /// It runs, and has not said yet that it is up.
    Starting {
        by: Instant,
    },
    Up,
    /// It was asked to end. Until one in a `group` has ended nothing is started.
    Stopping {
        next: Next,
        group: bool,
        hard: bool,
    },
    Backoff {
        until: Instant,
        alone: bool,
    },
    /// It is not started again by itself. What was told to end by hand is not started with
    /// others, either.
    Down {
        by_hand: bool,
    },
}

/// What becomes of a child that was asked to end, when it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Start {
        at: Instant,
        alone: bool,
    },
    Down {
        by_hand: bool,
    },
    Remove,
    /// It was asked to because it had failed to start.
    Fail(Exit),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doom {
    pub(super) next: Next,
    pub(super) reason: StopReason,
}

impl Next {
    pub(super) fn is_start(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Fail(_))
    }
}

impl Child {
    pub(super) fn new(
        id: ChildId,
        kid: Kid,
        after: Vec<ChildId>,
        alone: bool,
        now: Instant,
    ) -> Self {
        Self {
            id,
            kid,
            after,
            state: State::Queued { alone },
            doom: None,
            incarnation: 0,
            restarts: 0,
            since: now,
            up: None,
            exit: None,
        }
    }

    /// Whether an incarnation of it runs.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Up | State::Stopping { .. })
    }

    /// Whether it is up or has ended, so that it is the turn of those after it. One that has failed
    /// and waits for its delay has had its turn.
    pub(super) fn has_had_its_start(&self) -> bool {
        matches!(self.state, State::Up | State::Backoff { .. } | State::Down { .. })
    }

    /// Whether it will be up, for all that is known, and is not now.
    pub(super) fn is_coming(&self) -> bool {
        match &self.state {
            State::Queued { .. } | State::Starting { .. } | State::Backoff { .. } => true,
            State::Stopping { next, .. } => next.is_start(),
            State::Up => self.doom.as_ref().is_some_and(|doom| doom.next.is_start()),
            State::Down { .. } => false,
        }
    }

    pub(super) fn info(&self) -> ChildInfo {
        ChildInfo {
            name: self.kid.name.clone(),
            state: match &self.state {
                State::Queued { .. } => ChildState::Queued,
                State::Starting { .. } => ChildState::Starting,
                State::Up => ChildState::Up,
                State::Stopping { .. } => ChildState::Stopping,
                State::Backoff { .. } => ChildState::Backoff,
                State::Down { by_hand: false } => ChildState::Ended,
                State::Down { by_hand: true } => ChildState::Terminated,
            },
            restart: self.kid.restart,
            significant: self.kid.significant,
            is_supervisor: self.kid.is_supervisor,
            since: self.since,
            due: match self.state {
                State::Backoff { until, .. } => Some(until),
                _ => None,
            },
            incarnation: self.incarnation,
            restarts: self.restarts,
            last_exit: self.exit.clone(),
        }
    }
}
