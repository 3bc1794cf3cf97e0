//! Where a fleet keeps what it knows.

use super::state::{Answer, Ask};
use std::{error::Error, future::Future, sync::Arc, time::Duration};

/// Where the instances of a fleet tell each other how they stand.
///
/// There is one operation, atomic for its key: what it does is [`View::exchange`](super::View::exchange), by
/// the clock of the store and by no other.
pub trait Store: Send + Sync + 'static {
    /// Takes in what an instance says of `key`, and answers.
    ///
    /// # Errors
    ///
    /// If it cannot be known to have happened.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have told the store, or not; to say the same again changes nothing. Tested
    /// by `cancel_run_at_every_await`.
    fn exchange(
        &self,
        key: &str,
        ask: &Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send;
}

impl<S: Store> Store for Arc<S> {
    fn exchange(
        &self,
        key: &str,
        ask: &Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        S::exchange(self, key, ask)
    }
}

/// A store that cannot be relied on now.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It has not answered in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It cannot be reached, or the connection was lost.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// It has refused the operation, or answered something else.
    #[error("the store does not do what it is asked")]
    Refused(#[source] Arc<dyn Error + Send + Sync>),
    /// It holds as many fleets as it may.
    #[error("the store is full: it holds {0} fleets")]
    Full(usize),
}
