//! What a layer, a stream or a sink asks of a limiter, whichever it is.

mod denied;
mod extract;
mod from_fn;
mod keyed;
mod limiter;
mod queued;

pub use self::{
    denied::Denied,
    extract::{By, Extract, NoKey, One},
    from_fn::{FromFn, from_fn},
    queued::Queued,
};

use std::{
    future::Future,
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

/// A limiter that can be waited for.
pub trait Queue<K> {
    /// A place in its line: ready once it passes. Dropped before, it leaves the line or gives back what was
    /// taken for it.
    type Place: Future<Output = Result<(), Denied>>;

    /// Takes `cost` tokens of that key, or a place in the line for them, if it need not wait for longer than
    /// the given time, where there is one.
    ///
    /// # Errors
    ///
    /// Why it does not pass, or not in time.
    fn join(
        &self,
        key: K,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Option<Self::Place>, Denied>;
}

/// A limiter that sets tokens aside.
pub trait Reserve {
    /// What it has set aside, or will.
    type Reserved: Reserved;

    /// Sets `cost` tokens aside, now or as soon as they are there.
    ///
    /// # Errors
    ///
    /// If they will not be there.
    fn reserve(&self, cost: u64) -> Result<Self::Reserved, Denied>;
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
    /// If they will not come.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Denied>>;

    /// Spends the tokens, which are there.
    fn spend(self);
}

macro_rules! for_pointers {
    ($($pointer:ty),*) => {$(
        impl<K, L: Admit<K> + ?Sized> Admit<K> for $pointer {
            fn admit(&self, key: K, cost: u64) -> Result<(), Denied> {
                L::admit(self, key, cost)
            }
        }

        impl<K, L: Queue<K> + ?Sized> Queue<K> for $pointer {
            type Place = L::Place;

            fn join(
                &self,
                key: K,
                cost: u64,
                within: Option<Duration>,
            ) -> Result<Option<L::Place>, Denied> {
                L::join(self, key, cost, within)
            }
        }

        impl<L: Reserve + ?Sized> Reserve for $pointer {
            type Reserved = L::Reserved;

            fn reserve(&self, cost: u64) -> Result<L::Reserved, Denied> {
                L::reserve(self, cost)
            }
        }
    )*};
}

for_pointers!(&L, Arc<L>);
