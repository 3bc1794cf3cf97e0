//! One scope in the tree, whatever the type of its errors.

use super::{
    Straggler, WorkKind,
    error::TaskInfo,
    registry::{Closed, Record, Registry},
};
use crate::{
    CancelToken, Cause, CauseKind, Name,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use std::{
    panic::Location,
    task::{Context, Poll, Waker},
};

pub(crate) struct ScopeNode {
    name: Name,
    at: &'static Location<'static>,
    token: CancelToken,
    registry: Mutex<Registry>,
    /// A copy of the registry's flag, so that a poll reads it without the lock.
    aborting: AtomicBool,
    aborted: Mutex<Vec<Straggler>>,
    parent: Option<ParentLink>,
}

/// A scope's place in its parent, given back when the scope closes, so that the parent
/// waits for it even when nobody polls the scope's own future any more.
struct ParentLink {
    node: Arc<ScopeNode>,
    key: usize,
}

impl ScopeNode {
    pub(super) fn root(
        name: Name,
        at: &'static Location<'static>,
        token: CancelToken,
    ) -> Arc<Self> {
        Arc::new(Self::new(name, at, token, None))
    }

    /// A scope whose life its parent waits for; none, if the parent admits nothing more.
    pub(super) fn nested(
        name: Name,
        at: &'static Location<'static>,
        parent: &Arc<Self>,
    ) -> Option<Arc<Self>> {
        let key = parent.admit(name.clone(), at, WorkKind::Scope)?;
        let link = ParentLink { node: Arc::clone(parent), key };
        let node = Arc::new(Self::new(name, at, parent.token.child(), Some(link)));
        lock(&parent.registry).nest(key, Arc::downgrade(&node));
        Some(node)
    }

    fn new(
        name: Name,
        at: &'static Location<'static>,
        token: CancelToken,
        parent: Option<ParentLink>,
    ) -> Self {
        Self {
            name,
            at,
            token,
            registry: Mutex::new(Registry::new()),
            aborting: AtomicBool::new(false),
            aborted: Mutex::new(Vec::new()),
            parent,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.at
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.registry).is_closed()
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn live(&self) -> usize {
        lock(&self.registry).len()
    }

    /// The names from the root down, such as `/server/conn-7`.
    pub(crate) fn path(&self) -> String {
        let mut names = vec![&self.name];
        let mut parent = &self.parent;
        while let Some(link) = parent {
            names.push(&link.node.name);
            parent = &link.node.parent;
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name.as_str())
    }

    pub(super) fn info(&self) -> TaskInfo {
        TaskInfo { path: self.path(), at: self.at, kind: WorkKind::Scope }
    }

    /// Opens a record for new work; none, if the scope admits nothing more.
    pub(super) fn admit(
        &self,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
    ) -> Option<usize> {
        lock(&self.registry).insert(Record { name, at, kind, waker: None, scope: None }).ok()
    }

    /// Gives a record back: the work has ended and everything it owned is dropped.
    pub(super) fn release(&self, key: usize, aborted: bool) {
        if aborted {
            self.note_aborted(self.describe(key));
        }
        let (record, closed) = lock(&self.registry).remove(key);
        drop(record);
        self.after(closed);
    }

    /// Names the work under `key`.
    pub(super) fn describe(&self, key: usize) -> TaskInfo {
        let (name, at, kind) = {
            let registry = lock(&self.registry);
            let record = registry.get(key);
            (record.name.clone(), record.at, record.kind)
        };
        TaskInfo { path: format!("{}/{name}", self.path()), at, kind }
    }

    pub(super) fn body_ended(&self) {
        let closed = lock(&self.registry).body_ended();
        self.after(closed);
    }

    /// The scope's own future is gone: the parent hears of what had to be aborted.
    pub(super) fn orphaned(&self) {
        let closed = lock(&self.registry).orphaned();
        self.after(closed);
    }

    /// Why new work is refused.
    pub(super) fn refusal(&self) -> Cause {
        self.token
            .cause()
            .unwrap_or_else(|| Cause::of_scope(CauseKind::ScopeClosed, self.path(), self.at))
    }

    /// Closing a scope can close its parent too, whose future was dropped earlier, and so
    /// on up: a loop, so that the depth is bounded by memory alone.
    fn after(&self, mut closed: Closed) {
        let mut node = self;
        loop {
            let link = node.parent.as_ref().filter(|_| closed.now);
            if let Some(parent) = link.filter(|_| closed.orphaned) {
                lock(&parent.node.aborted).extend(node.take_aborted());
            }
            if let Some(joiner) = closed.joiner {
                joiner.wake();
            }
            let Some(parent) = link else { return };
            node = &parent.node;
            let (record, next) = lock(&node.registry).remove(parent.key);
            drop(record);
            closed = next;
        }
    }

    /// Whether suspended work shall go on: false, if it is to be dropped.
    pub(super) fn park(&self, key: usize, waker: &Waker) -> bool {
        let mut waker = Some(waker.clone());
        let parked = lock(&self.registry).park(key, &mut waker);
        drop(waker);
        parked
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Acquire)
    }

    /// From now on children are dropped instead of polled.
    pub(super) fn abort(&self) {
        let wakers = {
            let mut registry = lock(&self.registry);
            self.aborting.store(true, Ordering::Release);
            registry.abort()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = Some(cx.waker().clone());
        let closed = lock(&self.registry).poll_closed(&mut waker);
        drop(waker);
        if closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Remembers work that was dropped before it ended.
    pub(super) fn note_aborted(&self, info: TaskInfo) {
        let straggler = Straggler::new(info);
        crate::observe::aborted(&straggler);
        lock(&self.aborted).push(straggler);
    }

    pub(super) fn take_aborted(&self) -> Vec<Straggler> {
        std::mem::take(&mut *lock(&self.aborted))
    }

    /// Everything that lives in this scope now, the work in nested scopes included.
    pub(crate) fn stragglers(self: &Arc<Self>) -> Vec<Straggler> {
        let mut found = Vec::new();
        let mut scopes = vec![Arc::clone(self)];
        while let Some(scope) = scopes.pop() {
            let path = scope.path();
            let registry = lock(&scope.registry);
            for record in registry.records() {
                match record.scope.as_ref().and_then(Weak::upgrade) {
                    Some(nested) => scopes.push(nested),
                    None => found.push(Straggler::new(TaskInfo {
                        path: format!("{path}/{}", record.name),
                        at: record.at,
                        kind: record.kind,
                    })),
                }
            }
        }
        found
    }
}

impl Drop for ScopeNode {
    /// Goes up in a loop, as for tokens: a deep chain must not overflow the stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(link) = parent {
            parent = Arc::into_inner(link.node).and_then(|mut node| node.parent.take());
        }
    }
}
