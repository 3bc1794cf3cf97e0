//! Events on state changes, target `tidegate::core`; nothing without the feature.
//!
//! A subscriber and the `Display` of an error are foreign code: their panics end here, so
//! that no state depends on them.

use crate::{Cause, Straggler, TaskInfo, TaskPanic, path::Path};
use std::{fmt::Display, time::Duration};

#[cfg(feature = "tracing")]
use crate::panic::quietly;
#[cfg(feature = "tracing")]
const TARGET: &str = "tidegate::core";

pub(crate) fn failed(task: &TaskInfo, error: &dyn Display) {
    #[cfg(feature = "tracing")]
    if !quietly(|| tracing::warn!(target: TARGET, task = task.path(), %error, "failed")) {
        let error = "(cannot be displayed)";
        quietly(|| tracing::warn!(target: TARGET, task = task.path(), error, "failed"));
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (task, error);
}

pub(crate) fn panicked(panic: &TaskPanic) {
    #[cfg(feature = "tracing")]
    quietly(|| {
        tracing::error!(target: TARGET, task = panic.task().path(), message = panic.message(), "panicked");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = panic;
}

pub(crate) fn callback_panicked(cause: &Cause, message: &str) {
    #[cfg(feature = "tracing")]
    if !quietly(|| tracing::error!(target: TARGET, %cause, message, "a callback panicked")) {
        quietly(|| tracing::error!(target: TARGET, message, "a callback panicked"));
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (cause, message);
}

pub(crate) fn policy_panicked(message: &str) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::error!(target: TARGET, message, "a policy panicked"));
    #[cfg(not(feature = "tracing"))]
    let _ = message;
}

/// The grace period of a scope is over, or an app is given up: what is still there.
pub(crate) fn left(scope: &Path, stragglers: &[Straggler], event: &'static str) {
    #[cfg(feature = "tracing")]
    quietly(|| {
        let names = Names(stragglers);
        tracing::warn!(target: TARGET, scope = scope.text(), count = stragglers.len(), %names, "{event}");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (scope, stragglers, event);
}

/// The first of them, so that an event has a bounded size.
#[cfg(feature = "tracing")]
struct Names<'a>(&'a [Straggler]);

#[cfg(feature = "tracing")]
impl Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MAX: usize = 16;
        for (n, straggler) in self.0.iter().take(MAX).enumerate() {
            write!(f, "{}{straggler}", if n == 0 { "" } else { ", " })?;
        }
        if self.0.len() > MAX { f.write_str(", ...") } else { Ok(()) }
    }
}

pub(crate) fn aborted(straggler: &Straggler) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::warn!(target: TARGET, task = straggler.task().path(), "aborted"));
    #[cfg(not(feature = "tracing"))]
    let _ = straggler;
}

pub(crate) fn refused(task: &TaskInfo, cause: &Cause) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::warn!(target: TARGET, task = task.path(), %cause, "refused"));
    #[cfg(not(feature = "tracing"))]
    let _ = (task, cause);
}

pub(crate) fn restarting(child: &str, after: Duration) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::warn!(target: TARGET, child, ?after, "restarting"));
    #[cfg(not(feature = "tracing"))]
    let _ = (child, after);
}

pub(crate) fn gave_up(supervisor: &str, child: &str, limit: &dyn Display) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::error!(target: TARGET, supervisor, child, %limit, "gave up"));
    #[cfg(not(feature = "tracing"))]
    let _ = (supervisor, child, limit);
}

pub(crate) fn stopping(app: &str, cause: &Cause) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::info!(target: TARGET, app, %cause, "stopping"));
    #[cfg(not(feature = "tracing"))]
    let _ = (app, cause);
}

/// A program was told to end, and did not.
#[cfg(all(unix, feature = "signal"))]
pub(crate) fn hangs(signal: i32) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::error!(target: TARGET, signal, "hangs"));
    #[cfg(not(feature = "tracing"))]
    let _ = signal;
}

/// Nobody answers SIGUSR1 and SIGQUIT, or ends the program if it hangs.
#[cfg(all(unix, feature = "signal"))]
pub(crate) fn unattended(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    quietly(|| tracing::warn!(target: TARGET, %error, "no thread for signals"));
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// What became of a process that did not end as it should.
#[cfg(all(unix, feature = "process"))]
pub(crate) fn process(program: &crate::process::Program, pid: u32, event: &'static str) {
    #[cfg(feature = "tracing")]
    quietly(|| {
        let (process, program) = (program.name(), program.path());
        tracing::warn!(target: TARGET, process, program, pid, "{event}");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (program, pid, event);
}
