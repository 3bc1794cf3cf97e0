//! Structured concurrency: no task outlives the scope that spawned it.
//!
//! A scope is open while its body runs or a child lives, and closed for ever after:
//!
//! | state | event | next |
//! |---|---|---|
//! | running (body alive) | body ends | joining, or closed if no child lives |
//! | running | a child fails or panics | running; the token is cancelled, and after the grace period what is left is aborted |
//! | running, joining | the scope's future is dropped | orphaned, aborting: what went wrong so far, and from now on, goes to the parent |
//! | joining | the last child ends | the waiting future is woken and closes the scope; the parent's record is removed |
//! | orphaned | the last child ends | closed; the parent's record is removed |
//! | joining | a child spawns | joining |
//! | closed | spawn | closed; the future is dropped unrun and its task reports why |
//!
//! [`registry`] is that machine, without waiting or spawning, and names who is counted; [`seats`]
//! is the part of it that knows no lock, and [`join`] who waits; [`ledger`] is what went wrong;
//! [`node`] is the three together, in a tree, and [`faults`] finds the ledger; [`child`] runs a
//! child and gives its record back whatever happens, [`vault`] keeps its value; [`builder`] has the
//! options of a scope, [`run`] opens it, [`drive`] drives body, grace and join, [`deadline`] bounds
//! their time, [`values`] is what they inherit, [`view`] is what a look from outside sees, and
//! [`reaper`] waits for what nobody else does.

mod builder;
mod child;
mod concurrent;
mod cx;
mod deadline;
mod drive;
mod error;
mod faults;
mod first;
mod join;
mod ledger;
mod limit;
mod node;
mod policy;
mod reaper;
mod registry;
mod report;
mod run;
mod seats;
mod slots;
mod start;
mod supervised;
mod task;
mod values;
mod vault;
mod view;

pub use self::{
    builder::{DEFAULT_GRACE, Placed, Scope, Unplaced},
    concurrent::{Concurrent, ConcurrentError},
    cx::Cx,
    error::{
        Failure, OnError, OnPanic, Reason, ScopeError, Straggler, TaskError, TaskInfo, WorkKind,
    },
    limit::{SpawnInTurn, TrySpawnError},
    policy::{AfterFailure, AfterSuccess, ChildEnd, FirstSuccess, Policy, Supervise},
    reaper::{join_orphans, orphans},
    report::{Adopted, JoinReport},
    run::scope,
    start::{NotReady, Ready, Start},
    task::Task,
};
pub(crate) use self::{
    deadline::Timer,
    drive::drive,
    node::ScopeNode,
    reaper::Home,
    supervised::run_supervised,
    view::{Seen, SeenScope, look, roots},
};

#[cfg(all(test, tidegate_loom))]
mod loom_tests;
#[cfg(all(test, tidegate_shuttle))]
pub(crate) mod shuttle_tests;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;
