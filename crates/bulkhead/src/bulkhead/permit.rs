//! Leave to be inside.

use super::shared::Shared;
use crate::{Held, Outcome};
use std::{fmt, ops::Deref};
use tidegate_core::sync::Arc;

/// Permits that were taken, by whatever leads to their bulkhead.
struct Lease<S: Deref<Target = Shared>> {
    shared: S,
    tag: Tag,
}

/// How many permits, and an entry, if account is kept of who holds them or for how long: see
/// [`Shared::enter`]. One word, so that a lease is a pair of words, which is moved by way of registers.
#[derive(Clone, Copy)]
struct Tag(u64);

impl Tag {
    #[inline]
    fn weight(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let weight = self.0 as u32;
        weight
    }

    #[inline]
    fn entry(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn with_weight(self, weight: u32) -> Self {
        Self(u64::from(self.entry()) << 32 | u64::from(weight))
    }
}

impl<S: Deref<Target = Shared>> Lease<S> {
    #[inline]
    fn new(shared: S, weight: u32) -> Self {
        let mut tag = Tag(weight.into());
        if shared.keeps_account {
            tag.0 |= u64::from(shared.enter()) << 32;
        }
        Self { shared, tag }
    }

    /// They are used from now on.
    #[inline]
    fn begins(&mut self) {
        if self.tag.entry() > 0 {
            self.restart();
        }
    }

    #[cold]
    fn restart(&mut self) {
        let entry = self.shared.begins(self.tag.entry());
        self.tag = Tag(u64::from(entry) << 32 | u64::from(self.tag.weight()));
    }

    /// What has become of what the permits are for.
    #[inline]
    fn ended(&mut self, outcome: Outcome) {
        if self.tag.entry() > 0 {
            self.tell(outcome);
        }
    }

    #[cold]
    fn tell(&mut self, outcome: Outcome) {
        if self.tag.weight() > 0 {
            self.shared.ended(self.tag.entry(), outcome);
        }
        if self.shared.face.holders.is_none() {
            self.tag = Tag(self.tag.weight().into());
        }
    }
}

impl<S: Deref<Target = Shared>> Drop for Lease<S> {
    #[inline]
    fn drop(&mut self) {
        // First, so that there are never more holders than permits.
        if self.tag.entry() > 0 {
            self.tell(Outcome::Cancelled);
            self.shared.leave(self.tag.entry());
        }
        if self.tag.weight() > 0 {
            self.shared.give_back(self.tag.weight());
        }
    }
}

/// How what permits are for can have ended: the same for all that are [held](Held).
macro_rules! endings {
    () => {
        /// It went well, and gives them back: a limit that adapts itself learns how long it took.
        #[inline]
        pub fn success(mut self) {
            $crate::Held::ended(&mut self, $crate::Outcome::Success);
        }

        /// It went wrong as it does when there are too many, by a timeout or a refusal, and gives them back: a
        /// limit that adapts itself falls.
        #[inline]
        pub fn failure(mut self) {
            $crate::Held::ended(&mut self, $crate::Outcome::Failure);
        }

        /// It went wrong for whatever reason, and gives them back: a limit that adapts itself falls only if
        /// that took much longer than a call that does not wait.
        #[inline]
        pub fn error(mut self) {
            $crate::Held::ended(&mut self, $crate::Outcome::Error);
        }

        /// It ended in a way that says nothing, and gives them back. Dropped without any of these, it was given
        /// up: then it would have taken at least as long, and if that is longer than usual, it counts as much.
        #[inline]
        pub fn ignore(mut self) {
            $crate::Held::ended(&mut self, $crate::Outcome::Ignored);
        }
    };
}
pub(crate) use endings;

/// Leave to be inside: permits of a [`Bulkhead`](crate::Bulkhead), which come back when it is dropped,
/// wherever that is, with a runtime or without one. It can be moved to another task, and into a response.
///
/// It is valid for as long as it lives, also when its bulkhead is closed or made smaller meanwhile.
#[must_use = "the permits come back when it is dropped"]
pub struct Permit(Lease<Arc<Shared>>);

impl Permit {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared>, weight: u32) -> Self {
        Self(Lease::new(shared, weight))
    }

    /// How many permits these are.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.0.tag.weight()
    }

    crate::bulkhead::endings!();

    /// Sets `n` of them apart, to be given back by themselves; none, if these are fewer.
    pub fn split(&mut self, n: u32) -> Option<Self> {
        self.0.tag = self.0.tag.with_weight(self.weight().checked_sub(n)?);
        let mut part = Self::new(Arc::clone(&self.0.shared), n);
        if self.0.shared.face.holders.is_none() {
            // They are held for as long.
            part.0.tag = self.0.tag.with_weight(n);
        }
        Some(part)
    }

    /// Takes in others, to be given back together.
    ///
    /// # Errors
    ///
    /// If they are of another bulkhead: then they are handed back.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        if !Arc::ptr_eq(&self.0.shared, &other.0.shared) {
            return Err(other);
        }
        // There are never more of them than 2^31.
        self.0.tag = self.0.tag.with_weight(self.weight() + other.weight());
        other.0.tag = other.0.tag.with_weight(0);
        Ok(())
    }
}

impl Held for Permit {
    #[inline]
    fn begins(&mut self) {
        self.0.begins();
    }

    #[inline]
    fn ended(&mut self, outcome: Outcome) {
        self.0.ended(outcome);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

/// A [`Permit`] that borrows its bulkhead, and saves counting one reference more: for work that ends where
/// it began.
#[must_use = "the permits come back when it is dropped"]
pub struct PermitRef<'a>(Lease<&'a Shared>);

impl<'a> PermitRef<'a> {
    #[inline]
    pub(crate) fn new(shared: &'a Shared, weight: u32) -> Self {
        Self(Lease::new(shared, weight))
    }

    /// How many permits these are.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.0.tag.weight()
    }

    crate::bulkhead::endings!();
}

impl Held for PermitRef<'_> {
    #[inline]
    fn begins(&mut self) {
        self.0.begins();
    }

    #[inline]
    fn ended(&mut self, outcome: Outcome) {
        self.0.ended(outcome);
    }
}

impl fmt::Debug for PermitRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitRef").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
