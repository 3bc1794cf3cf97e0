//! A breaker for each key.

mod builder;
mod table;

pub use self::builder::{DEFAULT_FORGET_AFTER, DEFAULT_MAX_KEYS, KeyedBreakerBuilder};

use self::table::{Found, Place, Table};
use crate::{
    Breaker, Event,
    breaker::{Observer, Shared},
    clock::{Clock, TokioClock},
    state::Settings,
};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, OnceLock},
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{
        Mutex, lock,
        unmodelled::{AtomicU64, Ordering::Relaxed},
    },
};

type Hear<K> = dyn Fn(Option<&K>, &Event) + Send + Sync;

/// A breaker for each key, such as a backend or a tenant: made when the key is asked for first, of the same
/// settings. Clones share all of them.
///
/// At most [`max_keys`](KeyedBreakerBuilder::max_keys) are kept. When there are as many, a new key takes the place
/// of one that is closed, has nothing bad in its window, is not in use, and was not asked for lately: all that is
/// lost is a run of good results. A breaker that is open or has seen a failure is forgotten for another only where there is
/// no such one, nobody has called it for [`forget_after`](KeyedBreakerBuilder::forget_after), and its wait is
/// over; one that is told what to do never is, unless it is [removed](Self::remove). Where no place is found, the keys without one share a breaker, the
/// [overflow](Self::overflow), until there is: so the memory is bounded, and no call is unguarded. A search looks at
/// 64 keys at most, and no task cleans up.
///
/// ```
/// use tidegate_breaker::{KeyedBreaker, Settings, State, Trip};
///
/// let settings = Settings::new().trip(Trip::consecutive_failures(2));
/// let backends = KeyedBreaker::<u32>::builder("backends").settings(settings).build().unwrap();
/// for _ in 0..2 {
///     backends.breaker(&1).try_enter().unwrap().failure();
/// }
/// assert!(backends.breaker(&1).try_enter().is_err());
/// assert!(backends.breaker(&2).try_enter().is_ok());
/// ```
pub struct KeyedBreaker<K, C: Clock = TokioClock> {
    inner: Arc<Inner<K, C>>,
}

struct Inner<K, C: Clock> {
    shards: Box<[Mutex<Table<K, C>>]>,
    hasher: RandomState,
    overflow: Breaker<C>,
    settings: Settings,
    name: Name,
    clock: C,
    hear: Option<Arc<Hear<K>>>,
    max_keys: usize,
    evicted: AtomicU64,
    overflowed: AtomicU64,
    resource: OnceLock<Resource>,
}

/// How a registry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// How many keys have a breaker.
    pub keys: usize,
    /// How many may have one.
    pub max_keys: usize,
    /// How many have lost theirs to another key.
    pub evicted: u64,
    /// How many times a key without a breaker was asked for, and there was no place for one.
    pub overflowed: u64,
}

impl<K> KeyedBreaker<K> {
    /// A registry on tokio's clock, to be built, with the name that [inspection](tidegate_core::inspect) and events
    /// know all its breakers by.
    pub fn builder(name: impl Into<Name>) -> KeyedBreakerBuilder<K> {
        KeyedBreakerBuilder::new(name.into())
    }
}

impl<K: Hash + Eq, C: Clock> KeyedBreaker<K, C> {
    /// The breaker of a key; one that is new if it has none, or the [overflow](Self::overflow) if there is no place.
    ///
    /// It may be kept: its key has a place for as long as it is.
    pub fn breaker(&self, key: &K) -> Breaker<C>
    where
        K: Clone + Send + Sync + 'static,
        C: Clone,
    {
        self.get(key).unwrap_or_else(|| self.inner.add(key))
    }

    /// The breaker of a key, if it has one.
    pub fn get(&self, key: &K) -> Option<Breaker<C>> {
        let now = self.inner.clock.now();
        lock(self.inner.shard(key)).get(key, now).map(Breaker::of)
    }

    /// Forgets a key, whatever its breaker knows, and gives its place back; whether it had one.
    ///
    /// Who has the breaker keeps it, but it is nobody else's any more: the key has a new one when it is asked for next.
    pub fn remove(&self, key: &K) -> bool {
        let left = lock(self.inner.shard(key)).remove(key);
        left.is_some()
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> KeyedStats {
        self.inner.stats()
    }

    /// What the keys share that have no breaker of their own.
    #[must_use]
    pub fn overflow(&self) -> &Breaker<C> {
        &self.inner.overflow
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }
}

impl<K: Hash + Eq, C: Clock> Inner<K, C> {
    fn shard(&self, key: &K) -> &Mutex<Table<K, C>> {
        // The tables hash by keys of their own.
        let at = self.hasher.hash_one(key) % self.shards.len() as u64;
        &self.shards[usize::try_from(at).expect("less than there are")]
    }

    /// Makes nothing before there is a place; and what is foreign, keys, clocks and observers, without the lock.
    #[cold]
    fn add(&self, key: &K) -> Breaker<C>
    where
        K: Clone + Send + Sync + 'static,
        C: Clone,
    {
        let (now, shard) = (self.clock.now(), self.shard(key));
        let place = lock(shard).look(key, now);
        match place {
            Place::Has(shared) => return Breaker::of(shared),
            Place::No => return self.overflowing(),
            Place::Free => {}
        }
        let key = Arc::new(key.clone());
        let observer = self.hear.clone().map(|hear| {
            let key = Arc::clone(&key);
            Observer::new(move |event| hear(Some(&key), event))
        });
        let (clock, name) = (self.clock.clone(), self.name.clone());
        let shared = Shared::new(clock, &self.settings, name, observer.unwrap_or_default())
            .expect("the overflow was made of the same settings");
        let (found, left) = lock(shard).add(key, shared, now);
        self.evicted.fetch_add(u64::from(left.is_evicted), Relaxed);
        match found {
            Found::Is(shared) | Found::Made(shared) => Breaker::of(shared),
            Found::NoPlace => self.overflowing(),
        }
    }

    fn overflowing(&self) -> Breaker<C> {
        self.overflowed.fetch_add(1, Relaxed);
        self.overflow.clone()
    }
}

impl<K, C: Clock> Inner<K, C> {
    fn stats(&self) -> KeyedStats {
        KeyedStats {
            keys: self.shards.iter().map(|shard| lock(shard).len()).sum(),
            max_keys: self.max_keys,
            evicted: self.evicted.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let KeyedStats { keys, max_keys, evicted, overflowed } = self.stats();
        vec![
            ("keys", format!("{keys} of {max_keys}")),
            ("evicted", evicted.to_string()),
            ("overflowed", overflowed.to_string()),
        ]
    }
}

impl<K, C: Clock> Clone for KeyedBreaker<K, C> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, C: Clock> fmt::Debug for KeyedBreaker<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreaker")
            .field("name", &self.inner.name)
            .field("stats", &self.inner.stats())
            .finish_non_exhaustive()
    }
}
