//! One scope in the tree, whatever the type of its errors.

use super::{
    Straggler, WorkKind,
    error::TaskInfo,
    join::JoinCounter,
    registry::{Key, Record, Registry},
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
    join: JoinCounter,
    registry: Registry,
    /// Counted by `join` as one more child.
    body: AtomicBool,
    aborting: AtomicBool,
    orphaned: AtomicBool,
    aborted: Mutex<Vec<Straggler>>,
    parent: Option<ParentLink>,
}

/// A scope's place in its parent, given back when the scope closes, so that the parent
/// waits for it even when nobody polls the scope's own future any more.
struct ParentLink {
    node: Arc<ScopeNode>,
    key: Key,
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
        parent.registry.update(key, |record| record.scope = Some(Arc::downgrade(&node)));
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
            join: JoinCounter::new(),
            registry: Registry::default(),
            body: AtomicBool::new(true),
            aborting: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
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
        self.join.alive() == 0
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn live(&self) -> usize {
        let body = usize::from(self.body.load(Ordering::Acquire));
        self.join.alive().saturating_sub(body)
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
    ) -> Option<Key> {
        if self.is_aborting() {
            return None;
        }
        let turn = self.join.enter()?;
        Some(self.registry.insert(turn, Record { name, at, kind, waker: None, scope: None }))
    }

    /// Gives a record back: the work has ended and everything it owned is dropped.
    pub(super) fn release(&self, key: Key, aborted: bool) {
        if aborted {
            self.note_aborted(self.describe(key));
        }
        self.registry.remove(key);
        self.leave();
    }

    /// Names the work under `key`.
    pub(super) fn describe(&self, key: Key) -> TaskInfo {
        let (name, at, kind) =
            self.registry.update(key, |record| (record.name.clone(), record.at, record.kind));
        TaskInfo { path: format!("{}/{name}", self.path()), at, kind }
    }

    /// The body has ended, or is dropped with the scope's future; told once.
    pub(super) fn body_ended(&self) {
        if self.body.swap(false, Ordering::AcqRel) {
            self.leave();
        }
    }

    /// The scope's own future is gone: the parent is to hear of what had to be aborted.
    pub(super) fn orphaned(&self) {
        self.orphaned.store(true, Ordering::Release);
        self.body_ended();
    }

    /// Why new work is refused.
    pub(super) fn refusal(&self) -> Cause {
        self.token
            .cause()
            .unwrap_or_else(|| Cause::of_scope(CauseKind::ScopeClosed, self.path(), self.at))
    }

    /// One less lives here. Closing a scope can close its parent too, whose future was
    /// dropped earlier, and so on up: a loop, so that the depth is bounded by memory alone.
    fn leave(&self) {
        let mut node = self;
        while node.join.leave() {
            if let Some(parent) = &node.parent {
                if node.orphaned.load(Ordering::Acquire) {
                    lock(&parent.node.aborted).extend(node.take_aborted());
                }
                parent.node.registry.remove(parent.key);
            }
            node.join.wake_joiner();
            let Some(parent) = &node.parent else { return };
            node = &parent.node;
        }
    }

    /// Whether suspended work shall go on: false, if it is to be dropped. An abort sets its
    /// flag before it looks for wakers, so that one of the two sees the other.
    pub(super) fn park(&self, key: Key, waker: &Waker) -> bool {
        let waker = Some(waker.clone());
        let former =
            self.registry.update(key, |record| std::mem::replace(&mut record.waker, waker));
        drop(former);
        !self.is_aborting()
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Acquire)
    }

    /// From now on children are dropped instead of polled.
    pub(super) fn abort(&self) {
        self.aborting.store(true, Ordering::Release);
        let mut wakers = Vec::new();
        self.registry.for_each(|record| wakers.extend(record.waker.take()));
        for waker in wakers {
            waker.wake();
        }
    }

    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.join.poll_closed(cx)
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
            scope.registry.for_each(|record| match record.scope.as_ref().and_then(Weak::upgrade) {
                Some(nested) => scopes.push(nested),
                None => found.push(Straggler::new(TaskInfo {
                    path: format!("{path}/{}", record.name),
                    at: record.at,
                    kind: record.kind,
                })),
            });
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
