//! What a layer asks of a bulkhead, whichever it is.

mod compartments;
mod extract;
mod held;
mod keyed;
mod plain;
mod rejected;

pub use self::{
    extract::{By, Extract, NoKey, NormalPriority, One},
    held::{Held, Outcome},
    plain::Waits,
    rejected::Rejected,
};

use crate::Ask;
use std::future::Future;

/// What a request gets at once.
#[derive(Debug)]
pub enum Entering<P, W> {
    /// It enters.
    Now(P),
    /// It has a place in the line: a future of the permits.
    Waits(W),
}

/// A bulkhead that lets requests in.
///
/// `K` is what it tells requests apart by: `()`, if it does not.
pub trait Enter<K> {
    /// What is held while a request is inside.
    type Permit: Held;

    /// A place in the line. Dropped before it is ready, it leaves the line or gives back what was taken for
    /// it.
    type Waiting: Future<Output = Result<Self::Permit, Rejected>>;

    /// Takes permits, or none.
    ///
    /// # Errors
    ///
    /// Why it does not enter.
    fn try_enter(&self, key: K, weight: u32) -> Result<Self::Permit, Rejected>;

    /// Takes permits, if that can be said at once and by little code: a layer asks this first, and
    /// [`enter`](Self::enter) if there are none.
    fn enter_now(&self, key: &K, weight: u32) -> Option<Self::Permit> {
        let _ = (key, weight);
        None
    }

    /// Takes permits, or a place in the line for them.
    ///
    /// # Errors
    ///
    /// Why it does not enter by waiting, either.
    fn enter(&self, key: K, ask: Ask) -> Result<Entering<Self::Permit, Self::Waiting>, Rejected>;
}

/// A bulkhead that lets in who has no request yet.
pub trait Reserve {
    /// What is held until a request is inside, and then.
    type Permit: Held;

    /// A place in the line, which needs no timer. Dropped before it is ready, it leaves the line or gives
    /// back what was taken for it.
    type Waiting: Future<Output = Result<Self::Permit, Rejected>> + Unpin;

    /// Takes a permit, if that can be said at once and by little code: a layer asks this first, and
    /// [`reserve`](Self::reserve) if there is none.
    fn reserve_now(&self) -> Option<Self::Permit> {
        None
    }

    /// Takes a permit, or a place in the line for it, for as long as it takes.
    ///
    /// # Errors
    ///
    /// Why it does not enter by waiting, either.
    fn reserve(&self) -> Result<Entering<Self::Permit, Self::Waiting>, Rejected>;
}
