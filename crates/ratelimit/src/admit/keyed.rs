//! The limiter of each key.

use super::{Admit, Denied, Queue, Queued, Reserved};
use crate::{Clock, KeyedLimiter, KeyedReservation};
use std::{
    hash::{BuildHasher, Hash},
    task::{Context, Poll},
    time::Duration,
};

impl<K, C, S> Admit<K> for KeyedLimiter<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn admit(&self, key: K, cost: u64) -> Result<(), Denied> {
        self.try_acquire(&key, cost)?;
        Ok(())
    }
}

impl<K, C, S> Queue<K> for KeyedLimiter<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    type Place = Queued<KeyedReservation<K, C, S>>;

    fn join(
        &self,
        key: K,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Option<Self::Place>, Denied> {
        let reservation = match within {
            Some(within) => self.reserve_within(key, cost, within)?,
            None => self.reserve(key, cost)?,
        };
        Ok(Queued::unless_ready(reservation, self.resource()))
    }
}

impl<K, C, S> Reserved for KeyedReservation<K, C, S>
where
    K: Hash + Eq + Clone,
    C: Clock,
    S: BuildHasher,
{
    fn is_ready(&mut self) -> bool {
        Self::is_ready(self)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        Self::poll_ready(self, cx).map_err(Denied::from)
    }

    fn spend(self) {
        let spent = self.commit();
        debug_assert!(spent.is_ok(), "only tokens that are there can be spent");
    }
}
