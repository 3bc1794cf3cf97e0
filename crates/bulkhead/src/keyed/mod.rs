//! One bulkhead for each key.

mod acquire;
mod builder;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
mod permit;
mod table;

pub use self::{
    acquire::KeyedAcquire,
    builder::{DEFAULT_MAX_KEYS, KeyedBulkheadBuilder},
    permit::KeyedPermit,
    table::KeyedStats,
};

use self::table::Table;
use crate::{Ask, Bulkhead, ConfigError, Drained, Entering, Rejected, bulkhead::check_capacity};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};
use tidegate_core::{
    Name,
    sync::{Arc, atomic::Ordering::Acquire},
};

/// Lets in so many of each key at a time: of each client, tenant or backend, say. Clones share one.
///
/// ```
/// use tidegate_bulkhead::{KeyedBulkhead, Rejected};
///
/// let bulkhead = KeyedBulkhead::<u64>::builder(2).max_keys(1).build().unwrap();
/// let permits = [(); 2].map(|()| bulkhead.try_acquire(&7).unwrap());
/// assert!(bulkhead.try_acquire(&7).is_err());
///
/// // There is room for one key, until all permits of it have come back.
/// let error = bulkhead.try_acquire(&8).unwrap_err();
/// assert_eq!(error, Rejected::TooManyKeys { max_keys: 1 });
/// drop(permits);
/// assert!(bulkhead.is_empty());
/// assert!(bulkhead.try_acquire(&8).is_ok());
/// ```
///
/// # Memory
///
/// A key is there for as long as somebody holds permits of it or waits for them. One that nobody uses is
/// the same as one that is not there, and leaves with the last who did: no task has to see to it. There are
/// never more than [`max_keys`](KeyedBulkheadBuilder::max_keys); the size of a key is not bounded, so hash
/// what clients make up.
///
/// # Keys
///
/// Cloning and dropping keys may do anything. Hashing and comparing them happens with a lock held, so that
/// it must not use the same bulkhead.
pub struct KeyedBulkhead<K, S = RandomState> {
    table: Arc<Table<K, S>>,
}

type Joined<K, S> = Entering<KeyedPermit<K, S>, KeyedAcquire<K, S>>;

impl<K: Hash + Eq + Clone> KeyedBulkhead<K> {
    /// A bulkhead of so many permits for each key, to be built.
    pub fn builder(capacity: u32) -> KeyedBulkheadBuilder<K> {
        KeyedBulkheadBuilder::new(Bulkhead::builder(capacity))
    }
}

