//! Tokens in hand of keys that have to go, and of a limiter that goes: given back as well as can be.

use super::{
    bell::Bell,
    entry::{Entry, Exchange, Work},
    inner::Inner,
    observe,
    store::{Answer, Ask, Store, StoreError},
    terms::Terms,
};
use crate::clock::Clock;
use std::{
    mem::{replace, take},
    panic::{AssertUnwindSafe, catch_unwind},
    slice::from_ref,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tidegate_core::{
    panic::drop_quietly,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        lock,
    },
};
use tokio::runtime::Handle;

/// How many exchanges are under way of which nobody waits for the answer, at most.
const MOST: usize = 64;

/// Why tokens are forfeited: at another rate, nobody knows what they are worth.
const OTHER_QUOTA: &str = "the quota has changed";

/// An exchange of which nobody waits for the answer.
struct Return {
    exchange: Exchange,
    key: Arc<str>,
    terms: Arc<Terms>,
    /// Tokens that it gives back.
    tokens: u64,
    takes: Takes,
    /// When it is given up, by the clock that nobody sets.
    ends_at: u64,
    /// When somebody has looked after it last, and for whom, if anybody waited then: see [`Bell`].
    seen_at: u64,
    awaited: Option<u64>,
    /// It was given time once more, as nobody had.
    is_late: bool,
}

/// What becomes of what it takes.
enum Takes {
    /// It takes nothing.
    Nothing,
    /// A lease that nobody waits for any more: back with it.
    Lease,
    /// One that was asked for under another quota, and is worth nothing.
    OldLease,
}

/// Those of a limiter. No task drives them: whoever comes by looks after all of them, and all who wait are told.
pub(super) struct Returns {
    under_way: Mutex<UnderWay>,
    /// With those that somebody looks after now.
    count: AtomicUsize,
    pub(super) bell: Arc<Bell>,
    /// The same, as what is waited for knows it.
    waker: Waker,
}

#[derive(Default)]
struct UnderWay {
    all: Vec<Return>,
    /// How often somebody who waits has found that another one looks after some of them.
    missed: u64,
}

impl Default for Returns {
    fn default() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let (under_way, count) = (Mutex::default(), AtomicUsize::new(0));
        Self { under_way, count, bell, waker }
    }
}

impl Returns {
    /// Room for one more, if there is any.
    fn has_room(&self) -> bool {
        let has_room = self.count.fetch_add(1, Relaxed) < MOST;
        if !has_room {
            self.leave();
        }
        has_room
    }

    /// One less. The bell has a lock: who is not there to hear it sees the new number.
    fn leave(&self) {
        if self.count.fetch_sub(1, Relaxed) == 1 {
            self.bell.ring();
        }
    }

    /// All that nobody else looks after.
    fn take(&self, waits: bool) -> InHand<'_> {
        let mut under_way = lock(&self.under_way);
        let all = take(&mut under_way.all);
        // What rings for those is heard by who waits, who comes in vain: whoever has them looks once more.
        let misses = waits && self.count.load(Relaxed) > all.len();
        under_way.missed += u64::from(misses);
        InHand { returns: self, missed: under_way.missed, all }
    }

    /// A new one, for which there is room.
    fn take_new(&self, one: Return) -> InHand<'_> {
        let missed = lock(&self.under_way).missed;
        InHand { returns: self, missed, all: vec![one] }
    }
}

/// Those that somebody looks after now: back with the others, whatever happens.
struct InHand<'a> {
    returns: &'a Returns,
    all: Vec<Return>,
    missed: u64,
}

impl InHand<'_> {
    /// Puts them back; says whether somebody was there in vain meanwhile.
    fn put_back(&mut self) -> bool {
        let mut under_way = lock(&self.returns.under_way);
        under_way.all.append(&mut self.all);
        under_way.missed != self.missed
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// The entry of a key while somebody asks for it. One for which the table had no room ends with that, and
/// what it has in hand is given back.
pub(super) struct Asked<'a, S: Store, C: Clock> {
    inner: &'a Inner<S, C>,
    pub(super) entry: Arc<Entry<C::Timer>>,
}

