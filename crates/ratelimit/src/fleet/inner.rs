//! What the handles of a fleet limiter share, and the work that whoever waits does.

use super::{
    entry::{Alarm, Driving, Entry, Exchange, Work},
    returns::Returns,
    state::{Delays, Fail, Form, Health, Next, Now, Origin},
    stats::{Counts, FleetStats},
    store::{Answer, Ask, Store, StoreError},
    table::Table,
    terms::{QuotaFor, Setup, Terms},
    trust::Done,
};
use crate::clock::Clock;
use std::{
    mem::{replace, take},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
        lock,
    },
};
use tokio::time::{Instant, timeout};

/// One limiter, whatever the number of its handles.
pub(super) struct Inner<S: Store, C: Clock> {
    pub(super) store: Arc<S>,
    pub(super) clock: C,
    pub(super) name: Name,
    pub(super) prefix: String,
    pub(super) setup: Setup,
    pub(super) quota_for: Option<QuotaFor>,
    /// Of all keys that have none of their own, and how often they have changed.
    pub(super) terms: Mutex<Arc<Terms>>,
    pub(super) generation: AtomicU64,
    pub(super) timeout: Duration,
    pub(super) table: Table<C::Timer>,
    pub(super) health: Mutex<Health>,
    /// What `health` says, for those who find it well.
    pub(super) is_up: AtomicBool,
    pub(super) epoch: AtomicU64,
    /// Until then the share counts beside the store, which was down.
    pub(super) settled_at: AtomicU64,
    /// Those of a single key follow from these.
    pub(super) delays: Delays,
    /// When it was last warned of a key that the store refuses.
    pub(super) warned_at: AtomicU64,
    pub(super) counts: Counts,
    pub(super) resource: Resource,
    pub(super) built_at: Instant,
    pub(super) returns: Returns,
}

impl<S: Store, C: Clock> Inner<S, C> {
    pub(super) fn entry(&self, key: &str) -> Arc<Entry<C::Timer>> {
        let now = self.clock.now();
        let new = || {
            // The number first: with terms that are newer it is looked at again, and with older ones it would not.
            let generation = self.generation.load(Acquire);
            (Arc::clone(&lock(&self.terms)), generation)
        };
        let (entry, evicted) = self.table.get(key, new, now);
        if !evicted.is_empty() {
            self.let_go(&evicted);
        }
        entry
    }

    /// Decides, if that takes neither the store nor waiting.
    pub(super) fn ask(&self, entry: &Entry<C::Timer>, cost: u64, form: Form) -> Now {
        let now = self.clock.now();
        let (said, tally) = entry.with(|state| {
            state.touched = now;
            let mode = self.mode(now, state.trouble.as_deref());
            state.account.ask(&state.terms.rules, now, cost, form, &mode)
        });
        self.counts.add(tally);
        said
    }

    /// Does what is to be done for the line of the key, as far as it can be done now. Called by whoever
    /// waits in it, after it has left its waker there.
    pub(super) fn drive(&self, entry: &Arc<Entry<C::Timer>>) {
        loop {
            // A clock is foreign code: not under the lock.
            let (now, time) = (self.clock.now(), self.time());
            let mut guard = lock(&entry.state);
            let state = &mut *guard;
            state.account.at(time);
            if state.is_driven {
                state.again = true;
                return;
            }
            let next = if state.account.is_exchanging() {
                None
            } else {
                let mode = self.mode(now, state.trouble.as_deref());
                let epoch = self.epoch.load(Acquire);
                match state.account.next(&state.terms.rules, now, &mode, epoch) {
                    Next::Exchange(_) if !self.takes_turn(now, state.trouble.as_mut()) => {
                        // Somebody else probes: once more, without the store.
                        state.account.withdraw();
                        continue;
                    }
                    next => Some((next, epoch)),
                }
            };
            let mut work = take(&mut state.work);
            state.is_driven = next.is_none_or(|(next, _)| next != Next::Nothing);
            let (woken, tally) = (state.account.take_woken(), state.account.take_tally());
            let goes_on = state.is_driven;
            let terms = Arc::clone(&state.terms);
            drop(guard);
            self.counts.add(tally);
            woken.into_iter().for_each(Waker::wake);
            if !goes_on || self.step(entry, &terms, &mut work, next, now).is_pending() {
                return;
            }
        }
    }

