//! What is held while a request is inside.

/// How a call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has returned a response.
    Success,
    /// It has failed as calls do when there are too many: it has timed out, or was refused.
    Failure,
    /// It has failed, and nobody has said whether since there are too many. What comes back in time is no sign of that:
    /// that there is no such thing, or that a request makes no sense. What takes much longer than a call that does not
    /// wait is one, as a timeout is.
    Error,
    /// It has failed in a way that says nothing about how many there may be, however long it took.
    Ignored,
    /// It was given up: it would have taken at least as long.
    Cancelled,
}

/// What is held while a request is inside, and given back when it is dropped.
pub trait Held {
    /// The call begins now, rather than when the permit was taken.
    fn begins(&mut self) {}

    /// The call has ended so. Dropped without that, it was cancelled, or has panicked.
    ///
    /// A [limit](crate::BulkheadBuilder::limit) that finds itself learns by it, as of how long the call took
    /// until then.
    fn ended(&mut self, outcome: Outcome) {
        let _ = outcome;
    }
}
