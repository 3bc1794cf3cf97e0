//! What a layer, a stream or a sink asks of a limiter, whichever it is.

mod denied;
mod extract;
mod limiter;

pub use self::{
    denied::Denied,
    extract::{By, Extract, NoKey, One},
};

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// A limiter that says at once whether something passes.
///
/// `K` is what it tells requests apart by: `()`, if it does not.
pub trait Admit<K> {
    /// Takes `cost` tokens of that key, or none.
    ///
    /// # Errors
    ///
    /// Why it does not pass, and when to ask again.
    fn admit(&self, key: K, cost: u64) -> Result<(), Denied>;
}

/// A limiter that can be waited for, by who polls.
pub trait Reserve<K> {
    /// A place in its line.
    type Reserved: Reserved;

    /// Sets `cost` tokens of that key aside, now or as soon as they are there; only if that is within
    /// the given time, where there is one.
    ///
    /// # Errors
    ///
    /// Why it does not pass, or not in time.
    fn reserve(
        &self,
        key: K,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Self::Reserved, Denied>;
}

/// Tokens that are set aside. Dropped without having been [spent](Self::spend), it leaves the line or
/// gives them back.
pub trait Reserved {
    /// Whether the tokens are there.
    fn is_ready(&mut self) -> bool;

    /// The same; if they are not there, the waker of the last call is woken when they are.
    ///
    /// # Errors
    ///
    /// If they will not come, or not in time.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Denied>>;

    /// Spends the tokens, which are there.
    fn spend(self);
}

impl<K, L: Admit<K> + ?Sized> Admit<K> for &L {
    fn admit(&self, key: K, cost: u64) -> Result<(), Denied> {
        L::admit(self, key, cost)
    }
}

impl<K, L: Admit<K> + ?Sized> Admit<K> for Arc<L> {
    fn admit(&self, key: K, cost: u64) -> Result<(), Denied> {
        L::admit(self, key, cost)
    }
}

impl<K, L: Reserve<K> + ?Sized> Reserve<K> for &L {
    type Reserved = L::Reserved;

    fn reserve(
        &self,
        key: K,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Self::Reserved, Denied> {
        L::reserve(self, key, cost, within)
    }
}

impl<K, L: Reserve<K> + ?Sized> Reserve<K> for Arc<L> {
    type Reserved = L::Reserved;

    fn reserve(
        &self,
        key: K,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Self::Reserved, Denied> {
        L::reserve(self, key, cost, within)
    }
}
