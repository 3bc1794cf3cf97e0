//! A store in this process.

use super::{
    state::{Answer, Ask, View},
    store::{Store, StoreError},
};
use crate::clock::{Clock, TokioClock};
use std::{
    collections::HashMap,
    future::{Future, ready},
};
use tidegate_core::sync::{Mutex, lock};

/// A [`Store`] in this process: for tests, and for several breakers of one service. Breakers share it in an
/// `Arc`. It holds as many fleets as it may, and forgets none.
#[derive(Debug)]
pub struct MemoryStore<C = TokioClock> {
    clock: C,
    max_fleets: usize,
    fleets: Mutex<HashMap<String, View>>,
}

impl MemoryStore {
    /// An empty store on tokio's clock, for so many fleets at most.
    #[must_use]
    pub fn new(max_fleets: usize) -> Self {
        Self::with_clock(max_fleets, TokioClock::new())
    }
}

impl<C: Clock> MemoryStore<C> {
    /// An empty store on that clock.
    #[must_use]
    pub fn with_clock(max_fleets: usize, clock: C) -> Self {
        Self { clock, max_fleets, fleets: Mutex::new(HashMap::new()) }
    }

    /// Forgets all that it was told, as a server does that is restarted.
    pub fn clear(&self) {
        let fleets = std::mem::take(&mut *lock(&self.fleets));
        drop(fleets);
    }

    fn apply(&self, key: &str, ask: &Ask) -> Result<Answer, StoreError> {
        let now = self.clock.now() / 1000;
        let mut fleets = lock(&self.fleets);
        if let Some(view) = fleets.get_mut(key) {
            return Ok(view.exchange(now, ask));
        }
        if fleets.len() >= self.max_fleets {
            return Err(StoreError::Full(self.max_fleets));
        }
        Ok(fleets.entry(key.to_owned()).or_default().exchange(now, ask))
    }
}

impl<C: Clock> Store for MemoryStore<C> {
    fn exchange(
        &self,
        key: &str,
        ask: &Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        ready(self.apply(key, ask))
    }
}
