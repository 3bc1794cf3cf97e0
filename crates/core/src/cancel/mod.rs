//! Telling work to stop: a tree of tokens, each cancelled at most once, with the cause.
//!
//! | state | event | next | effect |
//! |---|---|---|---|
//! | live | `cancel(cause)` | cancelled | the cause is kept, waiters are woken, children get the same cause |
//! | live | parent is cancelled | cancelled | the same, marked as inherited |
//! | live | `child()` | live | a live child is registered |
//! | cancelled | `child()` | cancelled | the child is born cancelled, with the cause |
//! | cancelled | `cancel(other)` | cancelled | nothing: the first cause wins |
//!
//! A flag beside the lock makes the check one atomic load. No lock is held while another
//! is taken, a waker is woken or a cause is dropped, and neither cancelling nor dropping
//! recurses, so the depth of the tree is bounded by memory alone.

mod cause;
mod future;
mod node;
mod token;

pub(crate) use self::cause::SharedError;
pub use self::{
    cause::{Cause, CauseKind},
    future::{Cancelled, CancelledOwned},
    token::CancelToken,
};

#[cfg(all(test, tidegate_loom))]
pub(crate) mod loom_tests;
