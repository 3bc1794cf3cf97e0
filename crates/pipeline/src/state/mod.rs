//! Every decision of a pipeline, without waiting, spawning or reading a clock.

pub(crate) mod chunk;
pub(crate) mod queue;
pub(crate) mod reorder;
pub(crate) mod waiters;
