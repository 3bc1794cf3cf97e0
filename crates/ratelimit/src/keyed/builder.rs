//! Building a [`KeyedLimiter`].

use super::{
    KeyedLimiter,
    front::Front,
    shards::{Full, Locked, QuotaFor, Shards},
    stats::KeyedStats,
};
use crate::{
    ConfigError, Limit, Quota,
    clock::{Clock, TokioClock},
    limiter::{DEFAULT_MAX_WAITERS, Observer, Shared},
    state::{Limits, Plan},
};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, OnceLock, Weak},
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
};

/// How many keys a limiter keeps, unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 65_536;

/// How many keys a table is meant for: half of what it can have.
const KEYS_PER_TABLE: usize = 8_192;

/// As many keys as few tables have are in few tables, so that room is looked for among all of them.
const KEYS_PER_SMALL_TABLE: usize = 128;

/// What happens to a key that is new while there are as many as may be, and all of them owe something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFull {
    /// It does not pass: [`TooManyKeys`](super::TryAcquireKeyError::TooManyKeys).
    #[default]
    Reject,
    /// All such keys share one cell of this quota.
    Share(Quota),
    /// It passes, without a limit.
    Admit,
}

/// Builds a [`KeyedLimiter`]: by [`KeyedLimiter::builder`].
#[must_use = "a limiter is made by `build`"]
pub struct KeyedLimiterBuilder<K, C = TokioClock, S = RandomState> {
    name: Name,
    quota: Quota,
    quota_for: Option<QuotaFor<K>>,
    max_keys: usize,
    max_waiters: usize,
    on_full: OnFull,
    clock: C,
    hasher: S,
}

impl<K> KeyedLimiterBuilder<K> {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            name: "keyed rate limiter".into(),
            quota,
            quota_for: None,
            max_keys: DEFAULT_MAX_KEYS,
            max_waiters: DEFAULT_MAX_WAITERS,
            on_full: OnFull::Reject,
            clock: TokioClock::new(),
            hasher: RandomState::new(),
        }
    }
}

impl<K, C: Clock, S> KeyedLimiterBuilder<K, C, S> {
    /// The name that [inspection](tidegate_core::inspect) knows it by; `keyed rate limiter` by default.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How many keys may be in the table at a time, 65 536 by default, and at least one. See
    /// [memory](KeyedLimiter#memory) for what that takes.
    pub fn max_keys(mut self, max: usize) -> Self {
        self.max_keys = max.max(1);
        self
    }

    /// The quota of each key, instead of one for all.
    ///
    /// It is asked with each request, while no lock is held, so that it should be quick. What it says may
    /// change at any time: what the key has taken stays taken, in tokens, and comes back at the new rate.
    /// A quota that no limiter can keep to is an error of the request.
    pub fn quota_for(mut self, quota_for: impl Fn(&K) -> Quota + Send + Sync + 'static) -> Self {
        self.quota_for = Some(Box::new(quota_for));
        self
    }

