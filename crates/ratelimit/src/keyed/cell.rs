//! What else can be done with the cell of a key.

use super::{
    request::{Request, Source, Taken},
    shards::{Full, Owner, Shards, let_go},
};
use crate::{
    ConfigError, Limit, Peek,
    clock::Clock,
    limiter::{Observer, Shared, time_between},
    state::{Held, Limits, Plan},
};
use std::{
    hash::{BuildHasher, Hash},
    sync::Arc,
};
use tidegate_core::sync::{atomic::Ordering::AcqRel, lock};

impl<K: Hash + Eq + Clone, C: Clock, S: BuildHasher> Shards<K, C, S> {
    /// Leaves the cell of the key to an owner, at which one can wait; none, if the key has left the table
    /// or has another quota meanwhile.
    pub(super) fn own(&self, request: &Request<'_, K>) -> Option<Owner<C>> {
        let plan = {
            let shard = lock(self.shard(request));
            let at = shard.table.find(request.tag, request.key)?;
            shard.table.held(at).plan()
        };
        let new = Shared::closed(
            Arc::clone(&self.clock),
            Limits::new([Limit::Quota(plan.quota)], false).ok()?,
            Limit::Quota(plan.quota),
            self.name.clone(),
            self.max_waiters,
            Observer::default(),
            self.resource.clone(),
        );
        let mut shard = lock(self.shard(request));
        let at = shard.table.find(request.tag, request.key)?;
        match shard.table.held(at) {
            Held::Owned(_, owner) => Some(Arc::clone(owner)),
            Held::Here(kept, _) if kept.quota != plan.quota => None,
            Held::Here(_, cell) => {
                new.adopt(cell);
                shard.table.set_owner(at, plan, Arc::clone(&new));
                Some(new)
            }
        }
    }

    /// Takes the cell of the key back from its owner, unless somebody else knows of that.
    pub(super) fn settle(&self, request: &Request<'_, K>) {
        let mut shard = lock(self.shard(request));
        let now = shard.table.time(request.now, || self.clock.now());
        let at = shard.table.find(request.tag, request.key);
        let released = at.and_then(|at| shard.table.release(at, now, &mut let_go));
        drop(shard);
        drop(released);
    }

    /// Gives back what is still missing of it, to where it was taken from.
    pub(super) fn give_back(&self, key: &K, cost: u64, taken: Taken) {
        match (taken.source, &self.full) {
            (Source::Key, _) => self.give_back_to_key(key, cost, taken),
            (Source::Overflow, Full::Share(owner)) => owner.give_back(cost, taken.at),
            _ => {}
        }
    }

    /// A key that is not in the table is full.
    fn give_back_to_key(&self, key: &K, cost: u64, taken: Taken) {
        let request = self.request_of(key, cost, taken.quota, self.clock.now());
        let Ok(plan) = taken.quota.map(Plan::new).transpose() else { return };
        let mut shard = lock(self.shard(&request));
        let now = shard.table.time(request.now, || self.clock.now());
        let Some(at) = shard.table.find(request.tag, key) else { return };
        let kept = shard.table.held(at).plan();
        // It may have been full at the old rate, and forgotten, before it was kept at a lower one.
        if plan.is_some_and(|plan| kept.scale.is_slower_than(&plan.scale)) {
            return;
        }
        if shard.table.give_back(at, now, cost, taken.at) {
            return;
        }
        let Held::Owned(_, owner) = shard.table.held(at) else { return };
        let owner = Arc::clone(owner);
        drop(shard);
        owner.give_back(cost, taken.at);
        drop(owner);
        self.settle(&request);
    }

    /// What the cell of the key says.
    pub(super) fn peek(&self, request: &Request<'_, K>) -> Result<Peek, ConfigError> {
        let asked = request.quota.map(Plan::new).transpose()?;
        let mut shard = lock(self.shard(request));
        let now = shard.table.time(request.now, || self.clock.now());
        let table = &shard.table;
        let (mut cell, kept) = match table.find(request.tag, request.key) {
            None => {
                let plan = asked.unwrap_or_else(|| table.plan());
                (table.fresh(now, &plan), plan)
            }
            Some(at) => match table.held(at) {
                Held::Here(plan, cell) => (cell, plan),
                Held::Owned(_, owner) => {
                    let owner = Arc::clone(owner);
                    drop(shard);
                    let peek = owner.peek();
                    drop(owner);
                    self.settle(request);
                    return Ok(peek);
                }
            },
        };
        drop(shard);
        if let Some(asked) = asked.filter(|asked| asked.quota != kept.quota) {
            cell.change(now, asked.scale);
        }
        Ok(Peek {
            remaining: cell.available(now),
            possible: cell.possible(now),
            full_after: cell.full_at().map(|at| time_between(now, at)),
            waiting: 0,
        })
    }

    /// Makes the cell of the key as full as a new one.
    pub(super) fn reset(&self, request: &Request<'_, K>) {
        let mut shard = lock(self.shard(request));
        shard.table.time(request.now, || self.clock.now());
        let Some(at) = shard.table.find(request.tag, request.key) else { return };
        if let Held::Owned(_, owner) = shard.table.held(at) {
            let owner = Arc::clone(owner);
            drop(shard);
            owner.refill();
            drop(owner);
            return self.settle(request);
        }
        shard.table.give_back_from_now_on();
        let key = shard.table.remove(at);
        self.keys.fetch_sub(1, AcqRel);
        drop(shard);
        drop(key);
    }
}
