//! What the result of a call says about the callee.

/// What a result says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "whoever classifies has these three answers")]
pub enum Verdict {
    /// The callee is well.
    Success,
    /// The callee is failing.
    Failure,
    /// Nothing: it counts neither way. Such as a request that was wrong itself.
    Ignore,
}

/// Says what a result says: [`ByResult`], or a closure on a reference to it.
pub trait Classify<R: ?Sized> {
    /// Looks at it.
    fn verdict(&self, result: &R) -> Verdict;
}

/// `Ok` is a success, and `Err` a failure. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult;

impl<T, E> Classify<Result<T, E>> for ByResult {
    fn verdict(&self, result: &Result<T, E>) -> Verdict {
        if result.is_ok() { Verdict::Success } else { Verdict::Failure }
    }
}

impl<R: ?Sized, F: Fn(&R) -> Verdict> Classify<R> for F {
    fn verdict(&self, result: &R) -> Verdict {
        self(result)
    }
}
