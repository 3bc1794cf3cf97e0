//! Tokens in hand of keys that have to go, and of a limiter that goes: given back as well as can be.

use super::{
    entry::{Entry, Exchange},
    inner::Inner,
    store::{Ask, Store},
};
use crate::clock::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Waker},
};
use tidegate_core::sync::{atomic::Ordering::Relaxed, lock};
use tokio::runtime::Handle;

/// How many exchanges are under way of which nobody waits for the answer, at most.
const MOST: usize = 64;

/// What becomes of it when it is polled.
fn is_done(exchange: &mut Exchange) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    // A store that panics has lost what it was given.
    catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(&mut cx).is_ready())).unwrap_or(true)
}

impl<S: Store, C: Clock> Inner<S, C> {
    /// Gives back what evicted keys had in hand. Nobody waits for it: an exchange begins, goes on with
    /// whoever comes by here again, and is given up where too many do not come to an end.
    pub(super) fn let_go(&self, evicted: &[Arc<Entry<C::Timer>>]) {
        let mut under_way = std::mem::take(&mut *lock(&self.returns));
        under_way.retain_mut(|exchange| !is_done(exchange));
        for entry in evicted {
            let ((tokens, terms), _) = entry
                .with(|state| (state.account.let_go(&state.terms.rules), Arc::clone(&state.terms)));
            if tokens == 0 {
                continue;
            }
            if under_way.len() >= MOST
                || !self.is_up.load(Relaxed)
                || Handle::try_current().is_err()
            {
                self.counts.forfeit(tokens);
                continue;
            }
            let mut exchange = self.exchange(&entry.key, &terms, Ask::refund(tokens));
            if !is_done(&mut exchange) {
                under_way.push(exchange);
            }
        }
        let mut returns = lock(&self.returns);
        let room = MOST.saturating_sub(returns.len()).min(under_way.len());
        returns.extend(under_way.drain(..room));
        drop(returns);
        // Of somebody who came by at the same time.
        drop(under_way);
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
        // By parts, and none of them is kept.
        for part in all.chunks(MOST) {
            self.let_go(part);
            let left = std::mem::take(&mut *lock(&self.returns));
            let is_slow = !left.is_empty();
            drop(left);
            if is_slow {
                return;
            }
        }
    }
}
