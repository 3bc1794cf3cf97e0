//! One scope in the tree, whatever the type of its errors.

use super::{
    OnError, ScopeError, Straggler, WorkKind,
    deadline::Deadline,
    error::TaskInfo,
    join::JoinCounter,
    ledger::{Entry, Estate, Fault, Ledger, Reader},
    reaper::{self, Home},
    registry::{Key, Record, Registry},
    values::Values,
    vault::AnyVault,
    view::Outside,
};
use crate::{
    CancelToken, Cause, CauseKind, Name, TaskPanic,
    cancel::SharedError,
    inspect::{Doing, Polled, Snapshot},
    observe,
    panic::{drop_quietly, wake_quietly},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use std::{
    any::Any,
    panic::Location,
    task::{Context, Poll, Waker},
};

pub(crate) struct ScopeNode {
    name: Name,
    at: &'static Location<'static>,
    token: CancelToken,
    join: JoinCounter,
    registry: Registry,
    /// Whether the body lives, and whether the scope's own future does: `join` counts each.
    body: AtomicBool,
    driver: AtomicBool,
    aborting: AtomicBool,
    deadline: Deadline,
    values: Values,
    on_error: OnError,
    detached: bool,
    ledger: Mutex<Ledger>,
    outside: Outside,
    home: Home,
    parent: Option<ParentLink>,
}

/// A scope's place in its parent, given back when the scope closes, so that the parent
/// waits for it even when nobody polls the scope's own future any more.
struct ParentLink {
    node: Arc<ScopeNode>,
    key: Key,
}

/// What a scope is opened with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) on_error: OnError,
    pub(super) values: Values,
    /// Whether a nested scope goes on when the one around it is stopped or cancelled.
    pub(super) detached: bool,
}

impl Plan {
    #[track_caller]
    pub(super) fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            at: Location::caller(),
            on_error: OnError::default(),
            values: Values::default(),
            detached: false,
        }
    }
}

impl ScopeNode {
    pub(super) fn root(plan: Plan, token: CancelToken) -> Arc<Self> {
        Arc::new_cyclic(|node| Self::new(plan, token, None, Outside::of_root(node), Home::here()))
    }

    /// A scope whose life its parent waits for; the cause, if the parent admits nothing more.
    pub(super) fn nested(mut plan: Plan, parent: &Arc<Self>) -> Result<Arc<Self>, Cause> {
        let key = parent.admit(plan.name.clone(), plan.at, WorkKind::Scope, None)?;
        let link = ParentLink { node: Arc::clone(parent), key };
        plan.values = plan.values.within(&parent.values);
        let token = if plan.detached { CancelToken::new() } else { parent.token.child() };
        let node = Arc::new(Self::new(plan, token, Some(link), Outside::new(), parent.home));
        parent.registry.update(key, |record| record.scope = Some(Arc::downgrade(&node)));
        // An abort sets its flag before it looks for nested scopes: one of the two sees the
        // other.
        if parent.is_aborting() {
            node.abort();
        }
        Ok(node)
    }

