//! Panics of user code, caught where it is called.

use std::panic::{AssertUnwindSafe, catch_unwind};
pub(crate) use tidegate_core::panic::drop_quietly;
use tidegate_core::panic::message;

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
