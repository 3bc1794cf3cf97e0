//! The keys that are in use, and their bulkheads.

use crate::{
    Bulkhead, ConfigError, Rejected, TryAcquireError,
    bulkhead::Face,
    drains::{Drains, Empties},
};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash},
    task::Waker,
};
use tidegate_core::{
    Name,
    panic::wake_quietly,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        },
        lock,
    },
};

/// A power of two.
pub(super) const SHARDS: usize = 16;

/// A power of two.
const SLOTS: usize = 64;

type Capacity<K> = Box<dyn Fn(&K) -> u32 + Send + Sync>;

pub(super) struct Table<K, S> {
    pub(super) shards: Vec<Mutex<Shard<K, S>>>,
    pub(super) hasher: S,
    /// How many keys there are. Changed with the lock of a shard held.
    pub(super) keys: AtomicUsize,
    pub(super) max_keys: usize,
    pub(super) is_closed: AtomicBool,
    /// Of each key, unless each has its own.
    pub(super) capacity: AtomicU32,
    pub(super) drains: Mutex<Drains>,
    /// Whether anybody waits there.
    pub(super) is_awaited: AtomicBool,
    pub(super) face: Arc<Face>,
    pub(super) capacity_for: Option<Capacity<K>>,
}

/// A part of the keys.
pub(super) struct Shard<K, S> {
    keys: HashMap<K, InUse, S>,
    /// How often keys were refreshed, by further bits of their hashes: who asks for the capacity of a key that is to be
    /// put here sees whether it is the last one, and is not held up by the changes of others.
    refreshed: [u32; SLOTS],
}

/// A key for as long as somebody uses it.
pub(super) struct InUse {
    bulkhead: Bulkhead,
    /// Who holds permits, waits for them, or is about to ask.
    users: usize,
}

/// How a keyed bulkhead stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// How many keys are in use.
    pub keys: usize,
    /// How many there may be.
    pub max_keys: usize,
    /// How many permits are in use, of all keys.
    pub in_use: u64,
    /// How many wait, for all keys.
    pub waiting: usize,
}

