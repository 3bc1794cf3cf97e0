//! What a look from outside sees of the records.

use super::{
    WorkKind,
    node::ScopeNode,
    reaper::Home,
    registry::{Key, Record},
    seats::Seat,
};
use crate::{
    Cause, Name,
    inspect::{self, Left, Polled, SharedPolled, Tick, WorkId},
    panic::{Caught, catch},
    sync::{
        Arc, Weak,
        unmodelled::{AtomicU64, Mutex, Ordering, lock},
    },
};
use slab::Slab;
use std::panic::Location;
use tokio::time::Instant;

/// One piece of work, as it was when its record was looked at.
pub(crate) struct Seen {
    pub(crate) id: WorkId,
    /// The scope it is in, as an index into what was seen.
    pub(crate) scope: Option<usize>,
    pub(crate) name: Name,
    pub(crate) at: &'static Location<'static>,
    pub(crate) kind: WorkKind,
    pub(crate) turn: u32,
    pub(crate) began: Tick,
    pub(crate) polled: Polled,
    /// Whether it has been suspended since it began.
    pub(crate) is_suspended: bool,
    pub(crate) is_aborting: bool,
    /// More, if it is a scope that is open.
    pub(crate) open: Option<SeenScope>,
}

/// What is known of a scope beyond that.
pub(crate) struct SeenScope {
    /// The work that runs it.
    pub(crate) opener: Option<WorkId>,
    pub(crate) has_body: bool,
    pub(crate) has_driver: bool,
    pub(crate) home: Home,
    pub(crate) live: usize,
    pub(crate) cause: Option<Cause>,
    pub(crate) stop_cause: Option<Cause>,
    pub(crate) deadline: Option<Instant>,
}

/// What a scope keeps for a look from outside alone: nothing depends on it but what people
/// read.
pub(super) struct Outside {
    /// From 1, in the order in which the scopes of the process were opened.
    number: u64,
    /// The work that opened the scope, and so runs its body, and when.
    opener: Option<WorkId>,
    began: Tick,
    body_polled: SharedPolled,
    root: Option<usize>,
}

/// The root scopes of the process, for as long as anything holds them.
static ROOTS: Mutex<Slab<Weak<ScopeNode>>> = Mutex::new(Slab::new());

impl Outside {
    pub(super) fn new() -> Self {
        static SCOPES: AtomicU64 = AtomicU64::new(1);
        let number = SCOPES.fetch_add(1, Ordering::Relaxed);
        let (opener, began) = (inspect::work(), Tick::now());
        Self { number, opener, began, body_polled: SharedPolled::default(), root: None }
    }

    pub(super) fn of_root(node: &Weak<ScopeNode>) -> Self {
        let root = Some(lock(&ROOTS).insert(Weak::clone(node)));
        let mut outside = Self::new();
        outside.root = root;
        outside
    }

    pub(super) fn body(&self) -> WorkId {
        WorkId::body(self.number)
    }

    pub(super) fn child(&self, key: Key) -> WorkId {
        WorkId::new(self.number, key.to_bits())
    }

    pub(super) fn began(&self) -> Tick {
        self.began
    }

    pub(super) fn polled(&self) -> &SharedPolled {
        &self.body_polled
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(root) = self.root {
            // What a `Weak` leaves is plain memory: nothing foreign is dropped under the lock.
            lock(&ROOTS).remove(root);
        }
    }
}

/// All root scopes that are open.
pub(crate) fn roots() -> Vec<Arc<ScopeNode>> {
    let roots: Vec<_> = lock(&ROOTS).iter().map(|(_, root)| Weak::clone(root)).collect();
    roots.iter().filter_map(Weak::upgrade).filter(|root| root.is_open()).collect()
}

/// Everything in `roots`, scopes before what is in them.
pub(crate) fn look(roots: Vec<Arc<ScopeNode>>) -> Vec<Seen> {
    let mut seen: Vec<_> = roots.iter().map(|root| root.seen_as_root()).collect();
    let mut scopes: Vec<_> = roots.into_iter().enumerate().collect();
    while let Some((index, scope)) = scopes.pop() {
        let mut nested = Vec::new();
        let is_aborting = scope.is_aborting();
        scope.look_at_records(|id, record, seat| {
            if let Some(node) = record.scope.as_ref().and_then(Weak::upgrade) {
                nested.push((seen.len(), node));
            }
            seen.push(Seen {
                id,
                scope: Some(index),
                name: record.name.clone(),
                at: record.at,
                kind: record.kind,
                turn: record.turn,
                began: record.began,
                polled: seat.polled(),
                is_suspended: seat.kept().waker.is_some(),
                is_aborting,
                open: None,
            });
        });
        let around = seen[index].open.as_ref().and_then(|open| open.deadline);
        for (index, node) in nested {
            node.complete(&mut seen[index], around);
            scopes.push((index, node));
        }
    }
    seen
}

impl ScopeNode {
    /// Runs user code as that of the body. Tells what a scope has left to it, too.
    pub(super) fn run_body<R>(&self, code: impl FnOnce() -> R) -> (Result<R, Box<Caught>>, Left) {
        let began = Tick::now();
        let body = self.outside().body();
        let run = inspect::run(body, began);
        let result = catch(code);
        let left = run.end();
        if began.is_known() {
            self.outside().body_polled.count(began);
        }
        (result, left)
    }

    fn seen_as_root(&self) -> Seen {
        let around = self.canceller().and_then(|around| around.deadline());
        let mut seen = Seen {
            id: self.outside().body(),
            scope: None,
            name: self.name().clone(),
            at: self.location(),
            kind: WorkKind::Scope,
            turn: 0,
            began: self.outside().began,
            polled: Polled::default(),
            is_suspended: true,
            is_aborting: false,
            open: None,
        };
        self.complete(&mut seen, around);
        seen
    }

    /// Adds what the record in the scope above does not know. From now on the scope goes by the
    /// number of its body, as what runs and waits does.
    fn complete(&self, seen: &mut Seen, around: Option<Instant>) {
        // Not asked of the node, which goes up to the root: a deep tree would take for ever.
        let around = around.filter(|_| self.canceller().is_some());
        let deadline = self.own_deadline().get().into_iter().chain(around).min();
        seen.id = self.outside().body();
        seen.polled = self.outside().polled().get();
        seen.is_aborting = self.is_aborting();
        seen.open = Some(SeenScope {
            opener: self.outside().opener,
            has_body: self.has_body(),
            has_driver: self.has_driver(),
            home: self.home(),
            live: self.live(),
            cause: self.token().cause(),
            stop_cause: self.token().stop_cause(),
            deadline,
        });
    }

    fn look_at_records(&self, mut f: impl FnMut(WorkId, &Record, &Seat)) {
        self.for_each_record(|key, record, seat| f(self.outside().child(key), record, seat));
    }
}
