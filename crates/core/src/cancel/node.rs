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

/// What a node has reached: how many levels, or [`INHERITED`].
const LIVE: u8 = 0;
const STOPPING: u8 = Level::Stopping as u8 + 1;
const CANCELLED: u8 = Level::Cancelled as u8 + 1;
/// Both, and the cancellation came down from an ancestor.
const INHERITED: u8 = CANCELLED + 1;

/// One of each level.
#[derive(Clone, Default)]
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

/// Who waits.
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

/// What is still to be done when nodes have reached a level, without a lock.
#[derive(Default)]
struct News {
    children: Vec<Weak<Node>>,
    waiters: Vec<Waiter>,
}

impl News {
    fn add(&mut self, waiters: Waiters) {
        let Waiters { wakers, callbacks } = waiters;
        wakers.0.into_iter().for_each(|wakers| self.add_wakers(wakers));
        let callbacks = callbacks.into_iter();
        self.waiters.extend(callbacks.map(|(_, callback)| Waiter::Callback(callback)));
    }

    fn add_wakers(&mut self, wakers: Slab<Waker>) {
        self.waiters.extend(wakers.into_iter().map(|(_, waker)| Waiter::Task(waker)));
    }
}

pub(crate) struct Node {
    /// Raised under the lock, after the cause: a check is one load.
    reached: AtomicU8,
    inner: Mutex<Inner>,
    parent: Option<Parent>,
}

struct Parent {
    node: Arc<Node>,
    key: usize,
}

struct Inner {
    /// Present for each level that is reached.
    causes: PerLevel<Option<Cause>>,
    children: Slab<Weak<Node>>,
    /// Who waits for a level that is not reached. Many tokens have nobody in all their life, and
    /// are cheaper to make and to drop without the tables.
    waiters: Option<Box<Waiters>>,
}

#[derive(Default)]
struct Waiters {
    wakers: PerLevel<Slab<Waker>>,
    /// Functions that are called at the cancellation.
    callbacks: Slab<Arc<Callback>>,
}

impl Inner {
    fn new(causes: PerLevel<Option<Cause>>) -> Self {
        Self { causes, children: Slab::new(), waiters: None }
    }

    fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    fn has_waker(&self, level: Level, key: usize, waker: &Waker) -> bool {
        let own = self.waiters.as_ref().and_then(|waiters| waiters.wakers[level].get(key));
        own.is_some_and(|own| own.will_wake(waker))
    }
}

impl Node {
    pub(crate) fn root() -> Arc<Self> {
        Self::live(None)
    }

    /// Made of constants where it stays: causes that come by argument, and are moved from place
    /// to place, take longer than all the rest.
    fn live(parent: Option<Parent>) -> Arc<Self> {
        let inner = Mutex::new(Inner::new(PerLevel([None, None])));
        Arc::new(Self { reached: AtomicU8::new(LIVE), inner, parent })
    }

    fn born(reached: u8, causes: PerLevel<Option<Cause>>, parent: Option<Parent>) -> Arc<Self> {
        let inner = Mutex::new(Inner::new(causes));
        Arc::new(Self { reached: AtomicU8::new(reached), inner, parent })
    }

    /// A child is born at the level of its parent. If that is cancelled, the child has no tie
    /// to it.
    pub(crate) fn child(self: &Arc<Self>) -> Arc<Self> {
        let mut inner = lock(&self.inner);
        let Inner { causes, children, .. } = &mut *inner;
        if causes[Level::Cancelled].is_some() {
            let causes = causes.clone();
            drop(inner);
            return Self::born(INHERITED, causes, None);
        }
        // The slot is reserved before the child exists, because the child must know its key.
        let slot = children.vacant_entry();
        let parent = Some(Parent { node: Arc::clone(self), key: slot.key() });
        let child = match causes[Level::Stopping] {
            None => Self::live(parent),
            Some(_) => Self::born(STOPPING, causes.clone(), parent),
        };
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
        let is_inherited = self.reached.load(Ordering::Acquire) == INHERITED;
        self.cause(Level::Cancelled).filter(|_| is_inherited)
    }

