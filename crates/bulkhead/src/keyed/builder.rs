//! Building a [`KeyedBulkhead`].

use super::{
    KeyedBulkhead,
    table::{SHARDS, Shard, Table},
};
use crate::{BulkheadBuilder, ConfigError};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{OnceLock, Weak},
};
use tidegate_core::{
    inspect::Resource,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize},
    },
};

/// How many keys there may be, unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 65_536;

type Capacity<K> = Box<dyn Fn(&K) -> u32 + Send + Sync>;

/// Builds a [`KeyedBulkhead`]: by [`KeyedBulkhead::builder`].
#[must_use = "a bulkhead is made by `build`"]
pub struct KeyedBulkheadBuilder<K, S = RandomState> {
    each: BulkheadBuilder,
    capacity_for: Option<Capacity<K>>,
    max_keys: usize,
    hasher: S,
}

impl<K> KeyedBulkheadBuilder<K> {
    pub(super) fn new(each: BulkheadBuilder) -> Self {
        let each = each.name("keyed bulkhead");
        Self { each, capacity_for: None, max_keys: DEFAULT_MAX_KEYS, hasher: RandomState::new() }
    }
}

impl<K, S> KeyedBulkheadBuilder<K, S> {
    /// All else that is the same for each key: name, lines, waits, priorities, observer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_bulkhead::KeyedBulkhead;
    ///
    /// let bulkhead = KeyedBulkhead::<String>::builder(2)
    ///     .each(|each| each.name("tenants").max_waiting(10).max_wait(Duration::from_secs(1)))
    ///     .build()
    ///     .unwrap();
    /// # drop(bulkhead);
    /// ```
    pub fn each(mut self, each: impl FnOnce(BulkheadBuilder) -> BulkheadBuilder) -> Self {
        self.each = each(self.each);
        self
    }

    /// How many permits a key has, in place of the same for all; asked whenever a key comes into use, and when it is
    /// [refreshed](KeyedBulkhead::refresh). Nothing enters for a key of none, and every request for it is one that
    /// is too large.
    pub fn capacity_for(mut self, capacity: impl Fn(&K) -> u32 + Send + Sync + 'static) -> Self {
        self.capacity_for = Some(Box::new(capacity));
        self
    }

    /// How many keys there may be in use at a time; 65 536 by default.
    pub fn max_keys(mut self, max: usize) -> Self {
        self.max_keys = max;
        self
    }

    /// What hashes keys; the standard library's by default, which withstands keys that are made up.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> KeyedBulkheadBuilder<K, T> {
        let Self { each, capacity_for, max_keys, hasher: _ } = self;
        KeyedBulkheadBuilder { each, capacity_for, max_keys, hasher }
    }
}

impl<K, S> KeyedBulkheadBuilder<K, S>
where
    K: Hash + Eq + Clone + Send + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Builds it, without a key.
    ///
    /// # Errors
    ///
    /// As [`BulkheadBuilder::build`], and if no key would have room.
    #[track_caller]
    pub fn build(self) -> Result<KeyedBulkhead<K, S>, ConfigError> {
        let Self { each, capacity_for, max_keys, hasher } = self;
        let rules = each.rules()?;
        if max_keys == 0 {
            return Err(ConfigError::ZeroKeys);
        }
        let me = Arc::new(OnceLock::<Weak<Table<K, S>>>::new());
        let seen = Arc::clone(&me);
        let resource = Resource::with_details("bulkhead", each.name_of().clone(), move || {
            let Some(table) = seen.get().and_then(Weak::upgrade) else { return Vec::new() };
            let stats = table.stats();
            vec![
                ("keys", stats.keys.to_string()),
                ("in use", stats.in_use.to_string()),
                ("waiting", stats.waiting.to_string()),
            ]
        });
        let holders = each.holders();
        let table = Arc::new(Table {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(hasher.clone()))).collect(),
            hasher,
            keys: AtomicUsize::new(0),
            max_keys,
            is_closed: AtomicBool::new(false),
            capacity: AtomicU32::new(rules.capacity),
            drains: Mutex::default(),
            is_awaited: AtomicBool::new(false),
            face: each.face(rules, holders, resource),
            capacity_for,
        });
        // It is the first to be put there.
        let _ = me.set(Arc::downgrade(&table));
        Ok(KeyedBulkhead { table })
    }
}

impl<K, S> fmt::Debug for KeyedBulkheadBuilder<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBulkheadBuilder")
            .field("each", &self.each)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