    fn new(
        plan: Plan,
        token: CancelToken,
        parent: Option<ParentLink>,
        outside: Outside,
        home: Home,
    ) -> Self {
        let Plan { name, at, on_error, values, detached } = plan;
        Self {
            name,
            at,
            token,
            join: JoinCounter::new(),
            registry: Registry::default(),
            body: AtomicBool::new(true),
            driver: AtomicBool::new(true),
            aborting: AtomicBool::new(false),
            deadline: Deadline::default(),
            values,
            on_error,
            detached,
            ledger: Mutex::new(Ledger::new(on_error)),
            outside,
            home,
            parent,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.at
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn own_deadline(&self) -> &Deadline {
        &self.deadline
    }

    fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref().map(|link| &link.node)
    }

    /// The scope whose cancellation, and so whose deadline, is this one's, too.
    pub(super) fn canceller(&self) -> Option<&Arc<Self>> {
        if self.detached { None } else { self.parent() }
    }

    pub(super) fn home(&self) -> Home {
        self.home
    }

    pub(super) fn outside(&self) -> &Outside {
        &self.outside
    }

    pub(super) fn has_body(&self) -> bool {
        self.body.load(Ordering::Acquire)
    }

    pub(super) fn has_driver(&self) -> bool {
        self.driver.load(Ordering::Acquire)
    }

    pub(super) fn for_each_record(&self, f: impl FnMut(Key, &mut Record)) {
        self.registry.for_each(f);
    }

    /// Whether anything is in it: its own future, its body or a child.
    pub(super) fn is_open(&self) -> bool {
        self.join.alive() > 0
    }

    /// The scopes that are open directly below this one.
    pub(super) fn nested_scopes(&self) -> Vec<Arc<Self>> {
        let mut nested = Vec::new();
        self.registry
            .for_each(|_, record| nested.extend(record.scope.as_ref().and_then(Weak::upgrade)));
        nested
    }

    /// Takes the waker of the scope's own future, which leaves it again when it is polled.
    pub(super) fn take_driver(&self) -> Option<Waker> {
        self.join.take_joiner()
    }

    /// Why the scope ended before its time, unless it was cancelled from inside: what came
    /// down from outside, or its deadline.
    pub(super) fn outer_cause(&self) -> Option<Cause> {
        let expired = || self.token.cause().filter(|_| self.deadline.has_cancelled());
        self.token.inherited_cause().or_else(expired)
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn live(&self) -> usize {
        let own = [&self.body, &self.driver].map(|flag| usize::from(flag.load(Ordering::Acquire)));
        self.join.alive().saturating_sub(own[0] + own[1])
    }

    /// The names from the root down, such as `/server/conn-7`.
    pub(crate) fn path(&self) -> String {
        let mut names = vec![&self.name];
        let mut parent = &self.parent;
        while let Some(link) = parent {
            names.push(&link.node.name);
            parent = &link.node.parent;
        }
        names.iter().rev().fold(String::new(), |path, name| below(path, name))
    }

    pub(super) fn info(&self) -> TaskInfo {
        let (name, at, kind) = (self.name.clone(), self.at, WorkKind::Scope);
        TaskInfo { path: self.path(), name, at, kind }
    }

    fn info_of(&self, name: Name, at: &'static Location<'static>, kind: WorkKind) -> TaskInfo {
        TaskInfo { path: below(self.path(), &name), name, at, kind }
    }

    /// Opens a record for new work; the cause, if the scope admits nothing more.
    pub(super) fn admit(
        &self,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
        vault: Option<AnyVault>,
    ) -> Result<Key, Cause> {
        if self.is_aborting() || !self.join.enter() {
            return Err(self.refuse(name, at, kind));
        }
        Ok(self.registry.insert(Record { vault, ..Record::new(name, at, kind) }))
    }

    /// Says that new work is refused, and why: its handle may be ignored.
    fn refuse(&self, name: Name, at: &'static Location<'static>, kind: WorkKind) -> Cause {
        let closed = || Cause::of_scope(CauseKind::ScopeClosed, self.path(), self.at);
        let cause = self.token.cause().unwrap_or_else(closed);
        lock(&self.ledger).count_refused();
        observe::refused(&self.info_of(name, at, kind), &cause);
        cause
    }

    /// Gives a record back: the work has ended and everything it owned is dropped. `waker` is
    /// that of its task, if the record has none.
    pub(super) fn release(&self, key: Key, waker: Option<Waker>) {
        self.registry.remove(key, waker);
        self.leave();
    }

    /// The vault of the work under `key`, once.
    pub(super) fn take_vault(&self, key: Key) -> Option<AnyVault> {
        self.registry.update(key, |record| record.vault.take())
    }

    /// Names the work under `key`.
    pub(super) fn describe(&self, key: Key) -> TaskInfo {
        let (name, at, kind) =
            self.registry.update(key, |record| (record.name.clone(), record.at, record.kind));
        self.info_of(name, at, kind)
    }

    /// The body has ended, or is dropped with the scope's future; told once.
    pub(super) fn body_ended(&self) {
        if self.body.swap(false, Ordering::AcqRel) {
            self.leave();
        }
    }

    /// The scope's own future is gone before its time: the children are aborted, and the
    /// parent is to hear of them. The future holds the scope open until the very end, and the
    /// scope its parent: whatever goes up finds the parent still listening.
    pub(super) fn orphan(&self) {
        let by_abort = self.parent.as_ref().is_some_and(|parent| parent.node.is_aborting());
        let reader = if by_abort { Reader::AbortingParent } else { Reader::Parent };
        if self.parent.is_none() {
            reaper::adopt(self.home);
        }
        let estate = lock(&self.ledger).orphan(reader);
        self.bequeath(estate);
        self.abort();
        self.body_ended();
        if self.driver.swap(false, Ordering::AcqRel) {
            self.leave();
        }
    }

    /// Ready once the scope's own future is all that lives here; the scope is closed then.
    /// [`close`](Self::close) must follow.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.join.poll_closed(cx)
    }

    /// Ends a closed scope: hands out the ledger, then gives the place in the parent back.
    pub(super) fn close(&self) -> Ledger {
        self.driver.store(false, Ordering::Release);
        let ledger = self.take_ledger();
        if let Some(parent) = &self.parent {
            parent.node.release(parent.key, None);
        }
        ledger
    }

    /// One less lives here. Closing a scope can close its parent too, whose future was
    /// dropped earlier, and so on up: a loop, so that the depth is bounded by memory alone.
    fn leave(&self) {
        let mut node = self;
        while node.join.leave() {
            // Closed by other than its driver, which is gone: an orphan.
            let Some(parent) = &node.parent else { return reaper::reap(node.home) };
            parent.node.registry.remove(parent.key, None);
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

    /// From now on children are dropped instead of polled, in nested scopes too. All flags
    /// are set before the first waker is woken.
    pub(super) fn abort(&self) {
        let mut wakers = Vec::new();
        let mut nested = self.start_abort(&mut wakers);
        while let Some(scope) = nested.pop() {
            nested.extend(scope.start_abort(&mut wakers));
        }
        wakers.into_iter().for_each(wake_quietly);
    }

    fn start_abort(&self, wakers: &mut Vec<Waker>) -> Vec<Arc<Self>> {
        let mut nested = Vec::new();
        if self.aborting.swap(true, Ordering::AcqRel) {
            return nested;
        }
        self.registry.for_each(|_, record| {
            wakers.extend(record.waker.take());
            nested.extend(record.scope.as_ref().and_then(Weak::upgrade));
        });
        wakers.extend(self.join.take_joiner());
        nested
    }

    /// Whether the scope's own future shall go on waiting, as [`park`](Self::park).
    pub(super) fn park_driver(&self, cx: &Context<'_>) -> bool {
        self.join.park(cx);
        !self.is_aborting()
    }

    /// Enters an error and cancels the scope. Foreign code comes last: the error is safe by
    /// then, whatever a subscriber does.
    pub(super) fn failed(&self, task: &TaskInfo, error: &Arc<dyn SharedError>) {
        let (kind, path, at) = (CauseKind::ChildFailed, task.path().to_owned(), task.location());
        let cause = Cause::of_child(kind, path, at, None, Some(Arc::clone(error)));
        self.fault(cause, Fault::Failed(task.clone(), Arc::clone(error)));
        // A reference to a reference: upcasting of trait objects came with Rust 1.86.
        observe::failed(task, &&**error);
    }

    /// Enters a panic and cancels the scope.
    pub(super) fn panicked(&self, task: TaskInfo, payload: &(dyn Any + Send)) -> TaskPanic {
        let (kind, path, at) = (CauseKind::ChildPanicked, task.path().to_owned(), task.location());
        let panic = TaskPanic::new(task, payload);
        let cause = Cause::of_child(kind, path, at, Some(panic.message().to_owned()), None);
        self.fault(cause, Fault::Panicked(panic.clone()));
        observe::panicked(&panic);
        panic
    }

    /// Enters work that was dropped before it ended.
    pub(super) fn note_aborted(&self, key: Key, doing: Option<Doing>) {
        let (info, began) = (self.describe(key), self.registry.update(key, |record| record.began));
        self.note_straggler(&Straggler::aborted(info, began, doing));
    }

    /// The same for the body.
    pub(super) fn note_body_aborted(&self, doing: Option<Doing>) {
        self.note_straggler(&Straggler::aborted(self.info(), self.outside.began(), doing));
    }

    fn note_straggler(&self, straggler: &Straggler) {
        self.note(Entry::Aborted(straggler.clone()));
        observe::aborted(straggler);
    }

    /// Tells what is known of the polls of the work under `key`.
    pub(super) fn count_polled(&self, key: Key, polled: Polled) {
        self.registry.update(key, |record| record.polled = polled);
    }

    /// The token decides who was first: only the failure that cancelled it is the root. Where
    /// failures are collected the ledger does, and that of a child cancels nothing.
    fn fault(&self, cause: Cause, fault: Fault) {
        if self.on_error == OnError::FailFast {
            let first = self.token.cancel(cause);
            return self.note(if first { Entry::First(fault) } else { Entry::Also(fault) });
        }
        let cancels = fault.is_of_body();
        // Before the cancellation, whose consequences would come before it in the ledger.
        self.note(Entry::Also(fault));
        if cancels {
            self.token.cancel(cause);
        }
    }

    /// Enters `entry` here, or in the next scope up whose ledger will be read.
    fn note(&self, mut entry: Entry) {
        let mut node = self;
        loop {
            let entered = lock(&node.ledger).enter(entry);
            match (entered, &node.parent) {
                (Ok(surplus), _) => return drop_quietly(surplus),
                (Err(entry), None) => return drop_quietly(entry),
                (Err(upward), Some(parent)) => {
                    entry = upward;
                    node = &parent.node;
                }
            }
        }
    }

    /// Enters what a dropped scope leaves in the scopes above it.
    fn bequeath(&self, estate: Estate) {
        let Estate { entries, more } = estate;
        for entry in entries {
            self.note(entry);
        }
        if more == 0 {
            return;
        }
        let mut parent = &self.parent;
        while let Some(link) = parent {
            if lock(&link.node.ledger).count_adopted(more) {
                return;
            }
            parent = &link.node.parent;
        }
    }

    pub(super) fn take_ledger(&self) -> Ledger {
        lock(&self.ledger).take()
    }

    /// Everything that lives in this scope now, bodies and the work in nested scopes
    /// included; never empty while the scope is open, so that what holds it has a name.
    pub(crate) fn stragglers(self: &Arc<Self>) -> Vec<Straggler> {
        Snapshot::of(self).stragglers()
    }

    /// Aborts what outlasted the grace period, and says what it is.
    pub(super) fn abort_overdue(self: &Arc<Self>) {
        let stragglers = self.stragglers();
        self.abort();
        observe::left(&self.path(), &stragglers, "aborting");
    }

    /// What the ledger of a scope that is given up says so far.
    pub(crate) fn give_up<T, E: Send + Sync + 'static>(&self) -> Result<T, ScopeError<E>> {
        self.take_ledger().into_result(self.outer_cause(), None)
    }
}

/// Adds a name to a path. A `/` in a name, such as that of a file, would read as two names.
pub(crate) fn below(mut path: String, name: &Name) -> String {
    path.push('/');
    for part in name.as_str().split_inclusive(['/', '%']) {
        let (text, escaped) = match part.strip_suffix('/') {
            Some(text) => (text, "%2F"),
            None => part.strip_suffix('%').map_or((part, ""), |text| (text, "%25")),
        };
        path.push_str(text);
        path.push_str(escaped);
    }
    path
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
