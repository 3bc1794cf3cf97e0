//! Leave to be inside.

use super::{
    holders::Held,
    shared::{Face, Shared},
};
use std::{fmt, ops::Deref};
use tidegate_core::sync::Arc;

/// Permits that were taken, by whatever leads to their bulkhead.
struct Lease<S: Deref<Target = Shared>> {
    shared: S,
    weight: u32,
    /// Boxed, since few want to know.
    held: Option<Box<Held>>,
}

impl<S: Deref<Target = Shared>> Lease<S> {
    #[inline]
    fn new(shared: S, weight: u32) -> Self {
        let held = if shared.face.holders.is_some() { held(&shared.face) } else { None };
        Self { shared, weight, held }
    }
}

#[cold]
fn held(face: &Face) -> Option<Box<Held>> {
    face.holders.as_ref().map(|holders| Box::new(holders.enter(face.clock, &face.resource)))
}

impl<S: Deref<Target = Shared>> Drop for Lease<S> {
    #[inline]
    fn drop(&mut self) {
        // First, so that there are never more holders than permits.
        self.held = None;
        if self.weight > 0 {
            self.shared.give_back(self.weight);
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
        self.0.weight
    }

    /// Sets `n` of them apart, to be given back by themselves; none, if these are fewer.
    pub fn split(&mut self, n: u32) -> Option<Self> {
        self.0.weight = self.0.weight.checked_sub(n)?;
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
        self.0.weight += std::mem::take(&mut other.0.weight);
        Ok(())
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("weight", &self.0.weight).finish_non_exhaustive()
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
        self.0.weight
    }
}

impl fmt::Debug for PermitRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitRef").field("weight", &self.0.weight).finish_non_exhaustive()
    }
}
