//! Where a fleet keeps what was taken.

use super::state::StoreQuota;
use std::{error::Error, future::Future, sync::Arc, time::Duration};

/// Where the instances of a fleet keep what was taken of each key.
///
/// There is one operation, atomic for its key: it gives tokens back and takes others. What it calculates is
/// [`StoreQuota::apply`], by the clock of the store and by no other, so that the clocks of the instances do
/// not matter.
///
/// [`MemoryStore`](super::MemoryStore) is the one for a single process; with feature `redis` there is
/// `RedisStore`.
pub trait Store: Send + Sync + 'static {
    /// Gives back and takes tokens of `key`.
    ///
    /// # Errors
    ///
    /// If it cannot be known to have happened.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have taken its tokens, or not. Limiters do not drop it before their
    /// timeout: who waits for it may go away, and the next one that comes takes it over. Tested by
    /// `cancel_try_acquire_loses_nothing`.
    fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send;
}

impl<S: Store> Store for Arc<S> {
    fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        S::exchange(self, key, quota, ask)
    }
}

/// What is asked of a [`Store`], in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// At least this long it is until the key is full, in microseconds: what the asker knows, told to a
    /// store that may have forgotten.
    pub at_least: u64,
    /// Tokens given back.
    pub refund: u64,
    /// Tokens to take at least; if there are fewer, none are taken.
    pub min: u64,
    /// Tokens to take at most.
    pub max: u64,
}

impl Ask {
    /// Takes nothing: tells how the key stands.
    #[must_use]
    pub const fn peek() -> Self {
        Self { at_least: 0, refund: 0, min: 0, max: 0 }
    }

    /// Takes `n` tokens, or none.
    #[must_use]
    pub const fn take(n: u64) -> Self {
        Self::lease(n, n)
    }

    /// Takes as many tokens as there are, up to `max`; none, if there are fewer than `min`.
    #[must_use]
    pub const fn lease(min: u64, max: u64) -> Self {
        Self { min, max, ..Self::peek() }
    }

    /// Gives `n` tokens back.
    #[must_use]
    pub const fn refund(n: u64) -> Self {
        Self { refund: n, ..Self::peek() }
    }
}

/// What a [`Store`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by every store")]
pub struct Answer {
    /// How many tokens were taken.
    pub granted: u64,
    /// How long it is until the key is full again, with what was taken.
    pub full_after: Duration,
}

/// A store that cannot be relied on now, or that does not do what it is asked for [one key](Self::is_of_key).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It has not answered in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It cannot be reached, or the connection was lost.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// It has refused the operation, or answered something else, as it would for any key.
    #[error("the store does not do what it is asked")]
    Refused(#[source] Arc<dyn Error + Send + Sync>),
    /// It has refused the operation for this key, such as one that holds something else. Of one key alone.
    #[error("the store does not do what it is asked for this key")]
    KeyRefused(#[source] Arc<dyn Error + Send + Sync>),
    /// It holds as many keys as it may, and not this one. Of one key alone.
    #[error("the store is full: it holds {0} keys")]
    Full(usize),
    /// It has panicked.
    #[error("the store has panicked")]
    Panicked,
}

impl StoreError {
    /// Whether it is of one key alone: the store has answered, and others are not worse off. A limiter goes
    /// without the store for this key then, and for no other.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::KeyRefused(_) | Self::Full(_))
    }
}
