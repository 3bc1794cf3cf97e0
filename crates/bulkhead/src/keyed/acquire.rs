//! Waiting for permits of a key.

use super::{KeyedPermit, table::User};
use crate::{Acquire, Rejected};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hash, RandomState},
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The future of [`KeyedBulkhead::acquire`](crate::KeyedBulkhead::acquire).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing, and a key that nobody else uses leaves. Tested by
    /// `a_keyed_acquire_gives_up_everything_at_every_await`.
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyedAcquire<K, S = RandomState>
    where
        K: Hash,
        K: Eq,
        S: BuildHasher,
    {
        #[pin]
        state: State<K, S>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<K, S>
    where
        K: Hash,
        K: Eq,
        S: BuildHasher,
    {
        // The place is left first: the key stays for as long as it has users.
        Waits { #[pin] acquire: Acquire, user: Option<User<K, S>> },
        Rejected { rejected: Option<Rejected> },
    }
}

impl<K: Hash + Eq, S: BuildHasher> KeyedAcquire<K, S> {
    pub(super) fn waits(acquire: Acquire, user: User<K, S>) -> Self {
        Self { state: State::Waits { acquire, user: Some(user) } }
    }

    pub(super) fn rejected(rejected: Rejected) -> Self {
        Self { state: State::Rejected { rejected: Some(rejected) } }
    }
}

impl<K: Hash + Eq, S: BuildHasher> Future for KeyedAcquire<K, S> {
    type Output = Result<KeyedPermit<K, S>, Rejected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Waits { acquire, user } => {
                let end = ready!(acquire.poll(cx));
                let user = user.take().expect("polled after it was ready");
                Poll::Ready(match end {
                    Ok(permit) => Ok(KeyedPermit::new(permit, user)),
                    Err(error) => Err(error.into()),
                })
            }
            Projected::Rejected { rejected } => {
                Poll::Ready(Err(rejected.take().expect("polled after it was ready")))
            }
        }
    }
}

impl<K: Hash + Eq, S: BuildHasher> fmt::Debug for KeyedAcquire<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAcquire").finish_non_exhaustive()
    }
}
