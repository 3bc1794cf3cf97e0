//! What else went wrong while a scope ended.

use super::{Reason, Straggler, TaskInfo, ledger::Fault};
use crate::{Cause, TaskPanic};
use std::fmt::{self, Display};

/// What else went wrong while a scope ended.
#[derive(Debug)]
pub struct JoinReport<E> {
    pub(super) cause: Option<Cause>,
    pub(super) rest: Rest<Reason<E>>,
}

/// What goes wrong in a scope beside what it fails with, of faults as its ledger has them or of
/// reasons as its report does.
#[derive(Debug)]
pub(super) struct Rest<F> {
    pub(super) also: Vec<F>,
    pub(super) more: usize,
    /// How many of both came after the scope was cancelled. The others came before all of these.
    pub(super) late: usize,
    pub(super) tolerated: Vec<F>,
    pub(super) tolerated_more: usize,
    pub(super) aborted: Vec<Straggler>,
    pub(super) adopted: Vec<Adopted>,
    pub(super) adopted_more: usize,
    pub(super) refused: usize,
}

impl<F> Rest<F> {
    pub(super) const NOTHING: Self = Self {
        also: Vec::new(),
        more: 0,
        late: 0,
        tolerated: Vec::new(),
        tolerated_more: 0,
        aborted: Vec::new(),
        adopted: Vec::new(),
        adopted_more: 0,
        refused: 0,
    };

    /// How many faults came before the cancellation, beside the first.
    pub(super) fn early(&self) -> usize {
        self.also.len() + self.more - self.late
    }

    pub(super) fn map<G>(self, f: impl FnMut(F) -> G + Copy) -> Rest<G> {
        let Self { more, late, tolerated_more, aborted, adopted, adopted_more, refused, .. } = self;
        let also = self.also.into_iter().map(f).collect();
        let tolerated = self.tolerated.into_iter().map(f).collect();
        Rest {
            also,
            more,
            late,
            tolerated,
            tolerated_more,
            aborted,
            adopted,
            adopted_more,
            refused,
        }
    }
}

impl<E> JoinReport<E> {
    pub(super) const EMPTY: Self = Self { cause: None, rest: Rest::NOTHING };

    /// Why the scope ended without its value, with the chain of what had led to it: see
    /// [`ScopeError::cause`](super::ScopeError::cause).
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Errors and panics after the first, oldest first: 16 of them, or as many as
    /// [`OnError::Collect`](super::OnError::Collect) says, and those of the body.
    #[must_use]
    pub fn also(&self) -> &[Reason<E>] {
        &self.rest.also
    }

    /// The same, by value.
    #[must_use]
    pub fn into_also(self) -> Vec<Reason<E>> {
        self.rest.also
    }

    /// How many more there were.
    #[must_use]
    pub fn more(&self) -> usize {
        self.rest.more
    }

    /// How many of [both](Self::also) came after the scope was cancelled. These may be no failures
    /// of their own: work that obeys a cancellation often returns an error that says so.
    #[must_use]
    pub fn late(&self) -> usize {
        self.rest.late
    }

    /// Errors and panics of children that a [`Policy`](super::Policy) let pass: the oldest 16.
    #[must_use]
    pub fn tolerated(&self) -> &[Reason<E>] {
        &self.rest.tolerated
    }

    /// How many more there were.
    #[must_use]
    pub fn tolerated_more(&self) -> usize {
        self.rest.tolerated_more
    }

    /// Work that had not ended when the grace period was over, and was dropped; that of nested
    /// scopes included.
    #[must_use]
    pub fn aborted(&self) -> &[Straggler] {
        &self.rest.aborted
    }

    /// What happened in nested scopes whose future was dropped, by a timeout or a `select!`;
    /// at most 16 are kept. By itself it makes no scope fail: whoever dropped the nested
    /// scope meant to.
    #[must_use]
    pub fn adopted(&self) -> &[Adopted] {
        &self.rest.adopted
    }

    /// How many more there were.
    #[must_use]
    pub fn adopted_more(&self) -> usize {
        self.rest.adopted_more
    }

    /// How many times new work was refused, because the scope had ended or was being aborted, or
    /// was sent away unrun when it was cancelled before there was a [slot](super::Scope::limit); in
    /// nested scopes whose future was dropped, too.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.rest.refused
    }
}

/// What happened in a nested scope whose future was dropped: an error, a panic, or work that
/// had to be aborted. The scope above keeps it, because nobody else is left to be told.
#[derive(Clone, Debug)]
pub struct Adopted(What);

#[derive(Clone, Debug)]
enum What {
    Fault(Fault),
    Aborted(Straggler),
}

impl Adopted {
    pub(super) fn fault(fault: Fault) -> Self {
        Self(What::Fault(fault))
    }

    pub(super) fn aborted(straggler: Straggler) -> Self {
        Self(What::Aborted(straggler))
    }

    /// Which work.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        match &self.0 {
            What::Fault(Fault::Failed(task, _)) => task,
            What::Fault(Fault::Panicked(panic, _)) => panic.task(),
            What::Aborted(straggler) => straggler.task(),
        }
    }

    /// Whether it was dropped before it ended.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.0, What::Aborted(_))
    }

    /// Why, with the chain of what had led to it; none, if it was dropped before it ended.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match &self.0 {
            What::Fault(fault) => Some(fault.cause()),
            What::Aborted(_) => None,
        }
    }

    /// The panic, if it was one.
    #[must_use]
    pub fn panic(&self) -> Option<&TaskPanic> {
        match &self.0 {
            What::Fault(Fault::Panicked(panic, _)) => Some(panic),
            _ => None,
        }
    }

    /// The error, if it was one of type `E`.
    #[must_use]
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        match &self.0 {
            What::Fault(Fault::Failed(_, cause)) => cause.downcast_ref(),
            _ => None,
        }
    }
}

impl Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Fault(Fault::Failed(task, cause)) => match cause.shown_error() {
                Some(error) => write!(f, "{task} failed: {error}"),
                None => write!(f, "{task} failed"),
            },
            What::Fault(Fault::Panicked(panic, _)) => Display::fmt(panic, f),
            What::Aborted(straggler) => write!(f, "{straggler} was aborted"),
        }
    }
}
