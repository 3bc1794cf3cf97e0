//! The keys that an instance knows of: as many as it may, and no more.

use super::{entry::Entry, terms::Terms};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};
use tidegate_core::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
    lock,
};

/// As many locks, so that threads that ask for different keys seldom meet.
const SHARDS: usize = 16;

/// A bounded table of keys. Where it is full, those go first with which nothing is lost, then any that
/// nobody uses, of which the tokens in hand are to be given back.
pub(super) struct Table<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    hasher: RandomState,
    /// Keys per shard.
    most: usize,
    /// When all shares are full that keys have spent of, while the store was down, which had to go.
    forgotten: AtomicU64,
}

type Shard<T> = HashMap<Arc<str>, Arc<Entry<T>>>;

impl<T: Send + 'static> Table<T> {
    pub(super) fn new(max_keys: usize) -> Self {
        let count = SHARDS.min(max_keys);
        let shards = (0..count).map(|_| Mutex::new(HashMap::new())).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            most: max_keys / count,
            forgotten: AtomicU64::new(0),
        }
    }

    /// The entry of a key; a new one, if there is none. Where all that are there are in use, a new one is
    /// not kept: it works, on its own, as long as the store does, and as long as somebody asks. A key that had to go and is back, or any
    /// other that is new, has no more of a share than what has come back by now. And the keys that had to go,
    /// with what the store has for them under way.
    pub(super) fn get(
        &self,
        key: &str,
        new: impl FnOnce() -> (Arc<Terms>, u64),
        now: u64,
    ) -> (Arc<Entry<T>>, Vec<Arc<Entry<T>>>) {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash >> 32).unwrap_or(0);
        let mut shard = lock(&self.shards[place % self.shards.len()]);
        if let Some(entry) = shard.get(key) {
            return (Arc::clone(entry), Vec::new());
        }
        let evicted =
            if shard.len() >= self.most { self.make_room(&mut shard, now) } else { Vec::new() };
        let key: Arc<str> = Arc::from(key);
        let is_kept = shard.len() < self.most;
        // Otherwise each request would find its share full.
        let forgotten = if is_kept { self.forgotten.load(Relaxed) } else { u64::MAX };
        let entry = Entry::new(Arc::clone(&key), is_kept, new(), forgotten, hash);
        if is_kept {
            shard.insert(key, Arc::clone(&entry));
        }
        drop(shard);
        (entry, evicted)
    }

    /// An eighth at once, so that a flood of new keys looks at each of them eight times, not more.
    fn make_room(&self, shard: &mut Shard<T>, now: u64) -> Vec<Arc<Entry<T>>> {
        let mut dropped: Vec<_> =
            shard.extract_if_unused(|entry| lock(&entry.state).account.is_blank(now), usize::MAX);
        let goal = self.most - self.most.div_ceil(8);
        let more = shard.len().saturating_sub(goal);
        let held = shard.extract_if_unused(|_| true, more);
        for entry in &held {
            let state = lock(&entry.state);
            self.forgotten.fetch_max(state.account.share_is_full_at(), Relaxed);
        }
        dropped.extend(held);
        dropped
    }

    /// All keys.
    pub(super) fn all(&self) -> Vec<Arc<Entry<T>>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

/// What `extract_if` of newer compilers does, for those that nobody holds.
trait ExtractUnused<T> {
    fn extract_if_unused(
        &mut self,
        suits: impl FnMut(&Entry<T>) -> bool,
        most: usize,
    ) -> Vec<Arc<Entry<T>>>;
}

impl<T> ExtractUnused<T> for Shard<T> {
    fn extract_if_unused(
        &mut self,
        mut suits: impl FnMut(&Entry<T>) -> bool,
        most: usize,
    ) -> Vec<Arc<Entry<T>>> {
        let mut extracted = Vec::new();
        self.retain(|_, entry| {
            // Under the lock of the shard, nobody can begin to hold it.
            let goes = extracted.len() < most && Arc::strong_count(entry) == 1 && suits(entry);
            if goes {
                extracted.push(Arc::clone(entry));
            }
            !goes
        });
        extracted
    }
}
