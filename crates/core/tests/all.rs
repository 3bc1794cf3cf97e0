//! One test binary; the modules follow the sources.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "all/app.rs"]
mod app;
#[cfg(all(feature = "signal", not(miri)))]
#[path = "all/app_signals.rs"]
mod app_signals;
#[cfg(feature = "tokio-util")]
#[path = "all/bridge.rs"]
mod bridge;
#[path = "all/budget.rs"]
mod budget;
#[path = "all/cancel.rs"]
mod cancel;
#[path = "all/cancel_everywhere.rs"]
mod cancel_everywhere;
#[path = "all/cancel_everywhere_tasks.rs"]
mod cancel_everywhere_tasks;
#[path = "all/caught.rs"]
mod caught;
#[path = "all/causes.rs"]
mod causes;
#[path = "all/collect.rs"]
mod collect;
#[path = "all/concurrent.rs"]
mod concurrent;
#[path = "all/deadlines.rs"]
mod deadlines;
#[path = "all/deadlocks.rs"]
mod deadlocks;
#[path = "all/destructors.rs"]
mod destructors;
#[cfg(feature = "tracing")]
#[path = "all/events.rs"]
mod events;
#[path = "all/footguns.rs"]
mod footguns;
#[path = "all/footguns_scopes.rs"]
mod footguns_scopes;
#[path = "all/footguns_tasks.rs"]
mod footguns_tasks;
#[path = "all/inspect.rs"]
mod inspect;
#[path = "all/limits.rs"]
mod limits;
#[path = "all/losses.rs"]
mod losses;
#[path = "all/panics.rs"]
mod panics;
#[path = "all/policies.rs"]
mod policies;
#[cfg(all(target_os = "linux", feature = "process"))]
#[path = "all/process.rs"]
mod process;
#[cfg(all(target_os = "linux", feature = "process"))]
#[path = "all/process_drops.rs"]
mod process_drops;
#[cfg(all(target_os = "linux", feature = "process"))]
#[path = "all/process_tree.rs"]
mod process_tree;
#[path = "all/retry.rs"]
mod retry;
#[path = "all/scope.rs"]
mod scope;
#[path = "all/start.rs"]
mod start;
#[path = "all/supervisor/mod.rs"]
mod supervisor;
#[path = "all/values.rs"]
mod values;