impl<K, S> Shard<K, S> {
    pub(super) fn new(hasher: S) -> Self {
        Self { keys: HashMap::with_hasher(hasher), refreshed: [0; SLOTS] }
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Table<K, S> {
    fn place_of(&self, key: &K) -> (&Mutex<Shard<K, S>>, usize) {
        let (shard, slot) = place_of(&self.hasher, key);
        (&self.shards[shard], slot)
    }

    /// The bulkhead of a key, which stays for as long as it has users.
    pub(super) fn enter(self: &Arc<Self>, key: &K) -> Result<(Bulkhead, User<K, S>), Rejected> {
        // Cloned before the lock, since that may do anything.
        let mine = key.clone();
        let bulkhead = self.found_or_new(key)?;
        Ok((bulkhead, User { table: Arc::clone(self), key: mine }))
    }

    /// Counts a user of the key, and so nothing foreign may follow.
    fn found_or_new(&self, key: &K) -> Result<Bulkhead, Rejected> {
        let (shard, slot) = self.place_of(key);
        let too_many = || Rejected::TooManyKeys { max_keys: self.max_keys };
        loop {
            let refreshed = {
                let mut shard = lock(shard);
                if let Some(in_use) = shard.keys.get_mut(key) {
                    return Ok(in_use.enter());
                }
                shard.refreshed[slot]
            };
            if self.is_closed.load(SeqCst) {
                return Err(TryAcquireError::Closed.into());
            }
            if self.keys.load(Acquire) >= self.max_keys {
                // The last of them may be this one, by somebody who was faster.
                return lock(shard).keys.get_mut(key).map(InUse::enter).ok_or_else(too_many);
            }
            // Whatever the closure does, and if it panics, there is no key yet.
            let capacity = self.capacity_of(key);
            let new = Bulkhead::of(Arc::clone(&self.face), Some(capacity));
            let kept = key.clone();
            // Who closes all, or changes a capacity, says so before it looks for keys here: either it finds this one,
            // or this sees what it has said.
            let reserve = |keys: usize| (keys < self.max_keys).then_some(keys + 1);
            let mut shard = lock(shard);
            let is_old = shard.refreshed[slot] != refreshed || !self.is_capacity(capacity);
            let (entered, unused) = if let Some(in_use) = shard.keys.get_mut(key) {
                (Some(Ok(in_use.enter())), Some((new, kept)))
            } else if is_old || self.is_closed.load(SeqCst) {
                (None, Some((new, kept)))
            } else if self.keys.fetch_update(AcqRel, Acquire, reserve).is_ok() {
                // With the lock held, so that whoever finds no room for a key finds the key, if it is there.
                shard.keys.insert(kept, InUse { bulkhead: new.clone(), users: 1 });
                (Some(Ok(new)), None)
            } else {
                (Some(Err(too_many())), Some((new, kept)))
            };
            drop(shard);
            drop(unused);
            if let Some(entered) = entered {
                return entered;
            }
        }
    }

    /// Asks again how many permits a key has; false, if it is not in use.
    pub(super) fn refresh(&self, key: &K) -> bool {
        let (shard, slot) = self.place_of(key);
        let (mut then, bulkhead) = {
            let mut shard = lock(shard);
            shard.refreshed[slot] = shard.refreshed[slot].wrapping_add(1);
            let Some(in_use) = shard.keys.get(key) else { return false };
            (shard.refreshed[slot], in_use.bulkhead.clone())
        };
        loop {
            let capacity = self.capacity_of(key);
            bulkhead.resize_to(|| capacity);
            // What changes while it is asked for is asked for again: nobody comes last with an old one.
            let now = lock(shard).refreshed[slot];
            if now == then {
                return true;
            }
            then = now;
        }
    }

    fn capacity_of(&self, key: &K) -> u32 {
        match &self.capacity_for {
            None => self.capacity.load(Acquire),
            Some(capacity_for) => capacity_for(key),
        }
    }

    /// Whether it is still what all keys have, if they do.
    fn is_capacity(&self, capacity: u32) -> bool {
        self.capacity_for.is_some() || self.capacity.load(Acquire) == capacity
    }
}

impl<K, S> Table<K, S> {
    /// Gives all keys another capacity, those that are in use and those to come.
    pub(super) fn resize(&self, capacity: u32) {
        self.capacity.store(capacity, Release);
        for bulkhead in self.bulkheads() {
            // That of another one who has come later, if there is one.
            bulkhead.resize_to(|| self.capacity.load(Acquire));
        }
    }

    /// No limit would change what it is told.
    pub(super) fn check_fixed(&self) -> Result<(), ConfigError> {
        if self.face.limit.is_some() { Err(ConfigError::Adapts) } else { Ok(()) }
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, SeqCst);
        for bulkhead in self.bulkheads() {
            bulkhead.close();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.load(Relaxed)
    }

    pub(super) fn name(&self) -> &Name {
        &self.face.name
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let mut stats =
            KeyedStats { keys: self.len(), max_keys: self.max_keys, ..KeyedStats::default() };
        for bulkhead in self.bulkheads() {
            let one = bulkhead.stats();
            stats.in_use += u64::from(one.in_use);
            stats.waiting += one.waiting;
        }
        stats
    }

    /// The last key has left.
    fn end_drains(&self) {
        let mut wakers = Vec::new();
        let mut drains = lock(&self.drains);
        // Another one may be there by now, and those who wait may have come after it: it ends them when it leaves.
        if self.keys.load(Acquire) > 0 {
            return;
        }
        self.is_awaited.store(false, Release);
        drains.end(|waker| wakers.push(waker));
        drop(drains);
        wakers.into_iter().for_each(wake_quietly);
    }

    fn bulkheads(&self) -> Vec<Bulkhead> {
        let all = |shard: &Mutex<Shard<K, S>>| {
            lock(shard).keys.values().map(|in_use| in_use.bulkhead.clone()).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(all).collect()
    }
}

impl<K: Send, S: Send + Sync> Empties for Arc<Table<K, S>> {
    fn join(&self, waker: Waker) -> Result<usize, Waker> {
        let mut drains = lock(&self.drains);
        self.is_awaited.store(true, Release);
        // Who has left a shard by now is seen below, and whoever leaves it from now on sees that it is awaited.
        self.shards.iter().for_each(|shard| drop(lock(shard)));
        if self.keys.load(Acquire) > 0 {
            return Ok(drains.join(waker));
        }
        self.is_awaited.store(drains.are_awaited(), Release);
        Err(waker)
    }

    fn look(&self, key: usize, waker: Waker) -> (bool, Waker) {
        lock(&self.drains).look(key, waker)
    }

    fn forget(&self, key: usize) -> Option<Waker> {
        lock(&self.drains).forget(key)
    }
}

impl InUse {
    fn enter(&mut self) -> Bulkhead {
        self.users += 1;
        self.bulkhead.clone()
    }
}

/// The shard of a key, and its slot there: not by the bits that the map itself goes by.
fn place_of<K: Hash, S: BuildHasher>(hasher: &S, key: &K) -> (usize, usize) {
    let hash = hasher.hash_one(key) >> 40;
    (hash as usize % SHARDS, hash as usize / SHARDS % SLOTS)
}

/// Somebody who uses a key.
pub(super) struct User<K: Hash + Eq, S: BuildHasher> {
    table: Arc<Table<K, S>>,
    key: K,
}

impl<K: Hash + Eq, S: BuildHasher> User<K, S> {
    pub(super) fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq, S: BuildHasher> Drop for User<K, S> {
    fn drop(&mut self) {
        let Self { table, key } = self;
        let mut shard = lock(&table.shards[place_of(&table.hasher, key).0]);
        let Some(in_use) = shard.keys.get_mut(key) else { return };
        in_use.users -= 1;
        if in_use.users == 0 {
            let gone = shard.keys.remove_entry(key);
            let is_last = table.keys.fetch_sub(1, AcqRel) == 1;
            drop(shard);
            if is_last && table.is_awaited.load(Acquire) {
                table.end_drains();
            }
            // A key of somebody else's, and so not under the lock.
            drop(gone);
        }
    }
}

impl<K, S> fmt::Debug for Table<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("keys", &self.len()).finish_non_exhaustive()
    }
}
