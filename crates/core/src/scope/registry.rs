//! Who is alive in a scope: the join counter, as pure state.

use super::node::ScopeNode;
use crate::{Name, sync::Weak};
use slab::Slab;
use std::{panic::Location, task::Waker};

/// What a scope knows of one piece of work it owns.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) kind: super::WorkKind,
    /// Set when the work is first suspended; how an abort reaches it.
    pub(super) waker: Option<Waker>,
    /// The scope, if the work is a nested one.
    pub(super) scope: Option<Weak<ScopeNode>>,
}

pub(super) struct Registry {
    records: Slab<Record>,
    body: bool,
    orphaned: bool,
    aborting: bool,
    joiner: Option<Waker>,
}

/// What to do after the lock is released.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Closed {
    /// The scope has just closed: tell its parent.
    pub(super) now: bool,
    /// Nobody waits for the scope any more but its parent.
    pub(super) orphaned: bool,
    pub(super) joiner: Option<Waker>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self { records: Slab::new(), body: true, orphaned: false, aborting: false, joiner: None }
    }

    /// A scope with neither body nor children is closed, and stays so.
    pub(super) fn is_closed(&self) -> bool {
        !self.body && self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn get(&self, key: usize) -> &Record {
        &self.records[key]
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().map(|(_, record)| record)
    }

    /// Admits work, unless the scope is closed or aborting.
    pub(super) fn insert(&mut self, record: Record) -> Result<usize, Record> {
        if self.aborting || self.is_closed() {
            return Err(record);
        }
        Ok(self.records.insert(record))
    }

    /// The work under `key` has ended.
    pub(super) fn remove(&mut self, key: usize) -> (Record, Closed) {
        let record = self.records.remove(key);
        (record, self.closed())
    }

    pub(super) fn body_ended(&mut self) -> Closed {
        if !std::mem::take(&mut self.body) {
            return Closed::default();
        }
        self.closed()
    }

    /// The scope's future is gone, and its body with it.
    pub(super) fn orphaned(&mut self) -> Closed {
        self.orphaned = true;
        if self.body { self.body_ended() } else { Closed::default() }
    }

    pub(super) fn nest(&mut self, key: usize, scope: Weak<ScopeNode>) {
        self.records[key].scope = Some(scope);
    }

    fn closed(&mut self) -> Closed {
        if self.is_closed() {
            Closed { now: true, orphaned: self.orphaned, joiner: self.joiner.take() }
        } else {
            Closed::default()
        }
    }

    /// Remembers how to wake suspended work. False, if it is to be dropped instead.
    pub(super) fn park(&mut self, key: usize, waker: &mut Option<Waker>) -> bool {
        if !self.aborting {
            std::mem::swap(&mut self.records[key].waker, waker);
        }
        !self.aborting
    }

    /// Nothing is admitted any more, and suspended work is woken to be dropped.
    pub(super) fn abort(&mut self) -> Vec<Waker> {
        self.aborting = true;
        self.records.iter_mut().filter_map(|(_, record)| record.waker.take()).collect()
    }

    /// Whether the scope is closed; if not, `waker` is kept for the moment it is.
    pub(super) fn poll_closed(&mut self, waker: &mut Option<Waker>) -> bool {
        let closed = self.is_closed();
        if !closed {
            std::mem::swap(&mut self.joiner, waker);
        }
        closed
    }
}

#[cfg(test)]
mod tests;
