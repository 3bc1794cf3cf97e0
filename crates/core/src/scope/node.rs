//! One scope in the tree, whatever the type of its errors.

use super::{
    OnPanic, ScopeError, Straggler, WorkKind,
    deadline::Deadline,
    error::TaskInfo,
    faults::Faults,
    ledger::{Ledger, Reader},
    limit::Limit,
    policy::Rule,
    reaper::{self, Home},
    registry::{End, Key, Record, Registry},
    seats::Seat,
    values::Values,
    vault::AnyVault,
    view::Outside,
};
use crate::{
    CancelToken, Cause, CauseKind, Name,
    inspect::{Snapshot, Tick},
    observe,
    panic::{self, wake_quietly},
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use std::{
    convert::Infallible,
    panic::Location,
    task::{Context, Poll, Waker},
};

pub(crate) struct ScopeNode {
    name: Name,
    path: Path,
    at: &'static Location<'static>,
    token: CancelToken,
    registry: Registry,
    /// Whether the body lives, and whether the scope's own future does: both are counted.
    body: AtomicBool,
    driver: AtomicBool,
    aborting: AtomicBool,
    deadline: Deadline,
    values: Values,
    limit: Option<Limit>,
    detached: bool,
    faults: Faults,
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
    pub(super) rule: Rule,
    /// Unless it does as the scope around it.
    pub(super) on_panic: Option<OnPanic>,
    pub(super) values: Values,
    /// How many children may run at once, if there is a limit.
    pub(super) limit: Option<usize>,
    /// Whether a nested scope goes on when the one around it is stopped or cancelled.
    pub(super) detached: bool,
    /// The token of a nested scope that is detached, if it is to have that one.
    pub(super) token: Option<CancelToken>,
}

impl Plan {
    #[track_caller]
    pub(super) fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            at: Location::caller(),
            rule: Rule::default(),
            on_panic: None,
            values: Values::default(),
            limit: None,
            detached: false,
            token: None,
        }
    }
}

impl ScopeNode {
    pub(super) fn root(plan: Plan, token: CancelToken) -> Arc<Self> {
        panic::listen();
        Arc::new_cyclic(|node| Self::new(plan, token, None, Outside::of_root(node), Home::here()))
    }

    /// A scope whose life its parent waits for; the cause, if the parent admits nothing more.
    pub(super) fn nested(mut plan: Plan, parent: &Arc<Self>) -> Result<Arc<Self>, Cause> {
        let key = parent.admit(plan.name.clone(), plan.at, WorkKind::Scope, None)?;
        let link = ParentLink { node: Arc::clone(parent), key };
        plan.values = plan.values.within(&parent.values);
        plan.on_panic = plan.on_panic.or(Some(parent.faults.on_panic()));
        let own = || if plan.detached { CancelToken::new() } else { parent.token.child() };
        let token = plan.token.take().unwrap_or_else(own);
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
        let Plan { name, at, rule, on_panic, values, limit, detached, .. } = plan;
        let limit = limit.map(|slots| Limit::new(slots, &name, at, &token));
        let path = match &parent {
            Some(link) => link.node.path.below(name.clone()),
            None => Path::root(name.clone()),
        };
        Self {
            name,
            path,
            at,
            token,
            registry: Registry::new(),
            body: AtomicBool::new(true),
            driver: AtomicBool::new(true),
            aborting: AtomicBool::new(false),
            deadline: Deadline::default(),
            values,
            limit,
            detached,
            faults: Faults::new(rule, on_panic.unwrap_or_default()),
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

    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref().map(|link| &link.node)
    }

    /// The scope whose cancellation, and so whose deadline, is this one's, too.
    pub(super) fn canceller(&self) -> Option<&Arc<Self>> {
        if self.detached { None } else { self.parent() }
    }

    pub(super) fn home(&self) -> Home {
        self.home
    }

    pub(super) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
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

    pub(super) fn for_each_record(&self, f: impl FnMut(Key, &Record, &Seat)) {
        self.registry.for_each(f);
    }

    /// Whether anything is in it: its own future, its body or a child.
    pub(super) fn is_open(&self) -> bool {
        self.registry.alive() > 0
    }

    /// The scopes that are open directly below this one.
    pub(super) fn nested_scopes(&self) -> Vec<Arc<Self>> {
        let mut nested = Vec::new();
        self.registry
            .for_each(|_, record, _| nested.extend(record.scope.as_ref().and_then(Weak::upgrade)));
        nested
    }

    /// Takes the waker of the scope's own future, which leaves it again when it is polled.
    pub(super) fn take_driver(&self) -> Option<Waker> {
        self.registry.joiner().take()
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
        self.registry.alive().saturating_sub(own[0] + own[1])
    }

    /// The names from the root down.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn info(&self) -> TaskInfo {
        TaskInfo::new(self.path.clone(), self.name.clone(), self.at, WorkKind::Scope)
    }

    fn info_of(&self, name: Name, at: &'static Location<'static>, kind: WorkKind) -> TaskInfo {
        TaskInfo::new(self.path.below(name.clone()), name, at, kind)
    }

