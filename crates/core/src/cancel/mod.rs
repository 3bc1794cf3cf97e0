//! Telling work to stop: a tree of tokens, each with two levels that it can reach once.
//!
//! | state | event | next | effect |
//! |---|---|---|---|
//! | live | `stop(cause)` | stopping | the cause is kept, who waits for a stop is woken, children are stopped for the same cause |
//! | live, stopping | `cancel(cause)` | cancelled | the cause is kept, all who wait are woken, children are cancelled for the same cause |
//! | live, stopping | parent is stopped or cancelled | as the parent | the same; a cancellation is marked as inherited |
//! | live, stopping | `child()` | the same | a child in the same state is registered |
//! | cancelled | `child()` | cancelled | the child is born cancelled, with the cause |
//! | stopping | `stop(other)` | stopping | nothing: the first cause wins |
//! | cancelled | `stop(other)`, `cancel(other)` | cancelled | nothing |
//!
//! Two cancellations at two heights race for the lower token: all below it has the cause that it
//! took, see `Node::raise`.
//!
//! A number beside the lock makes the check one atomic load. No lock is held while another
//! is taken, a waker is woken or a cause is dropped, and neither cancelling nor dropping
//! recurses, so the depth of the tree is bounded by memory alone.

#[cfg(feature = "tokio-util")]
mod bridge;
mod callback;
mod cause;
mod future;
mod node;
mod token;

pub(crate) use self::cause::SharedError;
pub use self::{
    callback::OnCancel,
    cause::{Cause, CauseKind},
    future::{Cancelled, CancelledOwned, Stopping},
    token::CancelToken,
};

#[cfg(all(test, tidegate_loom))]
pub(crate) mod loom_tests;
