//! Panics, caught where the work runs and named.

use crate::TaskInfo;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
};

/// A panic that was caught: which work, and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPanic(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    task: TaskInfo,
    message: String,
}

impl TaskPanic {
    pub(crate) fn new(task: TaskInfo, payload: &(dyn Any + Send)) -> Self {
        Self(Arc::new(Inner { task, message: message(payload) }))
    }

    /// Whether both are the same event.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Which work panicked.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        &self.0.task
    }

    /// What the panic said; a fixed text if the payload was not a string.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.0.task, self.0.message)
    }
}

impl std::error::Error for TaskPanic {}

/// The text of a panic; a fixed one if the payload is not a string.
#[must_use]
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(the payload is not a string)".to_owned()
    }
}

/// Drops a value whose destructor may panic.
pub fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Wakes a task, whatever its waker does: a foreign waker that panics must not keep the
/// others from being woken.
pub(crate) fn wake_quietly(waker: Waker) {
    quietly(|| waker.wake());
}

/// Runs foreign code whose panic belongs to nobody; false if it panicked.
pub(crate) fn quietly(code: impl FnOnce()) -> bool {
    let Err(second) = catch_unwind(AssertUnwindSafe(code)) else { return true };
    if let Err(third) = catch_unwind(AssertUnwindSafe(|| drop(second))) {
        // A payload whose destructor panics with another one of its kind has no end.
        std::mem::forget(third);
    }
    false
}
