//! What is asked of a key, and what the tables say.

use super::{
    error::Failed,
    front::Hot,
    shards::{Full, Owner, Shard, Shards, Trash, let_go},
};
use crate::{
    Quota, TryAcquireError,
    clock::Clock,
    limiter::time_between,
    state::{Asked, Held, Left, Plan, Refusal, Table},
};
use std::{
    hash::{BuildHasher, Hash},
    ops::ControlFlow,
    sync::{Arc, TryLockError},
};
use tidegate_core::sync::{
    Mutex, MutexGuard,
    atomic::Ordering::{AcqRel, Acquire, Relaxed},
    lock,
};

/// How many cells are looked at to make room for a key, in its own table and in another one.
const SWEPT_FOR_ROOM: usize = 128;

/// How often room is made for a key, if others take it each time.
const ATTEMPTS: usize = 4;

/// What is asked for.
pub(super) struct Request<'a, K> {
    pub(super) key: &'a K,
    pub(super) cost: u64,
    pub(super) now: u64,
    pub(super) shard: usize,
    pub(super) tag: u16,
    /// None, if all keys have the same.
    pub(super) quota: Option<Quota>,
    plan: Option<Plan>,
    /// To be put into the table.
    clone: Option<K>,
}

/// What has become of it.
pub(super) enum Outcome<C: Clock> {
    Passes(Source),
    Refused(Refusal, Left),
    /// The owner has to say.
    Owned(Owner<C>, Source),
}

/// Where tokens are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Key,
    Overflow,
    Nowhere,
}

/// What was taken, to be given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) source: Source,
    pub(super) at: u64,
    /// The quota of the key at that time; none, if all keys have the same.
    pub(super) quota: Option<Quota>,
}

/// What a table says.
enum Answer<C: Clock> {
    Asked(Asked),
    /// And whether its quota has just changed.
    Owned(Owner<C>, bool),
    NeedsPlan,
    NeedsKey,
    NeedsRoom,
}

