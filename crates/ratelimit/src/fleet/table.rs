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

type Entries<T> = HashMap<Arc<str>, Arc<Entry<T>>>;

struct Shard<T> {
    entries: Entries<T>,
    /// So many new keys find no room before it is looked for again, as there was little when it was.
    skips: usize,
    /// How many entries were looked at for room.
    #[cfg(test)]
    looked_at: usize,
}

impl<T> Shard<T> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            skips: 0,
            #[cfg(test)]
            looked_at: 0,
        }
    }
}

impl<T: Send + 'static> Table<T> {
    pub(super) fn new(max_keys: usize) -> Self {
        let count = SHARDS.min(max_keys);
        let shards = (0..count).map(|_| Mutex::new(Shard::new())).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            most: max_keys / count,
            forgotten: AtomicU64::new(0),
        }
    }

    /// The entry of a key; a new one, if there is none. Where all that are there are in use, a new one is
    /// not kept: it works, on its own, as long as the store does, and as long as somebody asks. A key that had
    /// to go and is back, or any other that is new, has no more of a share than what has come back by now. And
    /// the keys that had to go, with what the store has for them under way. `new` is asked with the lock held.
    pub(super) fn get(
        &self,
        key: &str,
        new: impl FnOnce() -> (Arc<Terms>, u64),
        now: u64,
    ) -> (Arc<Entry<T>>, Vec<Arc<Entry<T>>>) {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash >> 32).unwrap_or(0);
        let mut shard = lock(&self.shards[place % self.shards.len()]);
        if let Some(entry) = shard.entries.get(key) {
            return (Arc::clone(entry), Vec::new());
        }
        let is_full = shard.entries.len() >= self.most;
        let evicted = if is_full { self.make_room(&mut shard, now) } else { Vec::new() };
        let key: Arc<str> = Arc::from(key);
        let is_kept = shard.entries.len() < self.most;
        // Otherwise each request would find its share full.
        let forgotten = if is_kept { self.forgotten.load(Relaxed) } else { u64::MAX };
        let entry = Entry::new(Arc::clone(&key), is_kept, new(), forgotten, hash);
        if is_kept {
            shard.entries.insert(key, Arc::clone(&entry));
        }
        drop(shard);
        (entry, evicted)
    }

    /// An eighth at once, so that as many new keys as there are in the table go through it eight times, not more.
    /// If fewer can go, as the others are in use, the rest of an eighth finds no room without a look.
    fn make_room(&self, shard: &mut Shard<T>, now: u64) -> Vec<Arc<Entry<T>>> {
        if let Some(skips) = shard.skips.checked_sub(1) {
            shard.skips = skips;
            return Vec::new();
        }
        let eighth = self.most.div_ceil(8);
        #[cfg(test)]
        {
            shard.looked_at += shard.entries.len();
        }
        let entries = &mut shard.entries;
        let mut dropped =
            entries.extract_if_unused(|entry| lock(&entry.state).account.is_blank(now), usize::MAX);
        let goal = self.most - eighth;
        let more = entries.len().saturating_sub(goal);
        let held = entries.extract_if_unused(|_| true, more);
        for entry in &held {
            let state = lock(&entry.state);
            self.forgotten.fetch_max(state.account.share_is_full_at(), Relaxed);
        }
        dropped.extend(held);
        // With the one that has looked.
        shard.skips = eighth.saturating_sub(dropped.len().max(1));
        dropped
    }

    /// All keys.
    pub(super) fn all(&self) -> Vec<Arc<Entry<T>>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).entries.values().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
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

impl<T> ExtractUnused<T> for Entries<T> {
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

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

    use super::super::{FleetLimiter, MemoryStore};
    use super::*;
    use crate::{Quota, Rate};

    #[tokio::test(start_paused = true)]
    #[cfg_attr(miri, ignore = "thousands of requests take minutes there")]
    async fn new_keys_look_at_each_eight_times_though_all_are_in_use() {
        const KEYS: usize = 16 * 32;
        let quota = Quota::new(Rate::per_day(1), 10);
        let limiter = FleetLimiter::builder(MemoryStore::new(100_000), quota).max_keys(KEYS);
        let limiter = limiter.build().unwrap();
        let looked_at = || {
            let shards = limiter.inner.table.shards.iter();
            shards.map(|shard| lock(shard).looked_at).sum::<usize>()
        };
        let mut permits = Vec::new();
        // Some shards are full before others: all are after four times as many.
        for key in 0..KEYS * 4 {
            permits.push(limiter.try_acquire(&key.to_string(), 1).await.unwrap());
        }
        assert_eq!(limiter.stats().keys, KEYS);
        let before = looked_at();
        for key in 0..KEYS {
            limiter.try_acquire(&format!("new {key}"), 1).await.unwrap();
        }
        let looks = looked_at() - before;
        assert!((KEYS * 7..=KEYS * 9).contains(&looks), "{looks} looks at {KEYS} keys");
        // There is room again before long, for those that are not pushed out by others.
        drop(permits);
        for key in 0..KEYS {
            limiter.try_acquire(&format!("next {key}"), 1).await.unwrap();
        }
        let all = limiter.inner.table.all();
        let kept = all.iter().filter(|entry| entry.key.starts_with("next")).count();
        assert!(kept > KEYS / 4, "{kept}");
    }
}
