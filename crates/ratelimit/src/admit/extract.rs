//! What a request or an item costs, and what it counts for.

use std::fmt;

/// Tells something about a request or an item: its key, or its cost.
pub trait Extract<T: ?Sized> {
    /// What is told.
    type Value;

    /// Looks at it.
    fn of(&self, from: &T) -> Self::Value;
}

/// All requests count for one limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKey;

impl<T: ?Sized> Extract<T> for NoKey {
    type Value = ();

    fn of(&self, _: &T) {}
}

/// Each costs one token.
#[derive(Clone, Copy, Debug, Default)]
pub struct One;

impl<T: ?Sized> Extract<T> for One {
    type Value = u64;

    fn of(&self, _: &T) -> u64 {
        1
    }
}

/// A closure looks.
#[derive(Clone, Copy)]
pub struct By<F>(pub(crate) F);

impl<T: ?Sized, V, F: Fn(&T) -> V> Extract<T> for By<F> {
    type Value = V;

    fn of(&self, from: &T) -> V {
        (self.0)(from)
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}
