//! Building a [`FleetLimiter`].

use super::{
    FleetLimiter,
    error::FleetConfigError,
    inner::Inner,
    returns::Returns,
    state::{Delays, Health},
    stats::Counts,
    store::Store,
    table::Table,
    terms::{QuotaFor, Setup},
};
use crate::{
    Quota,
    clock::{Clock, TokioClock},
};
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::{
    Backoff, Jitter, Name,
    inspect::Resource,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
};
use tokio::time::Instant;

/// How many keys an instance knows of, unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 65_536;

/// What passes while the store is down, or of a key that it [refuses](super::StoreError::is_of_key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Each of so many instances keeps to its share of the quota: rate and burst divided by their number,
    /// a burst of one at least. It goes on from how empty the key was when it was last seen.
    LocalShare {
        /// How many instances there are.
        instances: u64,
    },
    /// Nothing passes, but what is in hand.
    Closed,
    /// Everything passes.
    Open,
}

/// Builds a [`FleetLimiter`]: by [`FleetLimiter::builder`].
#[must_use = "a limiter is made by `build`"]
pub struct FleetLimiterBuilder<S, C = TokioClock> {
    store: S,
    quota: Quota,
    quota_for: Option<QuotaFor>,
    name: Name,
    prefix: String,
    lease: Option<u64>,
    pace: Option<Duration>,
    fallback: Fallback,
    timeout: Duration,
    backoff: Backoff,
    max_keys: usize,
    max_waiters: usize,
    clock: C,
}

impl<S: Store> FleetLimiterBuilder<S> {
    pub(super) fn new(store: S, quota: Quota) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(100));
        Self {
            store,
            quota,
            quota_for: None,
            name: "fleet limiter".into(),
            prefix: "tidegate:".into(),
            lease: None,
            pace: None,
            fallback: Fallback::LocalShare { instances: 2 },
            timeout: Duration::from_millis(100),
            // Never at once: who fails together does not come back together.
            backoff: backoff.jitter(Jitter::Equal).max(Duration::from_secs(1)),
            max_keys: DEFAULT_MAX_KEYS,
            max_waiters: crate::DEFAULT_MAX_WAITERS,
            clock: TokioClock::new(),
        }
    }
}

impl<S: Store, C: Clock> FleetLimiterBuilder<S, C> {
    /// The name that [inspection](tidegate_core::inspect) and events know it by; `fleet limiter` by
    /// default.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// The quota of each key, instead of one for all.
    ///
    /// It is asked with each request, while no lock is held, so that it should be quick. What it says may
    /// change at any time, as by [`set_quota`](FleetLimiter::set_quota). All instances are to say the same. A
    /// quota that no store can keep to is an error of the request.
    pub fn quota_for(mut self, quota_for: impl Fn(&str) -> Quota + Send + Sync + 'static) -> Self {
        self.quota_for = Some(Box::new(quota_for));
        self
    }

    /// What keys in the store begin with, `tidegate:` by default: `user 7` is `tidegate:{user 7}` there.
    /// Limiters with one quota and one prefix share their keys; those with different ones must not.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many tokens of a key an instance takes from the store at once, and has in hand unspent at most.
    ///
    /// With 1 the limit is exact. With `k` there is a round trip for `k` decisions, and the fleet may
    /// exceed the burst by `k` for each instance, once. By default an eighth of the burst, from 1 to 128.
    pub fn lease(mut self, tokens: u64) -> Self {
        self.lease = Some(tokens);
        self
    }

