//! The quota of a key, what follows from it, and how it changes.

use super::{
    builder::Fallback,
    entry::Entry,
    error::FleetConfigError,
    inner::Inner,
    state::{Pace, Rules, StoreQuota},
    store::Store,
};
use crate::{Quota, Rate, clock::Clock, state::Scale};
use std::{mem::replace, sync::Arc, time::Duration};
use tidegate_core::sync::{
    atomic::Ordering::{AcqRel, Acquire},
    lock,
};

/// The quota of each key.
pub(super) type QuotaFor = Box<dyn Fn(&str) -> Quota + Send + Sync>;

/// What a key keeps to.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) quota: Quota,
    /// None, if everything passes.
    pub(super) store: Option<StoreQuota>,
    pub(super) rules: Rules,
}

/// What holds whatever the quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) lease: Option<u64>,
    pub(super) pace: Option<Duration>,
    pub(super) fallback: Fallback,
    pub(super) max_waiters: usize,
}

impl Setup {
    pub(super) fn terms(&self, quota: Quota) -> Result<Terms, FleetConfigError> {
        let burst = quota.burst();
        let lease = self.lease.unwrap_or_else(|| (burst / 8).min(128)).clamp(1, burst.max(1));
        let instances = match self.fallback {
            Fallback::LocalShare { instances } => instances,
            _ => 1,
        };
        let rules = Rules {
            scale: Scale::new(quota)?,
            share: Scale::new(self.share(quota)?)?,
            lease,
            pace: Pace::new(quota, lease, instances, self.pace),
            max_waiters: self.max_waiters,
        };
        let store = if quota.rate().is_unlimited() { None } else { Some(StoreQuota::new(quota)?) };
        Ok(Terms { quota, store, rules })
    }

    fn share(&self, quota: Quota) -> Result<Quota, FleetConfigError> {
        let Fallback::LocalShare { instances } = self.fallback else { return Ok(quota) };
        let (rate, burst) = (quota.rate(), quota.burst());
        let part = burst.checked_div(instances).ok_or(FleetConfigError::NoInstances)?.max(1);
        if rate.is_unlimited() {
            return Ok(quota);
        }
        let period = u32::try_from(instances).ok().and_then(|n| rate.period().checked_mul(n));
        Ok(Quota::new(Rate::new(rate.count(), period.unwrap_or(Duration::MAX)), part))
    }
}

impl<S: Store, C: Clock> Inner<S, C> {
    /// Sees to it that a key goes by its quota as it is now; says whether there is a limit.
    pub(super) fn renew(&self, entry: &Entry<C::Timer>) -> Result<bool, FleetConfigError> {
        // Foreign code: not under a lock.
        let own = self.quota_for.as_ref().map(|quota_for| quota_for(&entry.key));
        let generation = self.generation.load(Acquire);
        let state = lock(&entry.state);
        let is_current = match own {
            Some(own) => state.terms.quota == own,
            None => state.generation == generation,
        };
        let is_limited = state.terms.store.is_some();
        drop(state);
        if is_current {
            return Ok(is_limited);
        }
        let terms = match own {
            Some(own) => Arc::new(self.setup.terms(own)?),
            None => Arc::clone(&lock(&self.terms)),
        };
        let is_limited = terms.store.is_some();
        let now = self.clock.now();
        let (before, tally) = entry.with(|state| {
            state.generation = generation;
            // A new key has them already: nothing that is in hand is to be given up.
            if state.terms.quota != terms.quota {
                state.account.change(&terms.rules, now);
            }
            replace(&mut state.terms, terms)
        });
        self.counts.add(tally);
        drop(before);
        // Those in the line go by the new one.
        entry.ring();
        Ok(is_limited)
    }

    /// Whether a key that is not in the table would go by these.
    pub(super) fn is_current(&self, key: &str, terms: &Terms) -> bool {
        let quota = match &self.quota_for {
            Some(quota_for) => quota_for(key),
            None => lock(&self.terms).quota,
        };
        terms.quota == quota
    }

    pub(super) fn set_quota(&self, quota: Quota) -> Result<(), FleetConfigError> {
        let terms = Arc::new(self.setup.terms(quota)?);
        let before = replace(&mut *lock(&self.terms), terms);
        drop(before);
        self.generation.fetch_add(1, AcqRel);
        for entry in self.table.all() {
            // One of its own that is not usable is told to who asks for it.
            let _ = self.renew(&entry);
        }
        Ok(())
    }
}
