//! What a request needs, and whom it is counted for.

use crate::Priority;
use std::fmt;

/// Tells something about a request: its key, its weight, or its priority.
pub trait Extract<T: ?Sized> {
    /// What is told.
    type Value;

    /// Looks at it.
    fn of(&self, from: &T) -> Self::Value;
}

/// All requests count for one bulkhead.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKey;

impl<T: ?Sized> Extract<T> for NoKey {
    type Value = ();

    #[inline]
    fn of(&self, _: &T) {}
}

/// Each takes one permit.
#[derive(Clone, Copy, Debug, Default)]
pub struct One;

impl<T: ?Sized> Extract<T> for One {
    type Value = u32;

    #[inline]
    fn of(&self, _: &T) -> u32 {
        1
    }
}

/// Each is as urgent as the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct NormalPriority;

impl<T: ?Sized> Extract<T> for NormalPriority {
    type Value = Priority;

    #[inline]
    fn of(&self, _: &T) -> Priority {
        Priority::Normal
    }
}

/// A closure looks.
#[derive(Clone, Copy)]
pub struct By<F>(pub(crate) F);

impl<T: ?Sized, V, F: Fn(&T) -> V> Extract<T> for By<F> {
    type Value = V;

    #[inline]
    fn of(&self, from: &T) -> V {
        (self.0)(from)
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}