impl<K: Hash + Eq + Clone, C: Clock, S: BuildHasher> Shards<K, C, S> {
    #[inline]
    pub(super) fn request<'a>(&self, key: &'a K, cost: u64) -> Request<'a, K> {
        let quota = self.quota_for.as_ref().map(|quota_for| quota_for(key));
        self.request_of(key, cost, quota, self.clock.now())
    }

    #[inline]
    pub(super) fn request_of<'a>(
        &self,
        key: &'a K,
        cost: u64,
        quota: Option<Quota>,
        now: u64,
    ) -> Request<'a, K> {
        let (shard, tag) = self.place_of(key);
        Request { key, cost, now, shard, tag, quota, plan: None, clone: None }
    }

    /// The table that a key is in, and under which tag.
    #[inline]
    fn place_of(&self, key: &K) -> (usize, u16) {
        // A hasher may leave most of the bits alone; then those it has are spread.
        let hash = self.hasher.hash_one(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (tag, rest) = (hash >> 48, hash ^ (hash >> 32));
        let tag = u16::try_from(tag).unwrap_or_default();
        let shard = usize::try_from(rest & 0xffff_ffff).unwrap_or_default();
        (shard & (self.tables.len() - 1), tag)
    }

    /// Takes `cost` from the cell of the key in the plain case that there is enough, and nothing else to
    /// do. Otherwise says what is to be asked.
    #[inline]
    pub(super) fn take_plainly<'a>(
        &self,
        key: &'a K,
        cost: u64,
    ) -> ControlFlow<Taken, Request<'a, K>> {
        let quota = self.quota_for.as_ref().map(|quota_for| quota_for(key));
        let now = self.clock.now();
        if self.front.take(key, quota, now, cost) {
            return ControlFlow::Break(Taken { source: Source::Key, at: now, quota });
        }
        let (at, tag) = self.place_of(key);
        let (mut shard, is_disputed) = lock_or_wait(&self.tables[at].0);
        let time = shard.table.time(now, || self.clock.now());
        let is_taken = match shard.table.find(tag, key) {
            Some(at) => shard.table.take_plainly(at, time, cost, quota.as_ref()),
            None => false,
        };
        let taken = Taken { source: Source::Key, at: time, quota };
        if is_taken && !is_disputed && !shard.is_due(time) {
            return ControlFlow::Break(taken);
        }
        let taken = is_taken.then_some(taken);
        let is_disputed = is_disputed && shard.is_disputed(tag);
        drop(shard);
        // Made here, and not before: most have no use for it.
        let request = Request { key, cost, now, shard: at, tag, quota, plan: None, clone: None };
        self.after(request, taken, is_disputed)
    }

    /// What else there is to do for a request, now that no lock is held.
    #[cold]
    fn after<'a>(
        &self,
        request: Request<'a, K>,
        taken: Option<Taken>,
        is_disputed: bool,
    ) -> ControlFlow<Taken, Request<'a, K>> {
        if is_disputed {
            if let Some(owner) = self.own(&request) {
                self.keep_at_hand(&request, owner);
            }
        }
        let Some(taken) = taken else { return ControlFlow::Continue(request) };
        self.sweep_in_passing(request.now);
        ControlFlow::Break(taken)
    }

    /// Has the thread keep an owner at hand.
    pub(super) fn keep_at_hand(&self, request: &Request<'_, K>, owner: Owner<C>) {
        let Request { key, quota, .. } = *request;
        let left = self.front.keep(Hot { key: key.clone(), quota, owner, is_used: true });
        // Of this key, or of another one that had to make room for it.
        if let Some(Hot { key, quota, owner, .. }) = left {
            drop(owner);
            self.settle(&self.request_of(&key, 0, quota, request.now));
        }
    }

    /// Takes what is asked for from the cell of the key.
    #[inline]
    pub(super) fn ask(&self, request: &mut Request<'_, K>) -> Result<Outcome<C>, Failed> {
        match self.look(request) {
            Answer::Asked(Asked::Passes) => Ok(Outcome::Passes(Source::Key)),
            answer => self.ask_on(request, answer),
        }
    }

    #[cold]
    fn ask_on(
        &self,
        request: &mut Request<'_, K>,
        mut answer: Answer<C>,
    ) -> Result<Outcome<C>, Failed> {
        let mut attempts = 0;
        loop {
            match answer {
                Answer::Asked(Asked::Refused(refusal, left)) => {
                    return Ok(Outcome::Refused(refusal, left));
                }
                Answer::Asked(_) => return Ok(Outcome::Passes(Source::Key)),
                Answer::Owned(owner, has_changed) => {
                    if has_changed {
                        owner.catch_up();
                    }
                    return Ok(Outcome::Owned(owner, Source::Key));
                }
                Answer::NeedsPlan => {
                    let plan = request.quota.map(Plan::new).transpose();
                    request.plan = plan.map_err(Failed::Quota)?;
                }
                Answer::NeedsKey | Answer::NeedsRoom => {
                    let room = self.make_room(request);
                    attempts += 1;
                    if room.is_err() || attempts > ATTEMPTS {
                        return self.without_room(request, room.err().flatten());
                    }
                    if request.clone.is_none() {
                        request.clone = Some(request.key.clone());
                    }
                }
            }
            answer = self.look(request);
        }
    }

    #[inline]
    fn look(&self, request: &mut Request<'_, K>) -> Answer<C> {
        let Request { key, cost, tag, quota, .. } = *request;
        let mut shard = lock(self.shard(request));
        let now = shard.table.time(request.now, || self.clock.now());
        request.now = now;
        let Some(at) = shard.table.find(tag, key) else {
            let (answer, trash) = self.add(&mut shard.table, request);
            drop(shard);
            drop(trash);
            return answer;
        };
        // Once it is said, it is to be done.
        let is_due = shard.is_due(now);
        let table = &mut shard.table;
        let answer = match table.take(at, now, cost, quota) {
            asked @ (Asked::Passes | Asked::Refused(..)) => Answer::Asked(asked),
            _ => look_closer(table, at, request),
        };
        drop(shard);
        if is_due {
            self.sweep_in_passing(now);
        }
        answer
    }

    /// Puts a key into the table, unless it need not be there.
    #[cold]
    fn add(
        &self,
        table: &mut Table<K, Owner<C>>,
        request: &mut Request<'_, K>,
    ) -> (Answer<C>, Option<Trash<K, C>>) {
        let Request { cost, now, tag, quota, plan, .. } = *request;
        let plan = if quota.is_some() { plan } else { Some(table.plan()) };
        let Some(plan) = plan else { return (Answer::NeedsPlan, None) };
        let asked = table.take_new(now, cost, &plan);
        if asked != Asked::New {
            return (Answer::Asked(asked), None);
        }
        let Some(key) = request.clone.take() else { return (Answer::NeedsKey, None) };
        let swept = table.sweep_for_new(now, self.kept(), &mut let_go);
        self.keys.fetch_sub(swept.evicted, AcqRel);
        let one_more =
            |keys: usize| Some(keys + 1).filter(|keys| *keys <= self.max_keys && !table.is_full());
        if self.keys.fetch_update(AcqRel, Acquire, one_more).is_err() {
            request.clone = Some(key);
            return (Answer::NeedsRoom, Some(swept));
        }
        let asked = table.add(tag, key, now, plan, cost);
        (Answer::Asked(asked), Some(swept))
    }

    /// Takes out a cell that is full, if the keys are as many as may be. Otherwise says when one will be.
    fn make_room(&self, request: &Request<'_, K>) -> Result<(), Option<u64>> {
        let is_full = || lock(self.shard(request)).table.is_full();
        if self.keys.load(Acquire) < self.max_keys && !is_full() {
            return Ok(());
        }
        self.front.let_go_of_idle(request.now);
        let first = match self.sweep_for_room(request.shard, request.now) {
            Err(first) if !is_full() => first,
            room => return room,
        };
        let other = self.sweep_for_room(self.next_table(), request.now);
        other.map_err(|other| [first, other].into_iter().flatten().min())
    }

    fn sweep_for_room(&self, at: usize, now: u64) -> Result<(), Option<u64>> {
        let busy_until = lock(&self.tables[at].0).table.busy_until(now);
        if let Some(until) = busy_until {
            return Err(Some(until).filter(|until| *until < u64::MAX));
        }
        let (evicted, next) = self.sweep(at, now, SWEPT_FOR_ROOM, 0);
        if evicted > 0 { Ok(()) } else { Err(next) }
    }

    fn without_room(
        &self,
        request: &Request<'_, K>,
        next: Option<u64>,
    ) -> Result<Outcome<C>, Failed> {
        self.turned_away.fetch_add(1, Relaxed);
        match &self.full {
            Full::Reject => Err(Failed::TooManyKeys {
                max_keys: self.max_keys,
                retry_after: next.map(|next| time_between(request.now, next)),
            }),
            Full::Share(owner) => Ok(Outcome::Owned(Arc::clone(owner), Source::Overflow)),
            Full::Admit => Ok(Outcome::Passes(Source::Nowhere)),
        }
    }
}

