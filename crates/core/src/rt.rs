//! What scopes use of the runtime to run and to time work: tokio's, or under
//! `--cfg tidegate_shuttle` a model of it, so that whole scopes run under schedules of shuttle's
//! making. What else comes from tokio neither runs nor blocks anything, and works there as it is.

#[cfg(not(tidegate_shuttle))]
pub(crate) use tokio::{
    task::{JoinHandle, coop::consume_budget, spawn, spawn_blocking},
    time::{Sleep, sleep, sleep_until, timeout},
};

#[cfg(tidegate_shuttle)]
mod model;
#[cfg(tidegate_shuttle)]
pub(crate) use self::model::{
    JoinHandle, Sleep, consume_budget, sleep, sleep_until, spawn, spawn_blocking, timeout,
};
