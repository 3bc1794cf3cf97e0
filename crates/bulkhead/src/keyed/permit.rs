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

    pub(crate) fn permit(&mut self) -> &mut Permit {
        &mut self.permit
    }

    /// It went well, and gives them back: see [`Permit::success`].
    pub fn success(mut self) {
        self.permit.ended(Outcome::Success);
    }

    /// It went wrong as it does when there are too many, and gives them back: see [`Permit::failure`].
    pub fn failure(mut self) {
        self.permit.ended(Outcome::Failure);
    }

    /// It ended in a way that says nothing, and gives them back: see [`Permit::ignore`].
    pub fn ignore(mut self) {
        self.permit.ended(Outcome::Ignored);
    }

    /// Which key they are of.
    #[must_use]
    pub fn key(&self) -> &K {
        self.user.key()
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
