//! What the end of a child does to its scope.

use super::{OnError, TaskInfo, error::KEPT, ledger::Fault, node::ScopeNode, registry::Key};
use crate::{
    TaskPanic, observe,
    panic::{drop_quietly, message},
    sync::Arc,
};
use std::{
    fmt::{self, Debug},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Decides what the end of a child does to its scope: to the other children, and to the result.
///
/// [`OnError`] has the two policies that most scopes want; [`Supervise`] and [`FirstSuccess`] are
/// two more, and this is how a program writes its own. It is asked on the thread that ran the
/// child, after the child's future was dropped, and shall be quick. What it keeps between its
/// answers is its own; several threads may ask at once. A panic of it is an event, and no failure of
/// the scope.
///
/// What goes wrong in the body is not asked about: it cancels the scope.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tidegate_core::{AfterFailure, AfterSuccess, ChildEnd, Cx, Policy, Scope};
///
/// /// Ends when so many children have succeeded; fails when they cannot any more.
/// struct Quorum {
///     missing: AtomicUsize,
///     may_fail: AtomicUsize,
/// }
///
/// impl Policy for Quorum {
///     fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
///         match self.may_fail.fetch_sub(1, Ordering::Relaxed) {
///             0 => AfterFailure::Cancel,
///             _ => AfterFailure::Tolerate,
///         }
///     }
///
///     fn succeeded(&self, _: &ChildEnd<'_>) -> AfterSuccess {
///         match self.missing.fetch_sub(1, Ordering::Relaxed) {
///             1 => AfterSuccess::Finish,
///             _ => AfterSuccess::GoOn,
///         }
///     }
/// }
///
/// let two_of_three = Quorum { missing: AtomicUsize::new(2), may_fail: AtomicUsize::new(1) };
/// let written = Scope::builder("write").policy(two_of_three).run(async |cx: Cx<&str>| {
///     for (replica, answer) in [("a", Ok(())), ("b", Err("disk full")), ("c", Ok(()))] {
///         cx.spawn(replica, async move { answer });
///     }
///     Ok(())
/// });
/// assert!(written.await.is_ok());
/// # }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// A child returned an error or panicked. If this panics, the scope is cancelled.
    fn failed(&self, child: &ChildEnd<'_>) -> AfterFailure;

    /// A child returned its value. The default is to go on, also if this panics.
    fn succeeded(&self, child: &ChildEnd<'_>) -> AfterSuccess {
        let _ = child;
        AfterSuccess::GoOn
    }
}

/// What becomes of a scope after a child has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// It is cancelled, and fails with this.
    Cancel,
    /// The others run to their end; then it fails with this, if nothing came before.
    Collect,
    /// It goes on, and this does not make it fail: it is in the
    /// [report](super::JoinReport::tolerated).
    Tolerate,
}

/// What becomes of a scope after a child has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterSuccess {
    /// It goes on.
    GoOn,
    /// It has what it was opened for: it is cancelled from inside, and what failed in its children
    /// before or after that is tolerated.
    Finish,
}

/// A child that has ended, as a [`Policy`] sees it.
pub struct ChildEnd<'a> {
    node: &'a ScopeNode,
    key: Key,
    fault: Option<&'a Fault>,
}

impl<'a> ChildEnd<'a> {
    pub(super) fn new(node: &'a ScopeNode, key: Key, fault: Option<&'a Fault>) -> Self {
        Self { node, key, fault }
    }

    /// Which child: its path is put together now.
    #[must_use]
    pub fn task(&self) -> TaskInfo {
        self.node.describe(self.key)
    }

    /// Its error, if it returned one of type `E`.
    #[must_use]
    pub fn error<E: 'static>(&self) -> Option<&E> {
        match self.fault? {
            Fault::Failed(_, cause) => cause.downcast_ref(),
            Fault::Panicked(..) => None,
        }
    }

    /// Its panic, if that was its end.
    #[must_use]
    pub fn panic(&self) -> Option<&TaskPanic> {
        match self.fault? {
            Fault::Panicked(panic, _) => Some(panic),
            Fault::Failed(..) => None,
        }
    }
}

impl Debug for ChildEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildEnd").field("task", &self.task()).field("fault", &self.fault).finish()
    }
}

/// A child that fails concerns whoever awaits it, and nobody else: the others run on, and the
/// scope does not fail. What failed is in the [report](super::JoinReport::tolerated), which
/// [`Scope::run_with_report`](super::Scope::run_with_report) returns in any case. Kotlin's
/// `supervisorScope`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Supervise;

impl Policy for Supervise {
    fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
        AfterFailure::Tolerate
    }
}

/// The first child to succeed ends the scope; it fails if all do, with the error that came first.
/// Java's `anySuccessfulResultOrThrow`. [`Scope::first_ok`](super::Scope::first_ok) is the same
/// with a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstSuccess;

impl Policy for FirstSuccess {
    fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
        AfterFailure::Collect
    }

    fn succeeded(&self, _: &ChildEnd<'_>) -> AfterSuccess {
        AfterSuccess::Finish
    }
}

/// The policy of a scope.
#[derive(Clone)]
pub(super) enum Rule {
    OnError(OnError),
    Own(Own),
}

/// A policy of the program's. Its scope may end on any thread, which must survive its destructor.
#[derive(Clone)]
pub(super) struct Own(Option<Arc<dyn Policy>>);

impl Own {
    pub(super) fn new(policy: impl Policy) -> Self {
        Self(Some(Arc::new(policy)))
    }

    /// Its answer, unless it panics.
    fn ask<A>(&self, ask: impl FnOnce(&dyn Policy) -> A) -> Option<A> {
        let policy = self.0.as_deref()?;
        let answer = catch_unwind(AssertUnwindSafe(|| ask(policy)));
        answer
            .inspect_err(|payload| observe::policy_panicked(&message(&**payload)))
            .map_err(drop_quietly)
            .ok()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

impl Rule {
    /// How many faults beside the first are kept.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::OnError(OnError::Collect { max }) => (*max).max(1),
            Self::OnError(OnError::FailFast) | Self::Own(_) => KEPT,
        }
    }

    pub(super) fn fails_fast(&self) -> bool {
        matches!(self, Self::OnError(OnError::FailFast))
    }

    pub(super) fn after_success(&self, child: &ChildEnd<'_>) -> AfterSuccess {
        let Self::Own(policy) = self else { return AfterSuccess::GoOn };
        policy.ask(|policy| policy.succeeded(child)).unwrap_or(AfterSuccess::GoOn)
    }

    pub(super) fn after_failure(&self, child: &ChildEnd<'_>) -> AfterFailure {
        match self {
            Self::OnError(OnError::FailFast) => AfterFailure::Cancel,
            Self::OnError(OnError::Collect { .. }) => AfterFailure::Collect,
            Self::Own(policy) => {
                // What cannot decide must not let failures pass.
                policy.ask(|policy| policy.failed(child)).unwrap_or(AfterFailure::Cancel)
            }
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self::OnError(OnError::default())
    }
}

impl Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnError(on_error) => Debug::fmt(on_error, f),
            Self::Own(_) => f.write_str("Own(..)"),
        }
    }
}
