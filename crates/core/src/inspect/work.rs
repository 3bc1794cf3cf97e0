//! One piece of work in a snapshot: what it is, and what it does.

use super::{
    clock::{Tick, ticks},
    current::WorkId,
    waits::{self, Entry, Target},
};
use crate::{
    Budget, Cause, Name, Straggler, WorkKind,
    path::Path,
    scope::{Home, Seen, SeenScope, TaskInfo},
};
use std::{fmt, panic::Location, time::Duration};

/// One piece of work in a [`Snapshot`](super::Snapshot).
#[derive(Clone, Debug)]
pub struct Work {
    pub(super) id: WorkId,
    pub(super) turn: u32,
    place: Tree,
    name: Name,
    at: &'static Location<'static>,
    kind: WorkKind,
    age: Option<Duration>,
    polls: u32,
    busy: Duration,
    last_poll: Option<Duration>,
    doing: Doing,
    open: Option<Open>,
}

/// What a scope is besides the work of its body.
#[derive(Clone, Debug)]
struct Open {
    live: usize,
    is_driven: bool,
    home: Home,
    stop_cause: Option<Cause>,
    cause: Option<Cause>,
    remaining: Budget,
}

/// What some work does right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) state: WorkState,
    pub(crate) running_for: Option<Duration>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) is_aborting: bool,
}

/// The state of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkState {
    /// It was not polled yet, or not picked up by a thread.
    Queued,
    /// A thread polls it now, or runs its blocking code.
    Running,
    /// It is suspended, and has said what it waits for.
    Waiting,
    /// It is suspended, or about to be polled again.
    Idle,
    /// The body of a scope that has ended: the scope waits for its children.
    Joining,
    /// A scope whose future was dropped: its children are being aborted.
    Orphaned,
}

/// What suspended work waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    label: &'static str,
    at: &'static Location<'static>,
    lasts: Option<Duration>,
    pub(super) resource: Option<usize>,
    pub(super) work: Option<WorkId>,
}

/// Where in the tree some work is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub(super) parent: Option<usize>,
    pub(super) scope: Option<usize>,
    pub(super) depth: usize,
}

impl Doing {
    pub(super) fn new(
        seen: &Seen,
        now: Tick,
        running_since: Option<Tick>,
        waits: &[Entry],
    ) -> Self {
        let waits: Vec<_> = waits.iter().map(|entry| Wait::new(entry, now)).collect();
        let state = match &seen.open {
            _ if running_since.is_some() => WorkState::Running,
            Some(SeenScope { has_driver: false, .. }) => WorkState::Orphaned,
            Some(SeenScope { has_body: false, .. }) => WorkState::Joining,
            _ if !waits.is_empty() => WorkState::Waiting,
            // An abort has taken the waker by which suspended work is known.
            None if !seen.is_suspended && !seen.is_aborting => WorkState::Queued,
            _ => WorkState::Idle,
        };
        let running_for = running_since.and_then(|since| now.since(since));
        Self { state, running_for, waits, is_aborting: seen.is_aborting }
    }

    /// What is known of work that is about to be dropped.
    pub(crate) fn when_aborted(work: WorkId) -> Self {
        let now = Tick::now();
        let waits: Vec<_> = waits::of(work).iter().map(|entry| Wait::new(entry, now)).collect();
        let state = if waits.is_empty() { WorkState::Idle } else { WorkState::Waiting };
        Self { state, running_for: None, waits, is_aborting: true }
    }
}

impl Wait {
    fn new(entry: &Entry, now: Tick) -> Self {
        let (resource, work) = match entry.target {
            Target::Unknown => (None, None),
            Target::Resource(key) => (Some(key), None),
            Target::Work(work) => (None, Some(work)),
        };
        let Entry { label, at, since, .. } = *entry;
        Self { label, at, lasts: now.since(since), resource, work }
    }

    /// Whether it waits for the same at the same place. How long it does is another question.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.label, self.at, self.resource) == (other.label, other.at, other.resource)
    }

    /// What it waits for, in the words of the code that waits; empty, if it awaits a
    /// [`Task`](crate::Task).
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Where in the source it waits; where the work was spawned, if it awaits a
    /// [`Task`](crate::Task).
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// For how long, if there is a [`Watch`](super::Watch) since it began.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        self.lasts
    }
}

