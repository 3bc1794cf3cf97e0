//! What scopes use of the runtime to run and to time work.

pub(crate) use tokio::{
    task::{JoinHandle, coop::consume_budget, spawn, spawn_blocking},
    time::{Sleep, sleep, sleep_until, timeout},
};
