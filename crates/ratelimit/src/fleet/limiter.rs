//! The handle.

use super::{
    builder::FleetLimiterBuilder,
    error::{FleetAcquireError, FleetConfigError, FleetTryAcquireError},
    inner::Inner,
    permit::FleetPermit,
    returns::Asked,
    state::{Fail, Form, Now},
    stats::{FleetPeek, FleetStats},
    store::Store,
    wait::Wait,
};
use crate::{
    Quota,
    clock::{Clock, TokioClock},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tidegate_core::{Name, sync::lock};
use tokio::time::sleep;

/// How many keys are given back at a time.
const AT_ONCE: usize = 64;

/// Lets pass what a quota allows for each key, across all instances that share a [`Store`].
///
/// Most decisions take no round trip: an instance spends the tokens that it has in hand, and denies what
/// the store would deny by what it has said last. If it has to be asked, one exchange at a time serves all
/// who ask for a key, first come, first served within the instance.
///
/// There is no task: whoever waits does the work, and what it leaves unfinished, the next one takes over.
///
/// Clones share one limiter. See the [module](super) for what the fleet keeps to.
///
/// ```
/// use tidegate_ratelimit::{Quota, Rate, fleet::{Fallback, FleetLimiter, MemoryStore}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let quota = Quota::new(Rate::per_second(100), 50);
/// let limiter = FleetLimiter::builder(MemoryStore::new(10_000), quota)
///     .key_prefix("api:")
///     .lease(10)
///     .fallback(Fallback::LocalShare { instances: 4 })
///     .build()
///     .unwrap();
/// for _ in 0..50 {
///     limiter.try_acquire("user 7", 1).await.unwrap();
/// }
/// let denied = limiter.try_acquire("user 7", 1).await.unwrap_err();
/// assert!(denied.retry_after().is_some());
/// limiter.acquire("user 7", 1).await.unwrap();
/// assert!(limiter.stats().round_trips < 10);
/// # }
/// ```
pub struct FleetLimiter<S: Store, C: Clock = TokioClock> {
    pub(super) inner: Arc<Inner<S, C>>,
}

impl<S: Store> FleetLimiter<S> {
    /// A limiter of that quota for each key, to be built.
    pub fn builder(store: S, quota: impl Into<Quota>) -> FleetLimiterBuilder<S> {
        FleetLimiterBuilder::new(store, quota.into())
    }
}

impl<S: Store, C: Clock> FleetLimiter<S, C> {
    /// Takes `n` tokens of `key`, or none. Waits for the store at most, for as long as its
    /// [timeout](FleetLimiterBuilder::timeout) or that of an exchange that is under way; never for tokens.
    ///
    /// # Errors
    ///
    /// If there are too few, or if others of this instance wait for them: when to ask again. If the store
    /// is down and nothing is to pass without it.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if the store has to be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: what the store grants for it stays in hand. Tested by
    /// `cancel_try_acquire_loses_nothing`.
    pub async fn try_acquire(
        &self,
        key: &str,
        n: u64,
    ) -> Result<FleetPermit<'_, S, C>, FleetTryAcquireError> {
        Ok(self.take(key, n, Form::Try).await?)
    }

    /// Waits for `n` tokens of `key`. First come, first served within the instance; between instances,
    /// whoever asks first after tokens have come back.
    ///
    /// # Errors
    ///
    /// If it would never pass, if as many wait as may, or if the store is down and nothing is to pass
    /// without it.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: it leaves the line, and what was taken for it already is in hand for
    /// the next one. Tested by `cancel_acquire_loses_nothing`.
    pub async fn acquire(
        &self,
        key: &str,
        n: u64,
    ) -> Result<FleetPermit<'_, S, C>, FleetAcquireError> {
        Ok(self.take(key, n, Form::Wait { deadline: u64::MAX }).await?)
    }

    /// The same, but not for longer than `timeout`. As soon as it is known to be too short, it says so
    /// instead of waiting.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and if it would pass too late.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `cancel_acquire_loses_nothing`.
    pub async fn acquire_within(
        &self,
        key: &str,
        n: u64,
        timeout: Duration,
    ) -> Result<FleetPermit<'_, S, C>, FleetAcquireError> {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.inner.clock.now().saturating_add(timeout);
        Ok(self.take(key, n, Form::Wait { deadline }).await?)
    }

    async fn take(&self, key: &str, n: u64, form: Form) -> Result<FleetPermit<'_, S, C>, Fail> {
        let inner = &*self.inner;
        if n == 0 {
            return Ok(FleetPermit::new(inner, None, n));
        }
        // Until the end of this, however it ends.
        let asked = Asked::new(inner, key);
        let entry = &asked.entry;
        if !inner.renew(entry).map_err(Fail::Quota)? {
            return Ok(FleetPermit::new(inner, None, n));
        }
        let origin = match inner.ask(entry, n, form) {
            Now::Passes(origin) => origin,
            Now::Fails(fail) => return Err(fail),
            Now::Joins => {
                inner.resource.waiting("tokens", Wait::new(inner, entry, n, form)).await?
            }
        };
        Ok(FleetPermit::new(inner, Some((Arc::clone(entry), origin)), n))
    }

    /// What could be taken of `key` now, without taking it: the store is asked, unless it is down.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// It takes nothing, and can be dropped at any time. Tested by `cancel_peek_takes_nothing`.
    pub async fn peek(&self, key: &str) -> FleetPeek {
        let inner = &*self.inner;
        let entry = inner.entry(key);
        // One that is not usable is told to who asks for tokens.
        let _ = inner.renew(&entry);
        let (terms, _) = entry.with(|state| Arc::clone(&state.terms));
        let is_down = inner.unavailable(inner.clock.now()).is_some();
        let answer = if is_down { None } else { inner.peek(&entry.key, &terms).await.ok() };
        let now = inner.clock.now();
        let (known, _) = entry.with(|state| (state.account.lease(), state.account.known(now)));
        let (in_hand, (remaining, full_after)) = known;
        match (answer, terms.store) {
            (Some(answer), Some(quota)) => FleetPeek {
                remaining: quota.remaining(answer.full_after),
                in_hand,
                full_after: Some(answer.full_after),
                is_from_store: true,
            },
            _ => FleetPeek { remaining, in_hand, full_after, is_from_store: false },
        }
    }

    /// Gives back the tokens in hand of all keys that were not asked for within `idle`: at the end of the
    /// service with an `idle` of zero, and from time to time, if keys go cold. Waits for what is on its way back
    /// already as well, of keys that had to go, for one timeout at most.
    ///
    /// Without it, unspent tokens stay in hand. A limiter that is dropped gives back what the store takes
    /// without being waited for, as [`MemoryStore`](super::MemoryStore) does; one behind a network does not.
    /// What is not given back comes back to the key at its rate, as all tokens do: until then the limit
    /// admits fewer, and never more. What the store does not answer to is [given up](FleetStats::forfeited).
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some keys are given back and others are not; an exchange under way goes on with the next
    /// request for its key. Tested by `cancel_give_back_loses_nothing` and
    /// `cancel_give_back_loses_nothing_that_is_on_its_way`.
    pub async fn give_back(&self, idle: Duration) {
        let inner = &*self.inner;
        let idle = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        let now = inner.clock.now();
        let entries: Vec<_> = inner.table.all();
        let cold: Vec<_> = entries
            .into_iter()
            .filter(|entry| {
                entry
                    .with(|state| {
                        let is_cold = now.saturating_sub(state.touched) >= idle;
                        let account = &state.account;
                        let gives = is_cold && (account.holds() > 0 || account.is_exchanging());
                        if gives {
                            state.account.give_up_lease();
                        }
                        gives
                    })
                    .0
            })
            .collect();
        for chunk in cold.chunks(AT_ONCE) {
            let mut waits: Vec<_> = chunk
                .iter()
                .map(|entry| Some(Box::pin(Wait::new(inner, entry, 0, Form::GiveBack))))
                .collect();
            poll_fn(|cx| {
                for wait in &mut waits {
                    if wait.as_mut().is_some_and(|wait| Pin::new(wait).poll(cx).is_ready()) {
                        *wait = None;
                    }
                }
                if waits.iter().any(Option::is_some) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
        // And what is on its way already, of keys that had to go.
        let mut alarm = pin!(sleep(inner.timeout));
        let place = inner.returns.bell.join();
        poll_fn(|cx| {
            let is_late = alarm.as_mut().poll(cx).is_ready();
            place.leave_waker(cx.waker().clone());
            let left = inner.look_after_returns_for(true);
            if left == 0 || is_late { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Changes the quota of all keys; with [one for each](FleetLimiterBuilder::quota_for), that one counts.
    /// Those who wait go by the new one at once, but for those of keys for which there was
    /// [no room](FleetLimiterBuilder::max_keys): they go by the old one until they pass or leave. Takes time in
    /// proportion to the keys.
    ///
    /// What is owed stays owed in time: a key that is full again in a second is so at the new rate, too. A lower
    /// rate has fewer tokens in that time, so a key that has spent a burst may have up to another one at once:
    /// the [bound](super) holds before the change and after it, each from there on, and a change to a lower rate
    /// adds no more than a burst of the new quota. What is in hand is spent, as far as it is a lease of the new
    /// quota, and the rest is [forfeited](FleetStats::forfeited), as is what is given back later of what was
    /// taken before: in the bound, `k` is the larger one of the leases before and after.
    ///
    /// The store goes by what each instance asks with, so they are all to be told, and soon: while they differ,
    /// one with a burst that comes back sooner takes what is owed beyond that for paid. Then neither of the
    /// quotas holds, nor their sum. Where a new quota is rolled out with new instances beside the old ones, give the
    /// new ones another [prefix](FleetLimiterBuilder::key_prefix): each group then keeps to its own quota, and
    /// both together to the sum, until the last old instance has ended.
    ///
    /// A [lease](FleetLimiterBuilder::lease) that is set is no more than the new burst.
    ///
    /// # Errors
    ///
    /// If no store can keep to it; nothing changes then.
    pub fn set_quota(&self, quota: impl Into<Quota>) -> Result<(), FleetConfigError> {
        self.inner.set_quota(quota.into())
    }

    /// The quota of keys that have none of their own.
    #[must_use]
    pub fn quota(&self) -> Quota {
        lock(&self.inner.terms).quota
    }

    /// What the limiter has done so far. What is given back of keys that had to go is looked after meanwhile.
    #[must_use]
    pub fn stats(&self) -> FleetStats {
        self.inner.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// The clock it goes by.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.inner.clock
    }
}

impl<S: Store, C: Clock> Clone for FleetLimiter<S, C> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Store, C: Clock> fmt::Debug for FleetLimiter<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLimiter")
            .field("name", &self.inner.name)
            // As they are: whoever prints it does nothing for the store.
            .field("stats", &self.inner.counted())
            .finish_non_exhaustive()
    }
}
