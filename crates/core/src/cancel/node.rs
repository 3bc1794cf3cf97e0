//! The state machine of one token: see the table in the parent module.

use super::{Cause, callback::Callback};
use crate::{
    panic::wake_quietly,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU8, Ordering},
        lock,
    },
};
use slab::Slab;
use std::{
    ops::{Index, IndexMut},
    task::{Context, Poll, Waker},
};

/// How far a token has gone from being live. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Stopping,
    Cancelled,
}

/// One of each level.
#[derive(Default)]
struct PerLevel<T>([T; 2]);

impl<T> Index<Level> for PerLevel<T> {
    type Output = T;

    fn index(&self, level: Level) -> &T {
        &self.0[level as usize]
    }
}

impl<T> IndexMut<Level> for PerLevel<T> {
    fn index_mut(&mut self, level: Level) -> &mut T {
        &mut self.0[level as usize]
    }
}

/// Who is told when a level is reached.
enum Waiter {
    Task(Waker),
    Callback(Arc<Callback>),
}

impl Waiter {
    fn tell(self, cause: &Cause) {
        match self {
            Self::Task(waker) => wake_quietly(waker),
            Self::Callback(callback) => callback.call(cause),
        }
    }
}

pub(crate) struct Node {
    /// How many levels are reached. Raised under the lock, after the cause: a check is one load.
    reached: AtomicU8,
    inner: Mutex<Inner>,
    parent: Option<Parent>,
}

struct Parent {
    node: Arc<Node>,
    key: usize,
}

#[derive(Default)]
struct Inner {
    /// Present for each level that is reached.
    causes: PerLevel<Option<Cause>>,
    /// Whether the cancellation came down from an ancestor.
    inherited: bool,
    children: Slab<Weak<Node>>,
    /// Who waits for a level that is not reached.
    waiters: PerLevel<Slab<Waiter>>,
}

impl Node {
    pub(crate) fn root() -> Arc<Self> {
        Self::new(Inner::default(), None)
    }

    fn new(inner: Inner, parent: Option<Parent>) -> Arc<Self> {
        let reached = inner.causes.0.iter().flatten().count();
        #[expect(clippy::cast_possible_truncation, reason = "two at most")]
        let reached = AtomicU8::new(reached as u8);
        Arc::new(Self { reached, inner: Mutex::new(inner), parent })
    }

    /// A child is born at the level of its parent. If that is cancelled, the child has no tie
    /// to it.
    pub(crate) fn child(self: &Arc<Self>) -> Arc<Self> {
        let mut inner = lock(&self.inner);
        let causes = PerLevel(inner.causes.0.clone());
        if causes[Level::Cancelled].is_some() {
            drop(inner);
            return Self::new(Inner { causes, inherited: true, ..Inner::default() }, None);
        }
        // The slot is reserved before the child exists, because the child must know its key.
        let slot = inner.children.vacant_entry();
        let parent = Parent { node: Arc::clone(self), key: slot.key() };
        let child = Self::new(Inner { causes, ..Inner::default() }, Some(parent));
        slot.insert(Arc::downgrade(&child));
        child
    }

    pub(crate) fn has_reached(&self, level: Level) -> bool {
        self.reached.load(Ordering::Acquire) > level as u8
    }

    pub(crate) fn cause(&self, level: Level) -> Option<Cause> {
        if !self.has_reached(level) {
            return None;
        }
        lock(&self.inner).causes[level].clone()
    }

    /// The cause of the cancellation, if it came down from an ancestor.
    pub(crate) fn inherited_cause(&self) -> Option<Cause> {
        let inner = lock(&self.inner);
        inner.causes[Level::Cancelled].clone().filter(|_| inner.inherited)
    }

    /// Takes this node and its descendants to `level`; false if it was there before. All of
    /// them have reached it before the first waiter is told: those are foreign code.
    pub(crate) fn raise(&self, level: Level, cause: &Cause) -> bool {
        let mut waiters = Vec::new();
        // Held till the end: the last handle may go meanwhile, and with it what is foreign.
        let mut reached = Vec::new();
        let Some(mut pending) = self.fire(level, cause, false, &mut waiters) else { return false };
        while let Some(child) = pending.pop() {
            let Some(node) = child.upgrade() else { continue };
            pending.extend(node.fire(level, cause, true, &mut waiters).into_iter().flatten());
            reached.push(node);
        }
        for waiter in waiters {
            waiter.tell(cause);
        }
        true
    }