impl<'a, S: Store, C: Clock> Asked<'a, S, C> {
    pub(super) fn new(inner: &'a Inner<S, C>, key: &str) -> Self {
        Self { inner, entry: inner.entry(key) }
    }
}

impl<S: Store, C: Clock> Drop for Asked<'_, S, C> {
    fn drop(&mut self) {
        self.inner.let_go_unless_kept(&self.entry);
    }
}

impl<S: Store, C: Clock> Inner<S, C> {
    pub(super) fn let_go_unless_kept(&self, entry: &Arc<Entry<C::Timer>>) {
        if entry.is_kept {
            return;
        }
        if std::thread::panicking() {
            // Nothing is asked of a store then.
            let time = self.time();
            let (tokens, tally) = entry.with(|state| {
                state.account.at(time);
                state.account.failed();
                state.account.let_go(&state.terms.rules)
            });
            self.counts.add(tally);
            self.forfeit(&entry.key, tokens, &"who asked for it panics");
        } else {
            self.let_go(from_ref(entry));
        }
    }

    /// Gives back what keys that have to go had in hand. Nobody waits for it: an exchange begins, goes on with
    /// whoever comes by, and is given up when it takes too long, or where too many do not come to an end.
    pub(super) fn let_go(&self, gone: &[Arc<Entry<C::Timer>>]) {
        self.look_after_returns();
        let time = self.time();
        for entry in gone {
            let ((work, under_way, tokens, terms), tally) = entry.with(|state| {
                let (work, terms) = (take(&mut state.work), Arc::clone(&state.terms));
                state.account.at(time);
                let under_way = state.account.abandon();
                (work, under_way, state.account.let_go(&terms.rules), terms)
            });
            self.counts.add(tally);
            // One of its own is foreign code, which is not to run since a limiter is dropped.
            let asks_quota = self.quota_for.is_none() || !entry.is_kept;
            if let (Work::Exchanges { exchange, .. }, Some((tokens, is_old))) = (work, under_way) {
                let takes = if is_old { Takes::OldLease } else { Takes::Lease };
                self.returning(entry, &terms, tokens, takes, || exchange);
            }
            if tokens > 0 && !self.is_up.load(Relaxed) {
                self.forfeit(&entry.key, tokens, &"the store is down");
            } else if tokens > 0 && asks_quota && !self.is_current(&entry.key, &terms) {
                self.forfeit(&entry.key, tokens, &OTHER_QUOTA);
            } else if tokens > 0 {
                let refund = || self.exchange(&entry.key, &terms, Ask::refund(tokens));
                self.returning(entry, &terms, tokens, Takes::Nothing, refund);
            }
        }
    }

    fn returning(
        &self,
        entry: &Entry<C::Timer>,
        terms: &Arc<Terms>,
        tokens: u64,
        takes: Takes,
        exchange: impl FnOnce() -> Exchange,
    ) {
        // A store behind a network is not to be asked elsewhere.
        if Handle::try_current().is_err() || !self.returns.has_room() {
            return self.forfeit(&entry.key, tokens, &"nobody is there to wait for it");
        }
        let (key, terms) = (Arc::clone(&entry.key), Arc::clone(terms));
        let (ends_at, seen_at) = (self.ends_at(), self.time());
        let exchange = exchange();
        let (awaited, is_late) = (None, false);
        let one =
            Return { exchange, key, terms, tokens, takes, ends_at, seen_at, awaited, is_late };
        if self.look_after_all(self.returns.take_new(one)) {
            self.look_after_returns();
        }
    }