    /// Opens a record for new work; the cause, if the scope admits nothing more.
    pub(super) fn admit(
        &self,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
        vault: Option<AnyVault>,
    ) -> Result<Key, Cause> {
        let admitted = if self.is_aborting() {
            Err(name)
        } else {
            self.registry.insert(Record::new(name, at, kind), vault)
        };
        admitted.map_err(|name| self.refuse(name, at, kind))
    }

    /// Says that new work is refused, and why: its handle may be ignored.
    pub(super) fn refuse(
        &self,
        name: Name,
        at: &'static Location<'static>,
        kind: WorkKind,
    ) -> Cause {
        let closed = || Cause::of_scope(CauseKind::ScopeClosed, self.path.clone(), self.at);
        let cause = self.token.cause().unwrap_or_else(closed);
        self.count_refused();
        observe::refused(&self.info_of(name, at, kind), &cause);
        cause
    }

    /// Gives a record back: the work has ended and everything it owned is dropped.
    pub(super) fn release(&self, key: Key, end: End<'_>) {
        if self.registry.remove(key, end) {
            self.has_closed();
        }
    }

    /// The vault of the work under `key`, once.
    pub(super) fn take_vault(&self, key: Key) -> Option<AnyVault> {
        self.registry.take_vault(key)
    }

    /// Names the work under `key`.
    pub(super) fn describe(&self, key: Key) -> TaskInfo {
        let (name, at, kind) = self.whereabouts(key);
        self.info_of(name, at, kind)
    }

    /// What the record under `key` says of its work.
    pub(super) fn whereabouts(&self, key: Key) -> (Name, &'static Location<'static>, WorkKind) {
        self.registry.update(key, |record| (record.name.clone(), record.at, record.kind))
    }

    /// The body has ended, or is dropped with the scope's future; told once.
    pub(super) fn body_ended(&self) {
        if self.body.swap(false, Ordering::AcqRel) && self.registry.leave_body() {
            self.has_closed();
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
        self.bequeath(reader);
        self.abort();
        self.body_ended();
        if self.driver.swap(false, Ordering::AcqRel) && self.registry.leave() {
            self.has_closed();
        }
    }

    /// Ready once the scope's own future is all that lives here; the scope is closed then.
    /// [`close`](Self::close) must follow.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.registry.poll_closed(cx)
    }

    /// Ends a closed scope: hands out the ledger, then gives the place in the parent back.
    pub(super) fn close(&self) -> Ledger {
        self.driver.store(false, Ordering::Release);
        let ledger = self.take_ledger();
        if let Some(parent) = &self.parent {
            parent.node.release(parent.key, End::Other);
        }
        ledger
    }

    /// It was closed by other than its driver, which is gone: an orphan. That can close its
    /// parent too, whose future was dropped earlier, and so on up: a loop, so that the depth is
    /// bounded by memory alone.
    fn has_closed(&self) {
        let mut node = self;
        loop {
            let Some(parent) = &node.parent else { return reaper::reap(node.home) };
            if !parent.node.registry.remove(parent.key, End::Other) {
                return;
            }
            node = &parent.node;
        }
    }

    /// Whether suspended work shall go on: false, if it is to be dropped. An abort sets its
    /// flag before it looks for wakers, so that one of the two sees the other.
    pub(super) fn park(&self, key: Key, waker: &Waker) -> bool {
        let former = self.registry.park(key, waker.clone());
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
        self.registry.for_each(|_, record, seat| {
            wakers.extend(seat.kept().waker.take());
            nested.extend(record.scope.as_ref().and_then(Weak::upgrade));
        });
        wakers.extend(self.registry.joiner().take());
        nested
    }

    /// Whether the scope's own future shall go on waiting, as [`park`](Self::park).
    pub(super) fn park_driver(&self, cx: &Context<'_>) -> bool {
        self.registry.joiner().park(cx);
        !self.is_aborting()
    }

    /// When the body, or the work under `key`, began.
    pub(super) fn began(&self, key: Option<Key>) -> Tick {
        let of_child = |key| self.registry.update(key, |record| record.began);
        key.map_or_else(|| self.outside.began(), of_child)
    }

    /// Counts a poll of the work under `key` that began then and is over now.
    pub(super) fn count_poll(&self, key: Key, began: Tick) {
        self.registry.count_poll(key, began);
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
        observe::left(&self.path, &stragglers, "aborting");
    }

    /// What the ledger of a scope that is given up says so far.
    pub(crate) fn give_up<E: Send + Sync + 'static>(&self) -> ScopeError<E> {
        let (result, report) = self.take_ledger().into_result(self.outer_cause(), None);
        let Err(reason): Result<Infallible, _> = result;
        ScopeError::new(reason, report)
    }
}

impl Drop for ScopeNode {
    /// Goes up in a loop, as for tokens: a deep chain must not overflow the stack.
    fn drop(&mut self) {
        self.faults.forget_heir();
        let mut parent = self.parent.take();
        while let Some(link) = parent {
            parent = Arc::into_inner(link.node).and_then(|mut node| node.parent.take());
        }
    }
}