    /// How long the store is left alone with a key after it had fewer tokens than a lease: at the limit an
    /// instance asks at most once in this time, and whoever waits may wait so much longer, unless it
    /// [has a deadline](FleetLimiter::acquire_within) before. Tokens that come back meanwhile are not lost, up
    /// to a burst.
    ///
    /// By default it follows from the lease, the rate, and how many instances there are, which
    /// [`Fallback::LocalShare`] says: a lease for each of `n` comes back in `n * lease / rate`, and who asks
    /// earlier cannot be given a whole one. From 1 ms up to about 1 s; shorter where nobody else takes
    /// anything, and longer where there is seldom a whole one, as there are more instances than it was told.
    /// So a round trip serves a lease at the limit as it does below it, unless that takes longer than a
    /// second. With a lease of one it is 10 ms: there is nothing to wait for but a token.
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = Some(pace);
        self
    }

    /// What passes while the store is down, and of a key that it [refuses](super::StoreError::is_of_key),
    /// such as one that finds it full. By default the share of one of two instances: state how many there are.
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// How long the store may take to answer, 100 ms by default. One that takes longer is down. Callers who give up
    /// before take it over from one another: the time in which nobody waits does not count, eight times per
    /// exchange.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a store that is down is left alone before one request looks at it again. By default from
    /// 100 ms, doubled up to 1 s, each spread over its second half. A key that it refuses is asked for again
    /// in such delays of its own.
    ///
    /// For as long as the longest delay after it was found again, an instance with a
    /// [share](Fallback::LocalShare) keeps to that as well: others may not have found it yet.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many keys an instance knows of at most, 65 536 by default. Those that are not known are asked
    /// for again; what is in hand of them is given back, as far as that takes no waiting.
    pub fn max_keys(mut self, max: usize) -> Self {
        self.max_keys = max;
        self
    }

    /// How many may wait for a key at a time; 65 536 by default.
    pub fn max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// The clock that waiting goes by, tokio's by default. It decides nothing while the store is up.
    pub fn clock<D: Clock>(self, clock: D) -> FleetLimiterBuilder<S, D> {
        let Self {
            store,
            quota,
            quota_for,
            name,
            prefix,
            lease,
            pace,
            fallback,
            timeout,
            backoff,
            ..
        } = self;
        let (max_keys, max_waiters) = (self.max_keys, self.max_waiters);
        FleetLimiterBuilder {
            store,
            quota,
            quota_for,
            name,
            prefix,
            lease,
            pace,
            fallback,
            timeout,
            backoff,
            max_keys,
            max_waiters,
            clock,
        }
    }

    /// Builds it. It does not ask the store.
    ///
    /// # Errors
    ///
    /// If the quota cannot be kept to by a store, or another setting makes no sense: see
    /// [`FleetConfigError`].
    #[track_caller]
    pub fn build(self) -> Result<FleetLimiter<S, C>, FleetConfigError> {
        self.check()?;
        let setup = Setup {
            lease: self.lease,
            pace: self.pace,
            fallback: self.fallback,
            max_waiters: self.max_waiters,
        };
        let terms = setup.terms(self.quota)?;
        let patience = nanos(self.timeout.saturating_mul(2));
        let delays = Delays::new(self.backoff, patience);
        let health = Health::new(delays.clone());
        let inner = Inner {
            store: Arc::new(self.store),
            clock: self.clock,
            resource: Resource::new("fleet limiter", self.name.clone()),
            name: self.name,
            prefix: self.prefix,
            setup,
            quota_for: self.quota_for,
            terms: Mutex::new(Arc::new(terms)),
            generation: AtomicU64::new(0),
            timeout: self.timeout,
            table: Table::new(self.max_keys),
            settled_at: AtomicU64::new(0),
            is_up: AtomicBool::new(true),
            epoch: AtomicU64::new(health.epoch()),
            health: Mutex::new(health),
            delays,
            warned_at: AtomicU64::new(0),
            counts: Counts::default(),
            built_at: Instant::now(),
            returns: Returns::default(),
        };
        Ok(FleetLimiter { inner: Arc::new(inner) })
    }

    fn check(&self) -> Result<(), FleetConfigError> {
        let burst = self.quota.burst();
        if let Some(lease) = self.lease.filter(|&lease| lease == 0 || lease > burst) {
            return Err(FleetConfigError::Lease { lease, burst });
        }
        if self.timeout.is_zero() {
            return Err(FleetConfigError::ZeroTimeout);
        }
        if self.max_keys == 0 {
            return Err(FleetConfigError::ZeroKeys);
        }
        Ok(())
    }
}

impl<S, C> fmt::Debug for FleetLimiterBuilder<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLimiterBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