    /// Takes this node and its descendants to `level`; false if it was there before. All of
    /// them have reached it before the first waiter is told: those are foreign code.
    ///
    /// Of two cancellations at once, of a node and of one above it, the lower node decides under
    /// its lock: whichever comes there first goes on below it, and the other stops there. So the
    /// lower node and all below it have one cause, that of either, and all other nodes that of the
    /// upper one. What is below may still be on its way when the one that stopped returns.
    pub(crate) fn raise(&self, level: Level, cause: &Cause) -> bool {
        let mut news = News::default();
        if !self.fire(level, cause, false, &mut news) {
            return false;
        }
        // Held till the end: the last handle may go meanwhile, and with it what is foreign.
        let mut reached = Vec::new();
        while let Some(child) = news.children.pop() {
            let Some(node) = child.upgrade() else { continue };
            node.fire(level, cause, true, &mut news);
            reached.push(node);
        }
        for waiter in news.waiters {
            waiter.tell(cause);
        }
        true
    }

    /// One transition of the table; false if there is none. Adds the children, which are next,
    /// and who waits.
    fn fire(&self, level: Level, cause: &Cause, inherited: bool, news: &mut News) -> bool {
        let mut inner = lock(&self.inner);
        if inner.causes[level].is_some() {
            return false;
        }
        // What is cancelled is stopping, too; a cause that it has for that stays.
        inner.causes[Level::Stopping].get_or_insert_with(|| cause.clone());
        let (mut children, mut waiters) = (Slab::new(), None);
        let reached = match level {
            Level::Stopping => {
                news.children.extend(inner.children.iter().map(|(_, child)| child.clone()));
                if let Some(waiters) = &mut inner.waiters {
                    news.add_wakers(std::mem::take(&mut waiters.wakers[level]));
                }
                STOPPING
            }
            Level::Cancelled => {
                inner.causes[level] = Some(cause.clone());
                children = std::mem::take(&mut inner.children);
                waiters = inner.waiters.take();
                if inherited { INHERITED } else { CANCELLED }
            }
        };
        self.reached.store(reached, Ordering::Release);
        drop(inner);
        news.children.extend(children.into_iter().map(|(_, child)| child));
        if let Some(waiters) = waiters {
            news.add(*waiters);
        }
        true
    }

    /// Registers a function for the cancellation; the cause, if that has come.
    pub(crate) fn add_callback(&self, callback: &Arc<Callback>) -> Result<usize, Cause> {
        let mut inner = lock(&self.inner);
        match &inner.causes[Level::Cancelled] {
            Some(cause) => Err(cause.clone()),
            None => Ok(inner.waiters().callbacks.insert(Arc::clone(callback))),
        }
    }

    /// Ready with the cause once `level` is reached; else leaves the waker under `key`, which
    /// stays valid until [`forget_waker`](Self::forget_waker).
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
        if key.is_some_and(|key| lock(&self.inner).has_waker(level, key, cx.waker())) {
            return Poll::Pending;
        }
        // A waker's clone and drop are foreign code: neither runs under the lock.
        let waker = cx.waker().clone();
        let mut inner = lock(&self.inner);
        if let Some(cause) = inner.causes[level].clone() {
            drop(inner);
            *key = None;
            return Poll::Ready(cause);
        }
        let wakers = &mut inner.waiters().wakers[level];
        let Some(key) = *key else {
            *key = Some(wakers.insert(waker));
            return Poll::Pending;
        };
        let former = std::mem::replace(&mut wakers[key], waker);
        drop(inner);
        drop(former);
        Poll::Pending
    }

    pub(crate) fn forget_waker(&self, level: Level, key: usize) {
        let waker = self.forget(level, |inner| inner.waiters().wakers[level].try_remove(key));
        drop(waker);
    }

    pub(crate) fn forget_callback(&self, key: usize) {
        let take = |inner: &mut Inner| inner.waiters().callbacks.try_remove(key);
        drop(self.forget(Level::Cancelled, take));
    }

    fn forget_child(&self, key: usize) {
        drop(self.forget(Level::Cancelled, |inner| inner.children.try_remove(key)));
    }

    /// Takes something out of a table, for the caller to drop. Reaching the level has taken all
    /// of it, so a key is good only before that.
    fn forget<T>(&self, level: Level, take: impl FnOnce(&mut Inner) -> Option<T>) -> Option<T> {
        let mut inner = lock(&self.inner);
        if inner.causes[level].is_some() { None } else { take(&mut inner) }
    }

    #[cfg(all(test, tidegate_loom))]
    pub(crate) fn registered(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        let waiters = inner.waiters.as_ref().map_or(0, |waiters| {
            waiters.wakers.0.iter().map(Slab::len).sum::<usize>() + waiters.callbacks.len()
        });
        (inner.children.len(), waiters)
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
