//! The state machine of one token: see the table in the parent module.

use crate::{
    cancel::Cause,
    panic::wake_quietly,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use slab::Slab;
use std::task::{Context, Poll, Waker};

pub(crate) struct Node {
    /// Set once, under the lock, after the cause: a check is one load.
    cancelled: AtomicBool,
    inner: Mutex<Inner>,
    parent: Option<Parent>,
}

struct Parent {
    node: Arc<Node>,
    key: usize,
}

#[derive(Default)]
struct Inner {
    cause: Option<Cause>,
    inherited: bool,
    children: Slab<Weak<Node>>,
    waiters: Slab<Waker>,
}

impl Node {
    pub(crate) fn root() -> Arc<Self> {
        Self::new(Inner::default(), None)
    }

    fn new(inner: Inner, parent: Option<Parent>) -> Arc<Self> {
        let cancelled = inner.cause.is_some();
        Arc::new(Self { cancelled: AtomicBool::new(cancelled), inner: Mutex::new(inner), parent })
    }

    /// A child of a cancelled node is born cancelled, and has no tie to it.
    pub(crate) fn child(self: &Arc<Self>) -> Arc<Self> {
        let mut inner = lock(&self.inner);
        if let Some(cause) = inner.cause.clone() {
            drop(inner);
            return Self::new(
                Inner { cause: Some(cause), inherited: true, ..Inner::default() },
                None,
            );
        }
        // The slot is reserved before the child exists, because the child must know its key.
        let slot = inner.children.vacant_entry();
        let parent = Parent { node: Arc::clone(self), key: slot.key() };
        let child = Self::new(Inner::default(), Some(parent));
        slot.insert(Arc::downgrade(&child));
        child
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        if !self.is_cancelled() {
            return None;
        }
        lock(&self.inner).cause.clone()
    }

    /// The cause, if it came down from an ancestor.
    pub(crate) fn inherited_cause(&self) -> Option<Cause> {
        let inner = lock(&self.inner);
        inner.cause.clone().filter(|_| inner.inherited)
    }

    /// Cancels this node and its descendants; false if it was cancelled before.
    pub(crate) fn cancel(&self, cause: &Cause) -> bool {
        let Some(mut pending) = self.fire(cause, false) else { return false };
        while let Some(node) = pending.pop().map(|child| child.upgrade()) {
            if let Some(children) = node.and_then(|node| node.fire(cause, true)) {
                pending.extend(children);
            }
        }
        true
    }

    /// The one transition: live to cancelled. Returns the children to be cancelled next.
    fn fire(&self, cause: &Cause, inherited: bool) -> Option<Vec<Weak<Self>>> {
        let mut inner = lock(&self.inner);
        if inner.cause.is_some() {
            return None;
        }
        inner.cause = Some(cause.clone());
        inner.inherited = inherited;
        self.cancelled.store(true, Ordering::Release);
        let children = std::mem::take(&mut inner.children);
        let waiters = std::mem::take(&mut inner.waiters);
        drop(inner);
        for (_, waiter) in waiters {
            wake_quietly(waiter);
        }
        Some(children.into_iter().map(|(_, child)| child).collect())
    }

    /// Ready with the cause, or registers the waker under `key`, which stays valid until
    /// [`forget_waiter`](Self::forget_waiter).
    pub(crate) fn poll_cancelled(&self, key: &mut Option<usize>, cx: &Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.cause() {
            *key = None;
            return Poll::Ready(cause);
        }
        // A future that is polled for other reasons has left the same waker before.
        if let Some(key) = *key {
            let inner = lock(&self.inner);
            if inner.waiters.get(key).is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
        }
        // A waker's clone and drop are foreign code: neither runs under the lock.
        let mut waker = Some(cx.waker().clone());
        let mut inner = lock(&self.inner);
        if let Some(cause) = inner.cause.clone() {
            drop(inner);
            *key = None;
            return Poll::Ready(cause);
        }
        match *key {
            Some(key) => waker = waker.map(|new| std::mem::replace(&mut inner.waiters[key], new)),
            None => *key = waker.take().map(|waker| inner.waiters.insert(waker)),
        }
        drop(inner);
        drop(waker);
        Poll::Pending
    }

    pub(crate) fn forget_waiter(&self, key: usize) {
        let mut inner = lock(&self.inner);
        // Cancelling took the whole table, so a key is good only while the node is live.
        let waker = if inner.cause.is_none() { inner.waiters.try_remove(key) } else { None };
        drop(inner);
        drop(waker);
    }

    fn forget_child(&self, key: usize) {
        let mut inner = lock(&self.inner);
        if inner.cause.is_none() {
            inner.children.try_remove(key);
        }
    }

    #[cfg(all(test, tidegate_loom))]
    pub(crate) fn registered(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        (inner.children.len(), inner.waiters.len())
    }
}

impl Drop for Node {
    /// Goes up the tree in a loop: a chain of ten thousand tokens whose last handle is
    /// dropped must not overflow the stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(Parent { node, key }) = parent {
            node.forget_child(key);
            parent = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}