impl Work {
    pub(super) fn new(seen: Seen, place: Tree, now: Tick, doing: Doing) -> Self {
        let Seen { id, name, at, kind, turn, began, polled, open, .. } = seen;
        let open = open.map(|open| Open {
            live: open.live,
            is_driven: open.has_driver,
            home: open.home,
            stop_cause: open.stop_cause,
            cause: open.cause,
            remaining: Budget::until(open.deadline),
        });
        let (age, last_poll) = (now.since(began), now.since(polled.last));
        let (polls, busy) = (polled.polls, ticks(polled.busy));
        Self { id, turn, place, name, at, kind, age, polls, busy, last_poll, doing, open }
    }

    pub(super) fn doing(&self) -> &Doing {
        &self.doing
    }

    /// The scope it is in, as an index.
    pub(super) fn scope(&self) -> Option<usize> {
        self.place.scope
    }

    /// Whether its future is still there, if it is a scope.
    pub(super) fn is_driven(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_driven)
    }

    /// Whether it is a scope of that runtime whose future was dropped.
    pub(super) fn is_orphan_of(&self, home: Home) -> bool {
        self.open.as_ref().is_some_and(|open| open.home == home && !open.is_driven)
    }

    pub(super) fn has_body(&self) -> bool {
        !matches!(self.doing.state, WorkState::Joining | WorkState::Orphaned)
    }

    pub(super) fn straggler(&self, path: Path) -> Straggler {
        let info = TaskInfo::new(path, self.name.clone(), self.at, self.kind);
        Straggler::new(info, self.age, Some(self.doing.clone()))
    }

    /// The work it is part of, as an index into [`Snapshot::work`](super::Snapshot::work): its scope, or for a scope the
    /// child that runs it.
    #[must_use]
    pub fn parent(&self) -> Option<usize> {
        self.place.parent
    }

    /// How many there are above it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.place.depth
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// What kind of work it is.
    #[must_use]
    pub fn kind(&self) -> WorkKind {
        self.kind
    }

    /// What it does; of a scope, what its body does.
    #[must_use]
    pub fn state(&self) -> WorkState {
        self.doing.state
    }

    /// For how long it has been in this poll, or in its blocking code, if there is a
    /// [`Watch`](super::Watch) since that began.
    #[must_use]
    pub fn running_for(&self) -> Option<Duration> {
        self.doing.running_for
    }

    /// What it waits for.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        &self.doing.waits
    }

    /// Whether it is to be dropped instead of polled again.
    #[must_use]
    pub fn is_aborting(&self) -> bool {
        self.doing.is_aborting
    }

    /// How long ago it was spawned, if there was a [`Watch`](super::Watch) then.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// How often it was polled while there was a [`Watch`](super::Watch).
    #[must_use]
    pub fn polls(&self) -> u32 {
        self.polls
    }

    /// How long those polls took together. Each is taken to the 20 ms, up or down by chance, so
    /// that the sum of many is right.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// How long ago the last of them ended.
    #[must_use]
    pub fn last_poll(&self) -> Option<Duration> {
        self.last_poll
    }

    /// How many children a scope has, nested scopes included.
    #[must_use]
    pub fn live(&self) -> Option<usize> {
        self.open.as_ref().map(|open| open.live)
    }

    /// Why a scope is to stop, if it is.
    #[must_use]
    pub fn stop_cause(&self) -> Option<&Cause> {
        self.open.as_ref()?.stop_cause.as_ref()
    }

    /// Why a scope is cancelled, if it is.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.open.as_ref()?.cause.as_ref()
    }

    /// How much time a scope has left.
    #[must_use]
    pub fn remaining(&self) -> Option<Budget> {
        self.open.as_ref().map(|open| open.remaining)
    }
}

impl WorkState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
            Self::Joining => "joining",
            Self::Orphaned => "orphaned",
        }
    }
}

impl fmt::Display for WorkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
