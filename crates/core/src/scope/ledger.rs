//! What went wrong in one scope, whatever the type of its errors: a state without clock,
//! waker or lock. The node keeps it under its lock.

use super::{
    Adopted, Failure, JoinReport, Reason, Straggler, TaskInfo, WorkKind, error::Payload,
    report::Rest,
};
use crate::{Cause, TaskPanic, panic::drop_quietly, sync::Arc};

/// How much a scope keeps of what dropped nested scopes left; the rest is counted. A server
/// that drops a nested scope with every request would grow without bound otherwise.
const ADOPTED_MAX: usize = 16;

/// An error that was returned, which the cause has, or a panic.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Failed(TaskInfo, Cause),
    Panicked(TaskPanic, Cause),
}

/// One entry of the ledger.
#[derive(Debug)]
pub(super) enum Entry {
    /// What cancelled the scope.
    First(Fault),
    /// What did not cancel it: because it was cancelled already, by the first or from outside, or
    /// because its failures are collected.
    Also(Fault),
    /// What a policy lets pass.
    Tolerated(Fault),
    Aborted(Straggler),
    Adopted(Adopted),
}

/// Who reads a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reader {
    /// The scope's own future.
    #[default]
    Own,
    /// The scope above: the future was dropped on purpose.
    Parent,
    /// The scope above: the future was dropped by an abort that came from there.
    AbortingParent,
}

impl Reader {
    /// Who reads what goes up to a scope with that reader.
    pub(super) fn then(self, above: Self) -> Self {
        // What was dropped on purpose stays set apart.
        if above == Self::Parent { above } else { self }
    }
}

/// A panic that is to go on in the caller of a scope.
pub(super) type Raised = (TaskPanic, Payload);

/// What is counted only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Entries of which a dropped scope kept no more than their number.
    pub(super) adopted_more: usize,
    /// Work that was refused.
    pub(super) refused: usize,
}

/// What a dropped scope leaves to its parent.
#[derive(Debug, Default)]
pub(super) struct Estate {
    pub(super) entries: Vec<Entry>,
    pub(super) counts: Counts,
    /// Nobody is left to raise it: to be dropped without the lock.
    pub(super) raised: Option<Raised>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    /// How many faults fit into `also`, and into `tolerated`.
    max: usize,
    first: Option<Fault>,
    rest: Rest<Fault>,
    /// Whether the scope has what it wanted, so that no failure of a child counts.
    finished: bool,
    /// The payload of the panic that came first, if the scope is to end with it.
    raised: Option<Raised>,
    reader: Reader,
}

impl Ledger {
    pub(super) fn with_room_for(max: usize) -> Self {
        let (first, rest, raised) = (None, Rest::NOTHING, None);
        Self { max, first, rest, finished: false, raised, reader: Reader::Own }
    }

