//! The bulkhead of each key.

use super::{Enter, Entering, Rejected};
use crate::{Ask, KeyedAcquire, KeyedBulkhead, KeyedPermit};
use std::hash::{BuildHasher, Hash};

impl<K, S> Enter<K> for KeyedBulkhead<K, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher + Clone,
{
    type Permit = KeyedPermit<K, S>;
    type Waiting = KeyedAcquire<K, S>;

    fn try_enter(&self, key: K, weight: u32) -> Result<KeyedPermit<K, S>, Rejected> {
        self.try_acquire_many(&key, weight)
    }

    fn enter(
        &self,
        key: K,
        ask: Ask,
    ) -> Result<Entering<KeyedPermit<K, S>, KeyedAcquire<K, S>>, Rejected> {
        self.join(&key, ask)
    }
}
