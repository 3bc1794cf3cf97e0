//! Tokens in hand of keys that have to go, and of a limiter that goes: given back as well as can be.

use super::{
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
use tidegate_core::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
    lock,
};
use tokio::runtime::Handle;

/// How many exchanges are under way of which nobody waits for the answer, at most.
const MOST: usize = 64;

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
    /// When somebody has looked after it last, and whether to wait for it.
    seen_at: u64,
    is_awaited: bool,
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

/// Those of a limiter. No task drives them: whoever comes by looks after all of them.
#[derive(Default)]
pub(super) struct Returns {
    under_way: Mutex<Vec<Return>>,
    /// With those that somebody looks after now.
    count: AtomicUsize,
}

impl Returns {
    /// Room for one more, if there is any.
    fn has_room(&self) -> bool {
        let has_room = self.count.fetch_add(1, Relaxed) < MOST;
        if !has_room {
            self.count.fetch_sub(1, Relaxed);
        }
        has_room
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
        if !entry.is_kept && !std::thread::panicking() {
            self.let_go(from_ref(entry));
        }
    }

    /// Gives back what keys that have to go had in hand. Nobody waits for it: an exchange begins, goes on with
    /// whoever comes by, and is given up when it takes too long, or where too many do not come to an end.
    pub(super) fn let_go(&self, gone: &[Arc<Entry<C::Timer>>]) {
        self.look_after_returns(None);
        let time = self.time();
        for entry in gone {
            let ((work, under_way, tokens, terms), tally) = entry.with(|state| {
                let (work, terms) = (take(&mut state.work), Arc::clone(&state.terms));
                state.account.at(time);
                let under_way = state.account.abandon();
                (work, under_way, state.account.let_go(&terms.rules), terms)
            });
            self.counts.add(tally);
            if let (Work::Exchanges { exchange, .. }, Some((tokens, is_old))) = (work, under_way) {
                let takes = if is_old { Takes::OldLease } else { Takes::Lease };
                self.returning(entry, &terms, tokens, takes, || exchange);
            }
            if tokens > 0 && !self.is_up.load(Relaxed) {
                self.forfeit(&entry.key, tokens, &"the store is down");
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
        let (is_awaited, is_late) = (false, false);
        let mut one =
            Return { exchange, key, terms, tokens, takes, ends_at, seen_at, is_awaited, is_late };
        if self.look_after(&mut one, None) {
            self.returns.count.fetch_sub(1, Relaxed);
        } else {
            lock(&self.returns.under_way).push(one);
        }
    }

    /// The timeout, in nanoseconds.
    fn within(&self) -> u64 {
        u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX)
    }

    fn ends_at(&self) -> u64 {
        self.time().saturating_add(self.within())
    }

    /// Goes on with what is given back, for somebody who waits for it or in passing; says how many are not at an
    /// end.
    pub(super) fn look_after_returns(&self, waiting: Option<&Waker>) -> usize {
        let count = self.returns.count.load(Relaxed);
        if count == 0 || Handle::try_current().is_err() {
            return count;
        }
        let mut under_way = take(&mut *lock(&self.returns.under_way));
        under_way.retain_mut(|one| {
            let is_over = self.look_after(one, waiting);
            if is_over {
                self.returns.count.fetch_sub(1, Relaxed);
            }
            !is_over
        });
        lock(&self.returns.under_way).append(&mut under_way);
        self.returns.count.load(Relaxed)
    }

    /// Goes on with one of them; says whether it is over.
    fn look_after(&self, one: &mut Return, waiting: Option<&Waker>) -> bool {
        let waker = waiting.unwrap_or(Waker::noop());
        loop {
            let poll = || one.exchange.as_mut().poll(&mut Context::from_waker(waker));
            let poll = catch_unwind(AssertUnwindSafe(poll));
            let now = self.time();
            let seen_at = replace(&mut one.seen_at, now);
            // Who waits for it is woken by it, and lets it go on.
            let was_awaited = replace(&mut one.is_awaited, waiting.is_some()) && one.is_awaited;
            let was_left = !was_awaited && now - seen_at >= self.within();
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
                        Takes::Lease if granted > 0 => {}
                        Takes::OldLease => {
                            self.forfeit(&one.key, granted, &"the quota has changed");
                            return true;
                        }
                        Takes::Nothing | Takes::Lease => return true,
                    }
                    (one.tokens, one.ends_at, one.is_late) = (granted, self.ends_at(), false);
                    one.exchange = self.exchange(&one.key, &one.terms, Ask::refund(granted));
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
            let left = take(&mut *lock(&self.returns.under_way));
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
