//! The limiter of each key.

use super::{Admit, Denied};
use crate::{Clock, KeyedLimiter};
use std::hash::{BuildHasher, Hash};

impl<K, C, S> Admit<K> for KeyedLimiter<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn admit(&self, key: K, cost: u64) -> Result<(), Denied> {
        self.try_acquire(&key, cost)?;
        Ok(())
    }
}
