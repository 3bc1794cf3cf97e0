//! Building a [`KeyedBreaker`].

use super::{Hear, Inner, KeyedBreaker, table::Table};
use crate::{
    Breaker, ConfigError, Event,
    breaker::{Observer, Shared},
    clock::{Clock, TokioClock},
    state::{Settings, nanos},
};
use std::{
    fmt,
    hash::RandomState,
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{Mutex, unmodelled::AtomicU64},
};

/// How many keys are kept, unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 16_384;

/// How long a key is kept that nobody asks for and that is not healthy, unless told otherwise, where its place is
/// wanted.
pub const DEFAULT_FORGET_AFTER: Duration = Duration::from_secs(600);

/// From so many keys on there are several locks.
const SHARDED: usize = 4096;
const SHARDS: usize = 16;

/// Builds a [`KeyedBreaker`]: by [`KeyedBreaker::builder`].
#[must_use = "a registry is made by `build`"]
pub struct KeyedBreakerBuilder<K, C = TokioClock> {
    name: Name,
    settings: Settings,
    max_keys: usize,
    forget_after: Duration,
    hear: Option<Arc<Hear<K>>>,
    clock: C,
    key: PhantomData<fn(K)>,
}

impl<K> KeyedBreakerBuilder<K> {
    pub(super) fn new(name: Name) -> Self {
        let clock = TokioClock::new();
        let settings = Settings::new();
        Self {
            name,
            settings,
            max_keys: DEFAULT_MAX_KEYS,
            forget_after: DEFAULT_FORGET_AFTER,
            hear: None,
            clock,
            key: PhantomData,
        }
    }
}

impl<K, C: Clock> KeyedBreakerBuilder<K, C> {
    /// What each of the breakers goes by.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How many keys are kept at most; 16 384 by default, each of some hundred bytes and the window. From 4096 on
    /// they are in 16 parts, of which each holds a sixteenth.
    pub fn max_keys(mut self, max: usize) -> Self {
        self.max_keys = max;
        self
    }

    /// From when on a key that is not healthy can lose its place to a new one: after so long without a call of it,
    /// and when it keeps nobody waiting; 10 minutes by default. What it knew of failures is lost then. Before that
    /// none is, and without it keys that fail and never come back would use up the places.
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = time;
        self
    }

    /// Has `observer` called with each [`Event`] and its key; none, if it is of the
    /// [overflow](KeyedBreaker::overflow). As [`BreakerBuilder::observer`](crate::BreakerBuilder::observer).
    pub fn observer(
        mut self,
        observer: impl Fn(Option<&K>, &Event) + Send + Sync + 'static,
    ) -> Self {
        self.hear = Some(Arc::new(observer));
        self
    }

    /// The clock they go by; tokio's by default.
    pub fn clock<D: Clock>(self, clock: D) -> KeyedBreakerBuilder<K, D> {
        let Self { name, settings, max_keys, forget_after, hear, clock: _, key } = self;
        KeyedBreakerBuilder { name, settings, max_keys, forget_after, hear, clock, key }
    }

    /// Builds it: without any key.
    ///
    /// # Errors
    ///
    /// If the settings make no sense: see [`ConfigError`].
    #[track_caller]
    pub fn build(self) -> Result<KeyedBreaker<K, C>, ConfigError>
    where
        K: Send + Sync + 'static,
        C: Clone,
    {
        let Self { name, settings, max_keys, forget_after, hear, clock, key: _ } = self;
        if max_keys == 0 {
            return Err(ConfigError::ZeroKeys);
        }
        let shards = if max_keys < SHARDED { 1 } else { SHARDS };
        let overheard = hear.clone();
        let observer = overheard.map(|hear| Observer::new(move |event| hear(None, event)));
        let observer = observer.unwrap_or_default();
        let overflow = Shared::new(clock.clone(), &settings, name.clone(), observer)?;
        let table = |_| Mutex::new(Table::new(max_keys / shards, nanos(forget_after)));
        let inner = Arc::new(Inner {
            shards: (0..shards).map(table).collect(),
            hasher: RandomState::new(),
            overflow: Breaker::of(overflow),
            settings,
            name: name.clone(),
            clock,
            hear,
            max_keys,
            evicted: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            resource: OnceLock::new(),
        });
        let me = Arc::downgrade(&inner);
        let details = move || me.upgrade().map_or_else(Vec::new, |inner| inner.details());
        // It is the first to be put there.
        let _ = inner.resource.set(Resource::with_details("keyed breaker", name, details));
        Ok(KeyedBreaker { inner })
    }
}

impl<K, C> fmt::Debug for KeyedBreakerBuilder<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, settings, max_keys, forget_after, .. } = self;
        f.debug_struct("KeyedBreakerBuilder")
            .field("name", name)
            .field("settings", settings)
            .field("max_keys", max_keys)
            .field("forget_after", forget_after)
            .finish_non_exhaustive()
    }
}
