//! What is held while a request is inside.

use crate::Permit;

/// How a call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has returned a response.
    Success,
    /// It has returned an error.
    Failure,
}

/// What is held while a request is inside, and given back when it is dropped.
pub trait Held {
    /// The call has ended so. Dropped without that, it was cancelled, or has panicked.
    ///
    /// A limit that adapts itself to what it sees learns by it; a [`Permit`] does nothing.
    fn ended(&mut self, outcome: Outcome) {
        let _ = outcome;
    }
}

impl Held for Permit {}
