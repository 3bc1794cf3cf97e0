//! The state machines of the walk: no files, no clock, no threads of their own. Each is checked
//! by loom.

pub(crate) mod crew;
pub(crate) mod outbox;
pub(crate) mod queue;
pub(crate) mod read_ahead;

// User code never runs under these locks, so a poisoned one is as good as any.
pub(crate) use tidegate_core::sync::lock;
