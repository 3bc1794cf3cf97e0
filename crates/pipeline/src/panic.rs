//! Panics of user code, caught where it is called.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `work`; a panic becomes its message.
///
/// The state that `work` shares with the rest may be half-changed afterwards only if it is
/// the user's: the queues, counters and buffers of this crate are changed by single calls.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message(&*payload);
        drop_quietly(payload);
        message
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(the payload is not a string)".to_owned()
    }
}

/// Drops a value whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return };
    if let Err(third) = catch_unwind(AssertUnwindSafe(|| drop(second))) {
        // A payload whose destructor panics with another one of its kind has no end.
        std::mem::forget(third);
    }
}
