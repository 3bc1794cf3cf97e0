//! Waiting for everything to have come back.

use super::shared::Shared;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tidegate_core::{inspect::Waiting, sync::Arc};

/// The future of [`Bulkhead::drained`](crate::Bulkhead::drained).
///
/// # Cancel safety
///
/// Dropped, it has done nothing. Tested by `waiting_for_a_drain_gives_up_everything_at_every_await`.
#[must_use = "futures do nothing unless polled"]
pub struct Drained {
    waiting: Waiting<Drain>,
}

impl Drained {
    #[track_caller]
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let drain = Drain { shared: Arc::clone(shared), key: None };
        Self { waiting: shared.face.resource.waiting("permits to come back", drain) }
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.waiting).poll(cx)
    }
}

impl fmt::Debug for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained").finish_non_exhaustive()
    }
}

struct Drain {
    shared: Arc<Shared>,
    key: Option<usize>,
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, key } = self.get_mut();
        // Foreign code, and so not under the lock.
        let waker = cx.waker().clone();
        match *key {
            None => match shared.with(|state, _| state.wait_for_drain(waker)) {
                Ok(place) => *key = Some(place),
                Err(_waker) => return Poll::Ready(()),
            },
            Some(place) => {
                let (is_over, _waker) = shared.with(|state, _| state.look_for_drain(place, waker));
                if is_over {
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = self.shared.with(|state, _| state.forget_drain(key));
            drop(waker);
        }
    }
}
