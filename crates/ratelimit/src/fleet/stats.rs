//! Plain numbers.

use super::state::Tally;
use std::time::Duration;
use tidegate_core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a fleet limiter stands, and what it has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetStats {
    /// How many requests passed.
    pub admitted: u64,
    /// How many did not.
    pub denied: u64,
    /// How often the store was asked.
    pub round_trips: u64,
    /// Denials that the store was not asked for.
    pub denied_from_cache: u64,
    /// Requests that passed without the store, since it was down or refused their key.
    pub local: u64,
    /// How often the store failed, or did not answer in time.
    pub errors: u64,
    /// How often it refused a [single key](super::StoreError::is_of_key).
    pub key_errors: u64,
    /// Tokens that were in hand and were given up: with keys for which there was no room, if too many were to
    /// be given back at a time; on their way back to a store that failed, or that did not answer in time; or that
    /// were given back so late that they had come back by themselves. What a store has granted in an answer that was
    /// lost was never in hand, and is not known. The limit gives out fewer for a while; never more.
    pub forfeited: u64,
    /// How many keys are known.
    pub keys: usize,
    /// Whether the store is down.
    pub is_degraded: bool,
}

/// How a key stands: see [`FleetLimiter::peek`](super::FleetLimiter::peek).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetPeek {
    /// How much the fleet could take now, apart from what instances have in hand.
    pub remaining: u64,
    /// How much this instance has in hand.
    pub in_hand: u64,
    /// After this the key is full again, if nothing is taken; none, if never.
    pub full_after: Option<Duration>,
    /// Whether the store has told, or only this instance.
    pub is_from_store: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    admitted: AtomicU64,
    denied: AtomicU64,
    cached: AtomicU64,
    local: AtomicU64,
    forfeited: AtomicU64,
    pub(super) round_trips: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) key_errors: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, tally: Tally) {
        let Tally { admitted, denied, local, cached, forfeited } = tally;
        let counts = [
            (&self.admitted, admitted),
            (&self.denied, denied),
            (&self.cached, cached),
            (&self.local, local),
            (&self.forfeited, forfeited),
        ];
        for (count, more) in counts {
            if more > 0 {
                count.fetch_add(more, Relaxed);
            }
        }
    }

    pub(super) fn forfeit(&self, tokens: u64) {
        self.forfeited.fetch_add(tokens, Relaxed);
    }

    pub(super) fn stats(&self) -> FleetStats {
        FleetStats {
            admitted: self.admitted.load(Relaxed),
            denied: self.denied.load(Relaxed),
            round_trips: self.round_trips.load(Relaxed),
            denied_from_cache: self.cached.load(Relaxed),
            local: self.local.load(Relaxed),
            errors: self.errors.load(Relaxed),
            key_errors: self.key_errors.load(Relaxed),
            forfeited: self.forfeited.load(Relaxed),
            keys: 0,
            is_degraded: false,
        }
    }
}