    /// What happens to a key for which there is no room; by default it does not pass.
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.on_full = policy;
        self
    }

    /// How many may wait at a time, for all keys together; 65 536 by default, and none with 0. Whoever was
    /// served counts until it learns of it, when it is polled, looked at or dropped.
    pub fn max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// The clock it goes by; tokio's by default.
    pub fn clock<D: Clock>(self, clock: D) -> KeyedLimiterBuilder<K, D, S> {
        let Self { name, quota, quota_for, max_keys, max_waiters, on_full, clock: _, hasher } =
            self;
        KeyedLimiterBuilder {
            name,
            quota,
            quota_for,
            max_keys,
            max_waiters,
            on_full,
            clock,
            hasher,
        }
    }

    /// What hashes the keys. The default is std's, whose hashes nobody can guess who does not know the
    /// process: with another one, who chooses the keys may choose them so that all look-ups are slow.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> KeyedLimiterBuilder<K, C, T> {
        let Self { name, quota, quota_for, max_keys, max_waiters, on_full, clock, hasher: _ } =
            self;
        KeyedLimiterBuilder {
            name,
            quota,
            quota_for,
            max_keys,
            max_waiters,
            on_full,
            clock,
            hasher,
        }
    }

    /// Builds it, without any key.
    ///
    /// # Errors
    ///
    /// If no limiter can keep to the quota, or to the one that keys without room share.
    #[track_caller]
    pub fn build(self) -> Result<KeyedLimiter<K, C, S>, ConfigError>
    where
        K: Hash + Eq + Clone + Send + 'static,
        S: BuildHasher + Send + Sync + 'static,
    {
        let size = Size::new(self.max_keys);
        self.build_of(size)
    }

    /// The same, of a size that does not depend on the machine.
    #[track_caller]
    pub(super) fn build_of(self, size: Size) -> Result<KeyedLimiter<K, C, S>, ConfigError>
    where
        K: Hash + Eq + Clone + Send + 'static,
        S: BuildHasher + Send + Sync + 'static,
    {
        let plan = Plan::new(self.quota)?;
        let clock = Arc::new(self.clock);
        let late = Arc::new(OnceLock::new());
        let resource = resource(Arc::clone(&late), self.name.clone());
        let full = match self.on_full {
            OnFull::Reject => Full::Reject,
            OnFull::Admit => Full::Admit,
            OnFull::Share(quota) => Full::Share(Shared::closed(
                Arc::clone(&clock),
                Limits::new([Limit::Quota(quota)], false)?,
                Limit::Quota(quota),
                self.name.clone(),
                self.max_waiters,
                Observer::default(),
                resource.clone(),
            )),
        };
        let tables = (0..size.tables).map(|_| Locked::new(plan)).collect();
        let shards = Arc::new(Shards {
            name: self.name,
            clock,
            resource,
            hasher: self.hasher,
            tables,
            front: Front::new(size.seats),
            keys: AtomicUsize::new(0),
            max_keys: self.max_keys,
            plan: Mutex::new(plan),
            quota_for: self.quota_for,
            full,
            hand: AtomicUsize::new(0),
            waiting: Arc::new(AtomicUsize::new(0)),
            max_waiters: self.max_waiters,
            turned_away: AtomicU64::new(0),
        });
        // It is the first to be put there.
        let _ = late.set(Arc::downgrade(&shards));
        Ok(KeyedLimiter { shards })
    }
}

impl<K, C: fmt::Debug, S> fmt::Debug for KeyedLimiterBuilder<K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiterBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("max_keys", &self.max_keys)
            .field("on_full", &self.on_full)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// How many there are of what threads share, each a power of two.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) tables: usize,
    pub(super) seats: usize,
}

impl Size {
    fn new(max_keys: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(8, usize::from);
        let for_threads = (threads * 4).min(max_keys / KEYS_PER_SMALL_TABLE).min(256);
        let tables = (max_keys / KEYS_PER_TABLE).max(for_threads).max(1).next_power_of_two();
        Self { tables, seats: (threads * 2).min(64).next_power_of_two() }
    }
}

/// The limiter in the pictures of the inspection.
#[track_caller]
fn resource<K, C, S>(me: Arc<OnceLock<Weak<Shards<K, C, S>>>>, name: Name) -> Resource
where
    K: Send + 'static,
    C: Clock,
    S: Send + Sync + 'static,
{
    Resource::with_details("keyed rate limiter", name, move || {
        let Some(shards) = me.get().and_then(Weak::upgrade) else { return Vec::new() };
        let KeyedStats { keys, max_keys, waiting, turned_away, .. } = shards.stats();
        vec![
            ("quota", shards.quota().to_string()),
            ("keys", format!("{keys} of {max_keys}")),
            ("waiting", waiting.to_string()),
            ("turned away", turned_away.to_string()),
        ]
    })
}
