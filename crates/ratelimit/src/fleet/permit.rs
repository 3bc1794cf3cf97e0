//! Leave to go on.

use super::{entry::Entry, inner::Inner, state::Origin, store::Store};
use crate::clock::{Clock, TokioClock};
use std::{fmt, sync::Arc};

/// Leave to go on: the tokens are spent. Where nothing came of it, give them back.
pub struct FleetPermit<'a, S: Store, C: Clock = TokioClock> {
    inner: &'a Inner<S, C>,
    /// None, if it took nothing.
    entry: Option<(Arc<Entry<C::Timer>>, Origin)>,
    cost: u64,
}

impl<'a, S: Store, C: Clock> FleetPermit<'a, S, C> {
    pub(super) fn new(
        inner: &'a Inner<S, C>,
        entry: Option<(Arc<Entry<C::Timer>>, Origin)>,
        cost: u64,
    ) -> Self {
        Self { inner, entry, cost }
    }

    /// How many tokens were taken.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Gives the tokens back: what they were for has not happened. This instance has them in hand again,
    /// and who waits here may pass by them; what is more than a lease goes back to the store with the next
    /// exchange for the key. Tokens that passed without the store go back to the share.
    ///
    /// As with all limits, a token that has come back by itself cannot be given back as well: `n` tokens of a
    /// key with `rate` are worth `n - rate * t`, where `t` is how long ago the store was asked for them. That is
    /// why late refunds do not exceed the [bound](super), in whatever order they come. What is worth nothing any
    /// more counts as [forfeited](super::FleetStats::forfeited), and so does all that was taken before a change of
    /// the quota.
    ///
    /// What goes back to the store is valued when the exchange begins. Where the store does it later, that
    /// is too much by what comes at the rate meanwhile: a store that takes `d` to do it, which is no longer than
    /// the [timeout](super::FleetLimiterBuilder::timeout), may admit `rate * d` more for each such exchange, up to
    /// what it gives back. Of a key that had to go, `d` is no longer than that after somebody has come by.
    pub fn refund(self) {
        if let Some((entry, origin)) = &self.entry {
            self.inner.give_back(entry, self.cost, *origin);
            self.inner.let_go_unless_kept(entry);
        }
    }
}

impl<S: Store, C: Clock> fmt::Debug for FleetPermit<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetPermit").field("cost", &self.cost).finish_non_exhaustive()
    }
}
