//! How a breaker becomes one of a fleet.

use super::{
    stats::FleetView,
    store::Store,
    sync::{FleetSync, Pace},
};
use crate::{Breaker, Clock, ConfigError};
use std::time::Duration;

/// Makes a breaker one of a fleet: by [`Fleet::builder`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fleet;

impl Fleet {
    /// A fleet that shares by that store.
    pub fn builder<S: Store>(store: S) -> FleetBuilder<S> {
        let (interval, timeout) = (Duration::from_secs(1), Duration::from_millis(500));
        FleetBuilder { store, interval, timeout, hold: Duration::from_secs(10), key: None }
    }
}

/// Builds what keeps a breaker and its fleet together.
#[derive(Clone, Debug)]
#[must_use = "a breaker is shared by `share`"]
pub struct FleetBuilder<S> {
    store: S,
    interval: Duration,
    timeout: Duration,
    hold: Duration,
    key: Option<String>,
}

impl<S: Store> FleetBuilder<S> {
    /// How often the store is asked; each second by default. Each time is drawn from half of it to the whole.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the store has to answer; half a second by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long others count the results in a window of calls after they have heard of them last; 10 s by default.
    /// A window of time says that itself.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// The name of the fleet in the store, to which this adds `tidegate:breaker`; that of the breaker by default.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Shares the breaker: from now on it waits for leave to probe. Have [`FleetSync::run`] run. The breakers of
    /// a fleet should have the same settings and the same time to hold: [`FleetStats::strangers`] says how many have not.
    ///
    /// # Errors
    ///
    /// If the interval, the timeout or the time to hold is zero, or if there is a [`FleetSync`] of the breaker already: drop
    /// that one to share it by another store.
    ///
    /// [`FleetStats::strangers`]: super::FleetStats::strangers
    pub fn share<C: Clock>(
        self,
        breaker: &Breaker<C>,
    ) -> Result<(FleetView, FleetSync<S, C>), ConfigError> {
        let Self { store, interval, timeout, hold, key } = self;
        if interval.is_zero() || timeout.is_zero() || hold.is_zero() {
            return Err(ConfigError::ZeroFleetTime);
        }
        if !breaker.shared().join() {
            return Err(ConfigError::SharedTwice);
        }
        let name = key.unwrap_or_else(|| breaker.name().to_string());
        // The braces keep the keys of a fleet in one slot of a cluster.
        let key = format!("tidegate:breaker:{{{name}}}");
        let view = FleetView::default();
        let pace = Pace { interval, timeout, hold };
        let sync = FleetSync::new(store, breaker.shared(), key, pace, view.clone());
        Ok((view, sync))
    }
}
