//! Leave to be inside.

use super::shared::{Face, Shared};
use std::{fmt, ops::Deref};
use tidegate_core::sync::Arc;

/// Permits that were taken, by whatever leads to their bulkhead.
struct Lease<S: Deref<Target = Shared>> {
    shared: S,
    tag: Tag,
}

/// How many permits, and the entry of who holds them, if account is kept of that, counted from 1. One word, so
/// that a lease is a pair of words, which is moved by way of registers.
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
    fn entry(self) -> u64 {
        self.0 >> 32
    }

    #[inline]
    fn with_weight(self, weight: u32) -> Self {
        Self(self.entry() << 32 | u64::from(weight))
    }
}

impl<S: Deref<Target = Shared>> Lease<S> {
    #[inline]
    fn new(shared: S, weight: u32) -> Self {
        let mut tag = Tag(weight.into());
        if shared.tracks_holders {
            tag.0 |= enter(&shared.face) << 32;
        }
        Self { shared, tag }
    }
}

#[cold]
fn enter(face: &Face) -> u64 {
    let key = face.holders.as_ref().map(|holders| holders.enter(face.clock, &face.resource));
    // Of more holders than that none is known by name.
    key.and_then(|key| u32::try_from(key).ok()?.checked_add(1)).map_or(0, u64::from)
}

#[cold]
fn leave(face: &Face, entry: u64) {
    if let (Some(holders), Ok(entry)) = (&face.holders, usize::try_from(entry)) {
        holders.leave(entry - 1);
    }
}

impl<S: Deref<Target = Shared>> Drop for Lease<S> {
    #[inline]
    fn drop(&mut self) {
        // First, so that there are never more holders than permits.
        if self.tag.entry() > 0 {
            leave(&self.shared.face, self.tag.entry());
        }
        if self.tag.weight() > 0 {
            self.shared.give_back(self.tag.weight());
        }
    }
}

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

    /// Sets `n` of them apart, to be given back by themselves; none, if these are fewer.
    pub fn split(&mut self, n: u32) -> Option<Self> {
        self.0.tag = self.0.tag.with_weight(self.weight().checked_sub(n)?);
        Some(Self::new(Arc::clone(&self.0.shared), n))
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
}

impl fmt::Debug for PermitRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitRef").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
