//! What runs, what it waits for, and what is stuck: on stable tokio, while it runs.
//!
//! A [`Snapshot`] is a picture of every scope, child and registered [`Resource`] of the process,
//! or of one scope by [`Cx::tree`](crate::Cx::tree): as text by its `Display`, as
//! [JSON](Snapshot::to_json), or for [Graphviz](Snapshot::to_dot). Taking one stops nobody: it looks at a few
//! hundred records at a time, so what it shows is what was true of each at some moment between
//! its begin and its end.
//!
//! | to know | do |
//! |---|---|
//! | which work there is, and where it was spawned | nothing: scopes know |
//! | what suspended work waits for | [`waiting`], or [`Resource::waiting`] |
//! | who waits for whom, and in a circle | [`Resource::hold`] in addition, then [`Snapshot::deadlocks`] |
//! | ages, polls, how long a poll has been running, which tasks are awaited by others | [`Watch::start`]; [`App`](crate::App) does |
//! | what came, what went and what does not move | two snapshots and [`Snapshot::since`] |
//!
//! What is not a child of a scope is not seen, `tokio::spawn` for instance.

mod clock;
mod current;
mod deadlock;
mod diff;
mod graph;
mod polled;
mod render;
mod resource;
mod snapshot;
mod text;
mod waits;
mod work;

pub(crate) use self::{
    clock::Tick,
    current::{Left, Run, WorkId, is_running, leave, run, thread, work},
    polled::{Polled, SharedPolled},
    text::Rough,
    waits::{Entered, Target},
    work::Doing,
};
pub use self::{
    clock::Watch,
    deadlock::{Deadlock, Link},
    diff::Difference,
    resource::{Hold, Resource},
    snapshot::{ResourceInfo, Snapshot},
    waits::{Waiting, waiting},
    work::{Wait, Work, WorkState},
};
