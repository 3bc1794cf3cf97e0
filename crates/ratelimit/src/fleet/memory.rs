//! A store in this process.

use super::{
    state::{Keys, StoreQuota},
    store::{Answer, Ask, Store, StoreError},
};
use crate::clock::{Clock, TokioClock};
use std::future::{Future, ready};
use tidegate_core::sync::{Mutex, lock};

/// A [`Store`] in this process: for one instance, for tests, and for services that grow into a fleet later.
///
/// It holds as many keys as it may. A full key equals an absent one and is forgotten when another one comes;
/// where all are less than full, a new key is an error [of its own](StoreError::is_of_key). Finding
/// the one to be forgotten takes a look at two, and an exchange time in proportion to the logarithm of the
/// keys. Limiters of one process share it in an `Arc`.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_ratelimit::{Quota, Rate, fleet::{FleetLimiter, MemoryStore}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = Arc::new(MemoryStore::new(10_000));
/// let quota = Quota::new(Rate::per_second(10), 2);
/// let one = FleetLimiter::builder(Arc::clone(&store), quota).build().unwrap();
/// let other = FleetLimiter::builder(store, quota).build().unwrap();
/// assert!(one.try_acquire("a", 1).await.is_ok());
/// assert!(other.try_acquire("a", 1).await.is_ok());
/// assert!(one.try_acquire("a", 1).await.is_err());
/// assert!(one.try_acquire("b", 1).await.is_ok());
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryStore<C = TokioClock> {
    clock: C,
    max_keys: usize,
    keys: Mutex<Keys>,
}

impl MemoryStore {
    /// An empty store on tokio's clock, for so many keys at most.
    #[must_use]
    pub fn new(max_keys: usize) -> Self {
        Self::with_clock(max_keys, TokioClock::new())
    }
}

impl<C: Clock> MemoryStore<C> {
    /// An empty store on that clock.
    #[must_use]
    pub fn with_clock(max_keys: usize, clock: C) -> Self {
        Self { clock, max_keys, keys: Mutex::default() }
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.keys).len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn apply(&self, key: &str, quota: &StoreQuota, ask: &Ask) -> Result<Answer, StoreError> {
        let now = self.clock.now() / 1000;
        let answer = lock(&self.keys).apply(key, quota, now, ask, self.max_keys);
        answer.ok_or(StoreError::Full(self.max_keys))
    }
}

impl<C: Clock> Store for MemoryStore<C> {
    fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        ready(self.apply(key, quota, &ask))
    }
}
