//! Events on state changes, target `tidegate::core`; nothing without the feature.

use crate::{Cause, Straggler, TaskInfo, TaskPanic};
use std::fmt::Display;

#[cfg(feature = "tracing")]
const TARGET: &str = "tidegate::core";

pub(crate) fn failed(task: &TaskInfo, error: &dyn Display) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, task = task.path(), %error, "failed");
    #[cfg(not(feature = "tracing"))]
    let _ = (task, error);
}

pub(crate) fn panicked(panic: &TaskPanic) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: TARGET, task = panic.task().path(), message = panic.message(), "panicked");
    #[cfg(not(feature = "tracing"))]
    let _ = panic;
}

pub(crate) fn aborted(straggler: &Straggler) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, task = straggler.task().path(), "aborted");
    #[cfg(not(feature = "tracing"))]
    let _ = straggler;
}

pub(crate) fn stopping(app: &str, cause: &Cause) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: TARGET, app, %cause, "stopping");
    #[cfg(not(feature = "tracing"))]
    let _ = (app, cause);
}
