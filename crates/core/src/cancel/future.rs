//! Waiting for a token to be stopped or cancelled.

use super::{
    Cause,
    node::{Level, Node},
};
use crate::sync::Arc;
use std::{
    borrow::Borrow,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// What the futures share: a place in a node's list of waiters, given back when dropped.
struct Wait<N: Borrow<Node>> {
    node: N,
    level: Level,
    key: Option<usize>,
}

impl<N: Borrow<Node>> Wait<N> {
    fn new(node: N, level: Level) -> Self {
        Self { node, level, key: None }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Cause> {
        self.node.borrow().poll_reached(self.level, &mut self.key, cx)
    }
}

impl<N: Borrow<Node>> Drop for Wait<N> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.node.borrow().forget_waker(self.level, key);
        }
    }
}

/// Waits until a token is cancelled; made by [`CancelToken::cancelled`](super::CancelToken::cancelled).
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled<'a>(Wait<&'a Node>);

impl<'a> Cancelled<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self(Wait::new(node, Level::Cancelled))
    }
}

impl Future for Cancelled<'_> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").finish_non_exhaustive()
    }
}

/// Waits until a token is stopped or cancelled; made by
/// [`CancelToken::stopping`](super::CancelToken::stopping).
#[must_use = "futures do nothing unless awaited"]
pub struct Stopping<'a>(Wait<&'a Node>);

impl<'a> Stopping<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self(Wait::new(node, Level::Stopping))
    }
}

impl Future for Stopping<'_> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for Stopping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopping").finish_non_exhaustive()
    }
}

/// The same as [`Cancelled`], but owns its token; made by
/// [`CancelToken::cancelled_owned`](super::CancelToken::cancelled_owned).
#[must_use = "futures do nothing unless awaited"]
pub struct CancelledOwned(Wait<Arc<Node>>);

impl CancelledOwned {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self(Wait::new(node, Level::Cancelled))
    }
}

impl Future for CancelledOwned {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for CancelledOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelledOwned").finish_non_exhaustive()
    }
}
