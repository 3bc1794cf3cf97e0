//! The errors and panics of one scope, the first of them apart.

use super::{Failure, Reason, TaskInfo, node::ScopeNode};
use crate::{
    Cause, CauseKind, TaskPanic,
    sync::{Arc, Mutex, lock},
};
use std::{
    any::Any,
    fmt::{Debug, Display},
};

/// How many errors after the first a scope keeps; the rest are counted.
const ALSO_MAX: usize = 16;

/// A scope with its typed errors.
pub(super) struct Shared<E> {
    pub(super) node: Arc<ScopeNode>,
    failures: Mutex<Failures<E>>,
}

pub(super) struct Failures<E> {
    /// The failure that cancelled the scope.
    pub(super) first: Option<Reason<E>>,
    /// Failures after the scope had been cancelled, by the first or from outside.
    pub(super) also: Vec<Reason<E>>,
    pub(super) more: usize,
}

impl<E> Shared<E> {
    pub(super) fn new(node: Arc<ScopeNode>) -> Arc<Self> {
        let failures = Failures { first: None, also: Vec::new(), more: 0 };
        Arc::new(Self { node, failures: Mutex::new(failures) })
    }

    pub(super) fn take_failures(&self) -> Failures<E> {
        let mut failures = lock(&self.failures);
        Failures {
            first: failures.first.take(),
            also: std::mem::take(&mut failures.also),
            more: failures.more,
        }
    }

    /// The token decides who was first: only the failure that cancelled it is the root.
    fn keep(&self, cause: Cause, reason: Reason<E>) {
        let first = self.node.token().cancel(cause);
        let mut surplus = None;
        let mut failures = lock(&self.failures);
        if first {
            failures.first = Some(reason);
        } else if failures.also.len() < ALSO_MAX {
            failures.also.push(reason);
        } else {
            failures.more += 1;
            surplus = Some(reason);
        }
        drop(failures);
        drop(surplus);
    }
}

impl<E: Display + Debug + Send + Sync + 'static> Shared<E> {
    pub(super) fn failed(&self, task: TaskInfo, error: E) -> Arc<E> {
        let error = Arc::new(error);
        crate::observe::failed(&task, &*error);
        let cause = Cause::of_child(
            CauseKind::ChildFailed,
            task.path().to_owned(),
            task.location(),
            None,
            Some(Arc::clone(&error) as _),
        );
        self.keep(cause, Reason::Failed(Failure { task, error: Arc::clone(&error) }));
        error
    }

    /// The panic of a body is resumed in the caller; the children only see why they are to
    /// stop.
    pub(super) fn body_panicked(&self, task: TaskInfo, payload: &(dyn Any + Send)) {
        let message = crate::panic::message(payload);
        let kind = CauseKind::ChildPanicked;
        let (at, path) = (task.location(), task.path);
        self.node.token().cancel(Cause::of_child(kind, path, at, Some(message), None));
    }

    pub(super) fn panicked(&self, task: TaskInfo, payload: Box<dyn Any + Send>) -> TaskPanic {
        let panic = TaskPanic::new(task, payload);
        crate::observe::panicked(&panic);
        let task = panic.task();
        let cause = Cause::of_child(
            CauseKind::ChildPanicked,
            task.path().to_owned(),
            task.location(),
            Some(panic.message().to_owned()),
            None,
        );
        self.keep(cause, Reason::Panicked(panic.clone()));
        panic
    }
}