    /// One transition of the table. Returns the children, which are next, and adds who waits.
    fn fire(
        &self,
        level: Level,
        cause: &Cause,
        inherited: bool,
        waiters: &mut Vec<Waiter>,
    ) -> Option<Vec<Weak<Self>>> {
        let mut inner = lock(&self.inner);
        if inner.causes[level].is_some() {
            return None;
        }
        // What is cancelled is stopping, too; a cause that it has for that stays.
        inner.causes[Level::Stopping].get_or_insert_with(|| cause.clone());
        let stopping = std::mem::take(&mut inner.waiters[Level::Stopping]);
        let mut cancelled = Slab::new();
        let children = match level {
            Level::Stopping => inner.children.iter().map(|(_, child)| child.clone()).collect(),
            Level::Cancelled => {
                inner.causes[level] = Some(cause.clone());
                inner.inherited = inherited;
                cancelled = std::mem::take(&mut inner.waiters[level]);
                std::mem::take(&mut inner.children).into_iter().map(|(_, child)| child).collect()
            }
        };
        self.reached.store(level as u8 + 1, Ordering::Release);
        drop(inner);
        waiters.extend(stopping.into_iter().chain(cancelled).map(|(_, waiter)| waiter));
        Some(children)
    }

    /// Registers a function for the cancellation; the cause, if that has come.
    pub(crate) fn add_callback(&self, callback: &Arc<Callback>) -> Result<usize, Cause> {
        let mut inner = lock(&self.inner);
        if let Some(cause) = &inner.causes[Level::Cancelled] {
            return Err(cause.clone());
        }
        let waiter = Waiter::Callback(Arc::clone(callback));
        Ok(inner.waiters[Level::Cancelled].insert(waiter))
    }

    /// Ready with the cause once `level` is reached; else leaves the waker under `key`, which
    /// stays valid until [`forget_waiter`](Self::forget_waiter).
    pub(crate) fn poll_reached(
        &self,
        level: Level,
        key: &mut Option<usize>,
        cx: &Context<'_>,
    ) -> Poll<Cause> {
        if let Some(cause) = self.cause(level) {
            *key = None;
            return Poll::Ready(cause);
        }
        // A future that is polled for other reasons has left the same waker before.
        if let Some(key) = *key {
            let inner = lock(&self.inner);
            if let Some(Waiter::Task(waker)) = inner.waiters[level].get(key) {
                if waker.will_wake(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }
        // A waker's clone and drop are foreign code: neither runs under the lock.
        let mut waiter = Some(Waiter::Task(cx.waker().clone()));
        let mut inner = lock(&self.inner);
        if let Some(cause) = inner.causes[level].clone() {
            drop(inner);
            *key = None;
            return Poll::Ready(cause);
        }
        let waiters = &mut inner.waiters[level];
        match *key {
            Some(key) => waiter = waiter.map(|new| std::mem::replace(&mut waiters[key], new)),
            None => *key = waiter.take().map(|waiter| waiters.insert(waiter)),
        }
        drop(inner);
        drop(waiter);
        Poll::Pending
    }

    pub(crate) fn forget_waiter(&self, level: Level, key: usize) {
        let mut inner = lock(&self.inner);
        // Reaching the level took the whole table, so a key is good only before that.
        let is_good = inner.causes[level].is_none();
        let waiter = if is_good { inner.waiters[level].try_remove(key) } else { None };
        drop(inner);
        drop(waiter);
    }

    fn forget_child(&self, key: usize) {
        let mut inner = lock(&self.inner);
        if inner.causes[Level::Cancelled].is_none() {
            inner.children.try_remove(key);
        }
    }

    #[cfg(all(test, tidegate_loom))]
    pub(crate) fn registered(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        (inner.children.len(), inner.waiters.0.iter().map(Slab::len).sum())
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

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use std::{sync::mpsc::sync_channel, thread, time::Duration};

    /// tokio#7775: `is_cancelled` waits for a lock that another thread holds.
    #[test]
    fn tokio_7775_a_check_takes_a_lock() {
        let node = Node::root();
        let child = node.child();
        let (tell, told) = sync_channel(1);
        thread::scope(|threads| {
            let held = [lock(&node.inner), lock(&child.inner)];
            let check = || [&node, &child].map(|node| node.has_reached(Level::Cancelled));
            threads.spawn(move || tell.send(check()));
            let checked = told.recv_timeout(Duration::from_secs(60));
            drop(held);
            assert_eq!(checked, Ok([false, false]));
        });
    }
}
