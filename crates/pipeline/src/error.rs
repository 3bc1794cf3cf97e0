//! What can go wrong with an item, and with a run.

use crate::Summary;
use std::fmt::{self, Debug, Display};
use tidegate_core::{Cause, Name, Straggler};

/// An item that failed: in which stage, which one, and how.
#[derive(Debug)]
pub struct ItemError<E> {
    stage: Name,
    seq: u64,
    kind: ItemErrorKind<E>,
}

/// How an item failed.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemErrorKind<E> {
    /// The stage's function returned this error.
    Failed(E),
    /// The stage's function panicked; this is what the panic said.
    Panicked(String),
}

impl<E> ItemError<E> {
    pub(crate) fn new(stage: Name, seq: u64, kind: ItemErrorKind<E>) -> Self {
        Self { stage, seq, kind }
    }

    /// The name of the stage.
    #[must_use]
    pub fn stage(&self) -> &Name {
        &self.stage
    }

    /// The number of the item among those that entered the stage, from 0.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> &ItemErrorKind<E> {
        &self.kind
    }

    /// The same, by value.
    #[must_use]
    pub fn into_kind(self) -> ItemErrorKind<E> {
        self.kind
    }

    /// The error, unless the item panicked.
    #[must_use]
    pub fn error(&self) -> Option<&E> {
        match &self.kind {
            ItemErrorKind::Failed(error) => Some(error),
            ItemErrorKind::Panicked(_) => None,
        }
    }
}

impl<E: Display> Display for ItemError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage `{}`, item {}", self.stage, self.seq)?;
        match &self.kind {
            ItemErrorKind::Failed(error) => write!(f, ": {error}"),
            ItemErrorKind::Panicked(message) => write!(f, " panicked: {message}"),
        }
    }
}

// `E` need not be an error itself, so that `anyhow::Error` and `String` will do; the text has what
// it says, and `error` gives it.
impl<E: Display + Debug> std::error::Error for ItemError<E> {}

/// Why a run did not get to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason<E> {
    /// This item failed first, under [`OnError::FailFast`](crate::OnError::FailFast) or in the
    /// consumer.
    Item(ItemError<E>),
    /// The scope was cancelled.
    Cancelled(Cause),
    /// Something other than the function of a stage panicked: the source, or the callback
    /// for item errors.
    Panicked {
        /// The stage it happened in.
        stage: Name,
        /// What the panic said.
        message: String,
    },
    /// A worker was aborted: the runtime is shutting down, or a stage ignored the
    /// cancellation for longer than the grace period of the scope;
    /// [`PipelineError::aborted`] names it.
    Aborted,
}

impl<E: Display> Display for Reason<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(error) => Display::fmt(error, f),
            Self::Cancelled(cause) => write!(f, "cancelled: {cause}"),
            Self::Panicked { stage, message } => write!(f, "stage `{stage}` panicked: {message}"),
            Self::Aborted => f.write_str("a worker was aborted"),
        }
    }
}

/// A run that did not get to its end: why, how far it got, and what else went wrong.
#[derive(Debug)]
pub struct PipelineError<E>(Box<Inner<E>>);

#[derive(Debug)]
struct Inner<E> {
    reason: Reason<E>,
    summary: Summary<E>,
    also: Vec<Reason<E>>,
    aborted: Vec<Straggler>,
}

impl<E> PipelineError<E> {
    pub(crate) fn new(
        reason: Reason<E>,
        summary: Summary<E>,
        also: Vec<Reason<E>>,
        aborted: Vec<Straggler>,
    ) -> Self {
        Self(Box::new(Inner { reason, summary, also, aborted }))
    }

    /// Why the run ended early.
    #[must_use]
    pub fn reason(&self) -> &Reason<E> {
        &self.0.reason
    }

    /// What had been done by then, and what was not. It also has the first 16 errors of items
    /// that failed after the one that ended the run.
    #[must_use]
    pub fn summary(&self) -> &Summary<E> {
        &self.0.summary
    }

    /// Panics of workers, of the source or of the callback after the reason; the first 16 of
    /// each.
    #[must_use]
    pub fn also(&self) -> &[Reason<E>] {
        &self.0.also
    }

    /// The workers that had to be aborted, named after their stages.
    #[must_use]
    pub fn aborted(&self) -> &[Straggler] {
        &self.0.aborted
    }

    /// The reason and the summary, by value.
    #[must_use]
    pub fn into_parts(self) -> (Reason<E>, Summary<E>) {
        (self.0.reason, self.0.summary)
    }

    /// The error of the item that ended the run, if one did.
    #[must_use]
    pub fn error(&self) -> Option<&E> {
        match self.reason() {
            Reason::Item(error) => error.error(),
            _ => None,
        }
    }

    /// The cause, if the scope was cancelled.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self.reason() {
            Reason::Cancelled(cause) => Some(cause),
            _ => None,
        }
    }
}

impl<E: Display> Display for PipelineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self.reason(), f)?;
        for also in self.also() {
            write!(f, "; then {also}")?;
        }
        if !self.aborted().is_empty() {
            write!(f, "; aborted:")?;
            for straggler in self.aborted() {
                write!(f, " {straggler}")?;
            }
        }
        Ok(())
    }
}

impl<E: Display + Debug> std::error::Error for PipelineError<E> {}