impl<K, S> KeyedBulkhead<K, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    /// Takes a permit of that key, or none. Does not overtake anybody who waits for the same key.
    ///
    /// # Errors
    ///
    /// If there is none, if others wait, if it was closed, or if the key is new and there is no room for it.
    pub fn try_acquire(&self, key: &K) -> Result<KeyedPermit<K, S>, Rejected> {
        self.try_acquire_many(key, 1)
    }

    /// Takes `n` permits of that key, or none.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and if there are not as many.
    pub fn try_acquire_many(&self, key: &K, n: u32) -> Result<KeyedPermit<K, S>, Rejected> {
        let (bulkhead, user) = self.table.enter(key)?;
        Ok(KeyedPermit::new(bulkhead.try_acquire_many(n)?, user))
    }

    /// Waits for a permit of that key. First come, first served, among those who wait for the same key.
    ///
    /// # Errors
    ///
    /// As [`Bulkhead::acquire`], and at once if the key is new and there is no room for it.
    ///
    /// # Panics
    ///
    /// As [`Bulkhead::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Bulkhead::acquire`]; a key that nobody else uses leaves. Tested by
    /// `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire(&self, key: &K) -> KeyedAcquire<K, S> {
        self.acquire_with(key, Ask::new(1))
    }

    /// The same for `n` permits, and for so long at most.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and if it has not entered in time.
    ///
    /// # Panics
    ///
    /// As [`Bulkhead::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_within(&self, key: &K, n: u32, timeout: Duration) -> KeyedAcquire<K, S> {
        self.acquire_with(key, Ask::new(n).within(timeout))
    }

    /// Waits for what an [`Ask`] says.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    ///
    /// As [`Bulkhead::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_with(&self, key: &K, ask: Ask) -> KeyedAcquire<K, S> {
        match self.table.enter(key) {
            Ok((bulkhead, user)) => KeyedAcquire::waits(bulkhead.acquire_with(ask), user),
            Err(rejected) => KeyedAcquire::rejected(rejected),
        }
    }

    /// Takes permits, or a place in the line before the first poll.
    #[track_caller]
    pub(crate) fn join(&self, key: &K, ask: Ask) -> Result<Joined<K, S>, Rejected> {
        let (bulkhead, user) = self.table.enter(key)?;
        Ok(match bulkhead.join(ask)? {
            Entering::Now(permit) => Entering::Now(KeyedPermit::new(permit, user)),
            Entering::Waits(acquire) => Entering::Waits(KeyedAcquire::waits(acquire, user)),
        })
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedBulkhead<K, S> {
    /// Asks [`capacity_for`](KeyedBulkheadBuilder::capacity_for) again about a key, once that says something else:
    /// as [`Bulkhead::resize`], at once and for all who wait. False, if the key is not in use, and will be asked for
    /// when it is.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tidegate_bulkhead::KeyedBulkhead;
    ///
    /// let quota = Arc::new(Mutex::new(1));
    /// let says = Arc::clone(&quota);
    /// let builder = KeyedBulkhead::<u64>::builder(1).capacity_for(move |_| *says.lock().unwrap());
    /// let tenants = builder.build().unwrap();
    /// let permit = tenants.try_acquire(&7).unwrap();
    /// *quota.lock().unwrap() = 2;
    /// assert!(tenants.refresh(&7).unwrap());
    /// assert!(tenants.try_acquire(&7).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If a [limit](crate::BulkheadBuilder::limit) says how many there are.
    pub fn refresh(&self, key: &K) -> Result<bool, ConfigError> {
        self.table.check_fixed()?;
        Ok(self.table.refresh(key))
    }
}

impl<K, S> KeyedBulkhead<K, S> {
    /// Changes how many permits each key has, those in use and those to come: as [`Bulkhead::resize`], at once and
    /// for all who wait. Takes time in proportion to the keys that are in use.
    ///
    /// # Errors
    ///
    /// If nothing would ever enter, if it is too many, if keys have [capacities of their
    /// own](KeyedBulkheadBuilder::capacity_for), which [`refresh`](Self::refresh) is for, or if a
    /// [limit](crate::BulkheadBuilder::limit) says how many there are; then nothing has changed.
    pub fn resize(&self, capacity: u32) -> Result<(), ConfigError> {
        check_capacity(capacity)?;
        self.table.check_fixed()?;
        if self.table.capacity_for.is_some() {
            return Err(ConfigError::CapacityByKey);
        }
        self.table.resize(capacity);
        Ok(())
    }

    /// Lets nobody in any more, for any key. Who waits fails; permits that are out stay valid, and
    /// [`drained`](Self::drained) waits for them. Closing again does nothing.
    pub fn close(&self) {
        self.table.close();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.table.is_closed.load(Acquire)
    }

    /// Waits until no key is in use, if only for a moment: nothing is out, and nobody waits. [Close](Self::close) it
    /// first for it to stay so.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing. Tested by
    /// `waiting_for_all_keys_to_drain_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn drained(&self) -> Drained
    where
        K: Send + 'static,
        S: Send + Sync + 'static,
    {
        Drained::new(Arc::clone(&self.table), &self.table.face.resource)
    }

    /// How many keys are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key is in use: nothing is out, and nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it stands. Takes time in proportion to the keys that are in use.
    #[must_use]
    pub fn stats(&self) -> KeyedStats {
        self.table.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.table.name()
    }
}

impl<K, S> Clone for KeyedBulkhead<K, S> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<K, S> fmt::Debug for KeyedBulkhead<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBulkhead")
            .field("name", self.name())
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}