    /// One thing that the line waits for; pending, if it still does.
    fn step(
        &self,
        entry: &Arc<Entry<C::Timer>>,
        terms: &Terms,
        work: &mut Work<C::Timer>,
        next: Option<(Next, u64)>,
        now: u64,
    ) -> Poll<()> {
        let driving = Driving(entry);
        match next {
            Some((Next::Sleep(at), _)) => {
                *work = match take(work) {
                    Work::Sleeps { timer, .. } => Work::Sleeps { timer, at },
                    _ => Work::Sleeps { timer: Box::pin(self.clock.timer()), at },
                };
            }
            Some((Next::Exchange(ask), epoch)) => {
                self.look_after_returns();
                let (exchange, alarm) =
                    (self.exchange(&entry.key, terms, ask), Alarm::new(self.timeout));
                // With the timer, if there was one: dropped without the lock.
                drop(replace(work, Work::Exchanges { exchange, alarm, asked_at: now, epoch }));
            }
            _ => {}
        }
        let poll = work.poll(&mut Context::from_waker(&entry.bell));
        let Poll::Ready(done) = poll else {
            let mut state = lock(&entry.state);
            state.work = take(work);
            state.is_driven = false;
            let woken =
                if take(&mut state.again) { state.account.take_first() } else { Vec::new() };
            drop(state);
            drop(driving);
            woken.into_iter().for_each(Waker::wake);
            return Poll::Pending;
        };
        self.finish(entry, work, done);
        Poll::Ready(())
    }

    /// What was waited for is there.
    fn finish(
        &self,
        entry: &Entry<C::Timer>,
        work: &mut Work<C::Timer>,
        done: Option<Result<Answer, StoreError>>,
    ) {
        let (Some(done), Work::Exchanges { asked_at, epoch, .. }) = (done, &*work) else {
            let mut state = lock(&entry.state);
            state.work = take(work);
            state.is_driven = false;
            return;
        };
        let (asked_at, epoch) = (*asked_at, *epoch);
        let (done, now) = (self.note(done, asked_at), self.clock.now());
        let error = match &done {
            Done::Refused(error) => Some(error.clone()),
            _ => None,
        };
        let mut state = lock(&entry.state);
        state.is_driven = false;
        let change = self.note_of_key(&entry.key, &mut state, done, (now, asked_at, epoch));
        drop(state);
        self.tell(&entry.key, &change, error.as_ref(), now);
        // What is left of the exchange.
        drop(take(work));
    }

    /// An exchange that outlives who begins it.
    pub(super) fn exchange(&self, key: &str, terms: &Terms, ask: Ask) -> Exchange {
        let Some(quota) = terms.store else {
            let answer = Answer { granted: ask.max, full_after: Duration::ZERO };
            return Box::pin(std::future::ready(Ok(answer)));
        };
        self.counts.round_trips.fetch_add(1, Relaxed);
        // The hash tag: all that belongs to a key is in one slot of a cluster.
        let key = format!("{}{{{key}}}", self.prefix);
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.exchange(&key, &quota, ask).await })
    }

    /// What the store says of a key.
    pub(super) async fn peek(&self, key: &str, terms: &Terms) -> Result<Answer, StoreError> {
        self.look_after_returns();
        let exchange = timeout(self.timeout, self.exchange(key, terms, Ask::peek()));
        exchange.await.unwrap_or(Err(StoreError::Timeout(self.timeout)))
    }

    /// Gives up the place of a waiter, and what was taken for it.
    pub(super) fn leave(&self, entry: &Entry<C::Timer>, key: usize, cost: u64) {
        let (now, time) = (self.clock.now(), self.time());
        let ((rings, left), tally) = entry.with(|state| {
            state.account.at(time);
            state.account.leave(&state.terms.rules, now, key, cost)
        });
        self.counts.add(tally);
        drop(left);
        entry.park();
        if rings {
            // What the line waits for may not be what the next one does.
            entry.ring();
        }
    }

    pub(super) fn give_back(&self, entry: &Entry<C::Timer>, n: u64, origin: Origin) {
        let (now, time) = (self.clock.now(), self.time());
        let ((), tally) = entry.with(|state| {
            state.account.at(time);
            state.account.refund(&state.terms.rules, now, n, origin);
        });
        self.counts.add(tally);
        entry.ring();
    }

    /// Nanoseconds since the limiter was built, by a clock that nobody sets.
    pub(super) fn time(&self) -> u64 {
        u64::try_from(self.built_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn unavailable(&self, now: u64) -> Option<Fail> {
        let (retry_at, source) = lock(&self.health).error()?;
        let retry_after = Duration::from_nanos(retry_at.saturating_sub(now));
        Some(Fail::Unavailable { retry_after, source })
    }

    pub(super) fn stats(&self) -> FleetStats {
        self.look_after_returns();
        self.counted()
    }

    /// What is counted so far, and nothing else is done.
    pub(super) fn counted(&self) -> FleetStats {
        let stats = self.counts.stats();
        FleetStats { keys: self.table.len(), is_degraded: !self.is_up.load(Acquire), ..stats }
    }
}