    /// Enters `entry`, and gives it back if the ledger is full; `is_late` says whether the scope is
    /// cancelled. An error, if nobody reads this ledger any more: the entry, as it is to be
    /// entered in the scope above.
    pub(super) fn enter(&mut self, entry: Entry, is_late: bool) -> Result<Option<Entry>, Entry> {
        if self.reader != Reader::Own {
            return Err(entry.upward(self.reader));
        }
        let Self { max, rest, .. } = self;
        rest.late += usize::from(is_late && matches!(entry, Entry::Also(_)));
        match entry {
            Entry::First(fault) => self.first = Some(fault),
            Entry::Also(fault) if rest.also.len() < *max || fault.is_of_body() => {
                rest.also.push(fault);
            }
            Entry::Also(_) => {
                rest.more += 1;
                return Ok(Some(entry));
            }
            Entry::Tolerated(fault) if rest.tolerated.len() < *max => rest.tolerated.push(fault),
            Entry::Tolerated(_) => {
                rest.tolerated_more += 1;
                return Ok(Some(entry));
            }
            Entry::Aborted(straggler) => rest.aborted.push(straggler),
            Entry::Adopted(adopted) if rest.adopted.len() < ADOPTED_MAX => {
                rest.adopted.push(adopted);
            }
            Entry::Adopted(_) => {
                rest.adopted_more += 1;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Adds to what is counted; false, if nobody reads this ledger any more.
    pub(super) fn count(&mut self, counts: Counts) -> bool {
        let own = self.reader == Reader::Own;
        if own {
            self.rest.adopted_more += counts.adopted_more;
            self.rest.refused += counts.refused;
        }
        own
    }

    /// From now on the failures of children are tolerated, those that came before, too.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// From now on the scope above is the reader. It gets what is in the ledger, and what
    /// comes later: both are decided by this one field, so that nothing falls between.
    pub(super) fn orphan(&mut self, reader: Reader) -> Estate {
        let mut former = self.take();
        self.reader = reader;
        let raised = former.take_raised();
        let rest = former.rest;
        let faults = former.first.into_iter().chain(rest.also).chain(rest.tolerated);
        let faults = faults.map(Entry::Also);
        let aborted = rest.aborted.into_iter().map(Entry::Aborted);
        let adopted = rest.adopted.into_iter().map(Entry::Adopted);
        let entries = faults.chain(aborted).chain(adopted).map(|entry| entry.upward(reader));
        let adopted_more = rest.more + rest.tolerated_more + rest.adopted_more;
        let counts = Counts { adopted_more, refused: rest.refused };
        Estate { entries: entries.collect(), counts, raised }
    }

    /// Everything so far.
    pub(super) fn take(&mut self) -> Self {
        let Self { max, finished, reader, .. } = *self;
        std::mem::replace(self, Self { finished, reader, ..Self::with_room_for(max) })
    }

    /// Keeps the payload of `panic` if nothing went wrong before it; else gives it back.
    pub(super) fn raise(&mut self, panic: &TaskPanic, payload: Payload) -> Option<Payload> {
        if !self.begins_with(panic) {
            return Some(payload);
        }
        self.raised.replace((panic.clone(), payload)).map(|(_, former)| former)
    }

    /// The payload of a child's panic that came first.
    pub(super) fn take_raised(&mut self) -> Option<Raised> {
        self.raised.take()
    }

    /// Whether nothing went wrong before `panic`.
    pub(super) fn begins_with(&self, panic: &TaskPanic) -> bool {
        let first = self.first.as_ref().or_else(|| self.rest.also.first());
        matches!(first, Some(Fault::Panicked(first, _)) if first.same(panic))
    }

    /// What a closed scope returns, and what else went wrong. An error that a child returned is
    /// never dropped: if nothing else explains why the scope ended, it is the reason.
    pub(super) fn into_result<T, E: Send + Sync + 'static>(
        mut self,
        outer: Option<Cause>,
        value: Option<T>,
    ) -> (Result<T, Reason<E>>, JoinReport<E>) {
        self.forgive_if_finished();
        let Self { first, mut rest, finished, .. } = self;
        let first = if outer.is_some() { first } else { first.or_else(|| rest.take_first()) };
        let cause = first.as_ref().map(|first| first.cause().clone()).or_else(|| outer.clone());
        let reason = first.map(Fault::typed).or(outer.map(Reason::Cancelled));
        let result = match (reason, value) {
            // What a scope does not need any more makes it fail in no way.
            (None, Some(value)) if rest.aborted.is_empty() || finished => Ok(value),
            (reason, value) => {
                drop_quietly(value);
                Err(reason.unwrap_or(Reason::Aborted))
            }
        };
        (result, JoinReport { cause, rest: rest.map(Fault::typed) })
    }

    /// In a scope that has what it wanted no failure of a child counts, and none of their panics
    /// is raised.
    pub(super) fn forgive_if_finished(&mut self) {
        if !self.finished {
            return;
        }
        drop_quietly(self.raised.take());
        let first = self.first.take_if(|fault| !fault.is_of_body());
        // Of those before there are no more in the row than it has room for.
        let early = self.rest.early().min(self.max);
        let Rest { also, more, late, tolerated, tolerated_more, .. } = &mut self.rest;
        *late = also.iter().skip(early).filter(|fault| fault.is_of_body()).count();
        let (of_body, of_children) = std::mem::take(also).into_iter().partition(Fault::is_of_body);
        *also = of_body;
        tolerated.extend(first);
        tolerated.extend::<Vec<_>>(of_children);
        *tolerated_more += std::mem::take(more);
    }
}

impl Rest<Fault> {
    /// What came first of all: it is late if all the others are.
    fn take_first(&mut self) -> Option<Fault> {
        let first = (!self.also.is_empty()).then(|| self.also.remove(0))?;
        self.late = self.late.min(self.also.len() + self.more);
        Some(first)
    }
}

impl Fault {
    /// Of these there are two at most, the body's and that of its destructor: they cancel the
    /// scope in any case, and are kept whether or not there is room.
    pub(super) fn is_of_body(&self) -> bool {
        let task = match self {
            Self::Failed(task, _) => task,
            Self::Panicked(panic, _) => panic.task(),
        };
        task.kind() == WorkKind::Scope
    }

    pub(super) fn cause(&self) -> &Cause {
        let (Self::Failed(_, cause) | Self::Panicked(_, cause)) = self;
        cause
    }

    fn typed<E: Send + Sync + 'static>(self) -> Reason<E> {
        let (reason, cause) = match self {
            Self::Failed(task, cause) => {
                let error = cause.shared_error().map(|error| Arc::clone(error).into_any());
                match error.map(Arc::downcast) {
                    Some(Ok(error)) => (Reason::Failed(Failure { task, error }), cause),
                    _ => unreachable!("only a scope's own `Cx<E>` enters errors, of type `E`"),
                }
            }
            Self::Panicked(panic, cause) => (Reason::Panicked(panic), cause),
        };
        // With it may go the last of an error that had led to this one.
        drop_quietly(cause);
        reason
    }
}

impl Entry {
    /// The entry as the scope above keeps it. Work that was dropped in the course of its own
    /// abort stays what it is; whatever a scope left that was dropped on purpose is set apart.
    fn upward(self, reader: Reader) -> Self {
        match self {
            Self::Aborted(straggler) if reader == Reader::AbortingParent => {
                Self::Aborted(straggler)
            }
            Self::Aborted(straggler) => Self::Adopted(Adopted::aborted(straggler)),
            Self::First(fault) | Self::Also(fault) | Self::Tolerated(fault) => {
                Self::Adopted(Adopted::fault(fault))
            }
            Self::Adopted(adopted) => Self::Adopted(adopted),
        }
    }
}
