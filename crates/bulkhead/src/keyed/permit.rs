//! Leave to be inside, for a key.

use super::table::User;
use crate::{Held, Outcome, Permit};
use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

/// Permits of a key, which come back when it is dropped: as [`Permit`].
#[must_use = "the permits come back when it is dropped"]
pub struct KeyedPermit<K: Hash + Eq, S: BuildHasher = RandomState> {
    // Comes back first: the key stays for as long as it has users.
    permit: Permit,
    user: User<K, S>,
}

impl<K: Hash + Eq, S: BuildHasher> KeyedPermit<K, S> {
    pub(super) fn new(permit: Permit, user: User<K, S>) -> Self {
        Self { permit, user }
    }

    /// How many permits these are.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.permit.weight()
    }

    crate::bulkhead::endings!();

    /// Which key they are of.
    #[must_use]
    pub fn key(&self) -> &K {
        self.user.key()
    }
}

impl<K: Hash + Eq, S: BuildHasher> Held for KeyedPermit<K, S> {
    #[inline]
    fn begins(&mut self) {
        self.permit.begins();
    }

    #[inline]
    fn ended(&mut self, outcome: Outcome) {
        self.permit.ended(outcome);
    }
}

impl<K: Hash + Eq + fmt::Debug, S: BuildHasher> fmt::Debug for KeyedPermit<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPermit")
            .field("key", self.key())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