/// A cell that is here in another plan, or with an owner.
#[cold]
fn look_closer<K: Eq, C: Clock>(
    table: &mut Table<K, Owner<C>>,
    at: usize,
    request: &Request<'_, K>,
) -> Answer<C> {
    let Request { now, cost, quota, plan, .. } = *request;
    let kept = table.held(at).plan();
    let is_other = quota.is_some_and(|quota| quota != kept.quota);
    if is_other {
        let Some(plan) = plan else { return Answer::NeedsPlan };
        table.convert(at, now, plan);
    }
    if let Held::Owned(plan, owner) = table.held(at) {
        if is_other {
            // With the entry: of several changes at once, the last is the same to both.
            owner.change_quietly(plan.quota);
        }
        return Answer::Owned(Arc::clone(owner), is_other);
    }
    Answer::Asked(table.take(at, now, cost, quota))
}

/// Locks, and says whether somebody else had it locked.
#[inline]
fn lock_or_wait<K, C: Clock>(shard: &Mutex<Shard<K, C>>) -> (MutexGuard<'_, Shard<K, C>>, bool) {
    match shard.try_lock() {
        Ok(shard) => (shard, false),
        // A comparison has panicked.
        Err(TryLockError::Poisoned(shard)) => (shard.into_inner(), false),
        Err(TryLockError::WouldBlock) => (lock(shard), true),
    }
}

/// As an error of a limiter.
pub(super) fn refused(now: u64, refusal: Refusal, left: Left, cost: u64) -> TryAcquireError {
    let Left { now: remaining, possible } = left;
    match refusal {
        Refusal::Until(at) => {
            TryAcquireError::Denied { retry_after: time_between(now, at), remaining }
        }
        Refusal::Never => TryAcquireError::Never { cost, possible, remaining },
    }
}
