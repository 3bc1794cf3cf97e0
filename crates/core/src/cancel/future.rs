//! Waiting for a token to be cancelled.

use super::{Cause, node::Node};
use crate::sync::Arc;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Waits until a token is cancelled; made by [`CancelToken::cancelled`](super::CancelToken::cancelled).
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled<'a> {
    node: &'a Node,
    key: Option<usize>,
}

impl<'a> Cancelled<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, key: None }
    }
}

impl Future for Cancelled<'_> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        self.node.poll_cancelled(&mut self.key, cx)
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.node.forget_waiter(key);
        }
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").finish_non_exhaustive()
    }
}

/// The same as [`Cancelled`], but owns its token; made by
/// [`CancelToken::cancelled_owned`](super::CancelToken::cancelled_owned).
#[must_use = "futures do nothing unless awaited"]
pub struct CancelledOwned {
    node: Arc<Node>,
    key: Option<usize>,
}

impl CancelledOwned {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, key: None }
    }
}

impl Future for CancelledOwned {
    type Output = Cause;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        let this = self.get_mut();
        this.node.poll_cancelled(&mut this.key, cx)
    }
}

impl Drop for CancelledOwned {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.node.forget_waiter(key);
        }
    }
}

impl fmt::Debug for CancelledOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelledOwned").finish_non_exhaustive()
    }
}
