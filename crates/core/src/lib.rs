#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod app;
mod backoff;
mod budget;
mod cancel;
pub mod inspect;
mod name;
mod observe;
#[doc(hidden)]
pub mod panic;
mod path;
#[cfg(all(
    feature = "process",
    unix,
    not(any(target_os = "openbsd", target_os = "redox", tidegate_shuttle)),
))]
pub mod process;
mod retry;
mod rt;
mod say;
mod scope;
pub mod supervisor;
#[doc(hidden)]
pub mod sync;

pub use self::{
    app::{App, ExitReport},
    backoff::{Backoff, Jitter},
    budget::{Budget, ParseBudgetError},
    cancel::{CancelToken, Cancelled, CancelledOwned, Cause, CauseKind, OnCancel, Stopping},
    name::Name,
    panic::TaskPanic,
    retry::{AttemptError, Retry, RetryBudget, RetryError, RetryStop},
    scope::{
        Adopted, AfterFailure, AfterSuccess, ChildEnd, Concurrent, ConcurrentError, Cx,
        DEFAULT_GRACE, Failure, FirstSuccess, JoinReport, NotReady, OnError, OnPanic, Placed,
        Policy, Ready, Reason, Scope, ScopeError, SpawnInTurn, Start, Straggler, Supervise, Task,
        TaskError, TaskInfo, TrySpawnError, Unplaced, WorkKind, join_orphans, orphans, scope,
    },
};
