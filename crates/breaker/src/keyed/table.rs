//! A bounded table of breakers, which gives the places of healthy ones to new keys.

use crate::{breaker::Shared, clock::Clock};
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// So many are looked at for one that can go.
const SEARCH: usize = 64;

/// The second-chance ("clock") algorithm: a hand goes round, and takes the first that can go and was not asked for
/// since the hand was there last (Corbató, *A Paging Experiment with the Multics System*, 1968).
pub(super) struct Table<K, C: Clock> {
    index: HashMap<Arc<K>, usize>,
    slots: Vec<Slot<K, C>>,
    most: usize,
    hand: usize,
    /// So long a key that is not healthy is kept if nobody asks for it, in nanoseconds.
    forget_after: u64,
}

struct Slot<K, C: Clock> {
    key: Arc<K>,
    shared: Arc<Shared<C>>,
    is_recent: bool,
    /// When it was asked for last.
    asked: u64,
}

/// What has become of a key.
pub(super) enum Found<C: Clock> {
    /// Another caller was faster.
    Is(Arc<Shared<C>>),
    /// It has a place.
    Made(Arc<Shared<C>>),
    NoPlace,
}

/// Foreign data that is dropped when the lock is released.
#[must_use = "it is dropped without the lock"]
pub(super) struct Left<K, C: Clock> {
    #[expect(dead_code, reason = "it is dropped, and nothing else")]
    keys: [Option<Arc<K>>; 2],
    #[expect(dead_code, reason = "it is dropped, and nothing else")]
    shared: Option<Arc<Shared<C>>>,
    pub(super) is_evicted: bool,
}

/// What was found for a key.
pub(super) enum Place<C: Clock> {
    /// It has one.
    Has(Arc<Shared<C>>),
    /// There is one that it can have.
    Free,
    No,
}

impl<K, C: Clock> Table<K, C> {
    pub(super) fn new(most: usize, forget_after: u64) -> Self {
        Self { index: HashMap::new(), slots: Vec::new(), most, hand: 0, forget_after }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

impl<K: Hash + Eq, C: Clock> Table<K, C> {
    pub(super) fn get(&mut self, key: &K, now: u64) -> Option<Arc<Shared<C>>> {
        let slot = &mut self.slots[*self.index.get(key)?];
        (slot.is_recent, slot.asked) = (true, slot.asked.max(now));
        Some(Arc::clone(&slot.shared))
    }

    /// Looks for a place: so that nothing is made for a key that gets none.
    pub(super) fn look(&mut self, key: &K, now: u64) -> Place<C> {
        if let Some(is) = self.get(key, now) {
            return Place::Has(is);
        }
        if self.slots.len() < self.most {
            return Place::Free;
        }
        let Some(at) = self.search(now) else { return Place::No };
        // Who comes back with a breaker finds it there, unless somebody was faster.
        self.hand = at;
        Place::Free
    }

    /// Gives the key a place, if there is one.
    pub(super) fn add(
        &mut self,
        key: Arc<K>,
        shared: Arc<Shared<C>>,
        now: u64,
    ) -> (Found<C>, Left<K, C>) {
        if let Some(is) = self.get(&key, now) {
            return (Found::Is(is), Left::new([Some(key), None], Some(shared), false));
        }
        let made = Arc::clone(&shared);
        let slot = Slot { key: Arc::clone(&key), shared, is_recent: false, asked: now };
        if self.slots.len() < self.most {
            self.index.insert(key, self.slots.len());
            self.slots.push(slot);
            return (Found::Made(made), Left::new([None, None], None, false));
        }
        let Some(at) = self.search(now) else {
            return (
                Found::NoPlace,
                Left::new([Some(key), Some(slot.key)], Some(slot.shared), false),
            );
        };
        // First, as it compares keys, and they may panic.
        let indexed = self.index.remove_entry(&self.slots[at].key).map(|entry| entry.0);
        let old = std::mem::replace(&mut self.slots[at], slot);
        self.index.insert(key, at);
        (Found::Made(made), Left::new([Some(old.key), indexed], Some(old.shared), true))
    }

    /// Takes the place of the key away.
    pub(super) fn remove(&mut self, key: &K) -> Option<Left<K, C>> {
        // First what compares keys, as they may panic.
        let at = *self.index.get(key)?;
        let last = self.slots.len() - 1;
        if at != last {
            *self.index.get_mut(&self.slots[last].key)? = at;
        }
        let indexed = self.index.remove_entry(key).map(|entry| entry.0);
        let old = self.slots.swap_remove(at);
        if self.hand >= self.slots.len() {
            self.hand = 0;
        }
        Some(Left::new([Some(old.key), indexed], Some(old.shared), false))
    }

    /// Which one can go: if possible, one that was not asked for since; and if none of them is healthy, one that
    /// nobody has asked for in a long time. The hand stops behind it, or where it has seen enough.
    fn search(&mut self, now: u64) -> Option<usize> {
        let count = self.slots.len();
        let (mut second, mut third) = (None, None);
        for _ in 0..SEARCH.min(count) {
            let at = self.hand;
            self.hand = (at + 1) % count;
            let slot = &mut self.slots[at];
            let was_recent = std::mem::take(&mut slot.is_recent);
            // Nobody else has it, and who wants it needs the lock.
            if (was_recent && second.is_some()) || Arc::strong_count(&slot.shared) != 1 {
                continue;
            }
            if slot.shared.is_healthy() {
                if !was_recent {
                    return Some(at);
                }
                second = Some(at);
            } else if third.is_none() {
                let since = now.checked_sub(self.forget_after);
                let is_old = |since: &u64| slot.asked <= *since && slot.shared.is_forgotten(*since);
                third = since.filter(is_old).map(|_| at);
            }
        }
        second.or(third)
    }
}

impl<K, C: Clock> Left<K, C> {
    fn new(keys: [Option<Arc<K>>; 2], shared: Option<Arc<Shared<C>>>, is_evicted: bool) -> Self {
        Self { keys, shared, is_evicted }
    }
}
