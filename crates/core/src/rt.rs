//! What scopes use of the runtime to run and to time work: tokio's, or under
//! `--cfg tidegate_shuttle` a model of it, so that whole scopes run under schedules of shuttle's
//! making. What else comes from tokio neither runs nor blocks anything, and works there as it is.

#[cfg(not(tidegate_shuttle))]
pub(crate) use tokio::{
    task::{JoinHandle, coop::consume_budget, spawn, spawn_blocking},
    time::{Sleep, sleep, sleep_until, timeout},
};

/// Whether the calling work is part of the task itself. Not asked of the inspection: another piece
/// of work may have the number of one that has ended, before the runtime says so.
#[cfg(not(tidegate_shuttle))]
pub(crate) fn is_part_of<T>(task: &JoinHandle<T>) -> bool {
    tokio::task::try_id() == Some(task.id())
}

#[cfg(tidegate_shuttle)]
mod model;
#[cfg(tidegate_shuttle)]
pub(crate) use self::model::{
    JoinHandle, Sleep, consume_budget, is_part_of, sleep, sleep_until, spawn, spawn_blocking,
    timeout,
};