    /// The timeout, in nanoseconds.
    fn within(&self) -> u64 {
        u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX)
    }

    fn ends_at(&self) -> u64 {
        self.time().saturating_add(self.within())
    }

    /// Goes on with what is given back, in passing.
    pub(super) fn look_after_returns(&self) {
        self.look_after_returns_for(false);
    }

    /// The same, for somebody who [waits](Bell::join) for it or in passing; says how many are not at an end.
    pub(super) fn look_after_returns_for(&self, waits: bool) -> usize {
        let count = self.returns.count.load(Relaxed);
        if count == 0 || Handle::try_current().is_err() {
            return count;
        }
        let looks_again = self.look_after_all(self.returns.take(waits));
        if looks_again && self.look_after_all(self.returns.take(false)) {
            // Not for ever: who was there in vain does it.
            self.returns.bell.ring();
        }
        self.returns.count.load(Relaxed)
    }

    /// Goes on with these; says whether to look again.
    fn look_after_all(&self, mut mine: InHand<'_>) -> bool {
        let mut at = 0;
        while let Some(one) = mine.all.get_mut(at) {
            if self.look_after(one) {
                let one = mine.all.swap_remove(at);
                self.returns.leave();
                // What is left of it is foreign code, that is not to harm who comes by.
                drop_quietly(one);
            } else {
                at += 1;
            }
        }
        mine.put_back()
    }

    /// Goes on with one of them; says whether it is over.
    fn look_after(&self, one: &mut Return) -> bool {
        let mut cx = Context::from_waker(&self.returns.waker);
        loop {
            let poll = || one.exchange.as_mut().poll(&mut cx);
            let poll = catch_unwind(AssertUnwindSafe(poll));
            let now = self.time();
            let seen_at = replace(&mut one.seen_at, now);
            // Who has waited all the while was woken by it, and let it go on.
            let was_awaited = self.returns.bell.is_still(one.awaited);
            one.awaited = self.returns.bell.awaited();
            let was_left = !was_awaited && now.saturating_sub(seen_at) >= self.within();
            let error = match poll {
                Ok(Poll::Pending) if now < one.ends_at => return false,
                // Nobody has let it go on: that is not the store being late. Not twice, or it might stay for ever.
                Ok(Poll::Pending) if !one.is_late && was_left => {
                    (one.is_late, one.ends_at) = (true, self.ends_at());
                    return false;
                }
                Ok(Poll::Pending) => StoreError::Timeout(self.timeout),
                Ok(Poll::Ready(Ok(Answer { granted, .. }))) => {
                    match replace(&mut one.takes, Takes::Nothing) {
                        Takes::Lease if granted > 0 && self.is_current(&one.key, &one.terms) => {}
                        Takes::Lease | Takes::OldLease if granted > 0 => {
                            self.forfeit(&one.key, granted, &OTHER_QUOTA);
                            return true;
                        }
                        _ => return true,
                    }
                    (one.tokens, one.ends_at, one.is_late) = (granted, self.ends_at(), false);
                    let refund = self.exchange(&one.key, &one.terms, Ask::refund(granted));
                    drop_quietly(replace(&mut one.exchange, refund));
                    continue;
                }
                Ok(Poll::Ready(Err(error))) => error,
                Err(_) => StoreError::Panicked,
            };
            // How the store is now it does not tell: it may have been like that for long.
            let errors =
                if error.is_of_key() { &self.counts.key_errors } else { &self.counts.errors };
            errors.fetch_add(1, Relaxed);
            self.forfeit(&one.key, one.tokens, &error);
            return true;
        }
    }

    fn forfeit(&self, key: &str, tokens: u64, why: &dyn std::fmt::Display) {
        if tokens > 0 {
            self.counts.forfeit(tokens);
            observe::forfeited(&self.name, key, tokens, why);
        }
    }
}

/// Gives back what is in hand, as far as the store takes it at once: one in this process does. Where it takes
/// a network, nobody is there to wait for it: that is what `give_back` is for.
impl<S: Store, C: Clock> Drop for Inner<S, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let all = self.table.all();
        let mut parts = all.chunks(MOST);
        // By parts, and none of them is kept.
        for part in &mut parts {
            self.let_go(part);
            let left = take(&mut lock(&self.returns.under_way).all);
            if !left.is_empty() {
                for one in &left {
                    self.forfeit(&one.key, one.tokens, &"the limiter is gone");
                }
                break;
            }
        }
        for entry in parts.flatten() {
            let tokens = entry.with(|state| state.account.holds()).0;
            self.forfeit(&entry.key, tokens, &"the limiter is gone");
        }
    }
}
