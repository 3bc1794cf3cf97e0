//! Who waits for the last to leave a scope.

use crate::{
    panic::wake_quietly,
    sync::{Mutex, lock},
};
use std::task::{Context, Waker};

/// Where the scope's own future leaves its waker.
#[derive(Default)]
pub(super) struct Joiner(Mutex<Option<Waker>>);

impl Joiner {
    /// The waker, for whoever is to wake it.
    pub(super) fn take(&self) -> Option<Waker> {
        lock(&self.0).take()
    }

    pub(super) fn wake(&self) {
        self.take().into_iter().for_each(wake_quietly);
    }

    /// Leaves the waker. Its clone and its drop are foreign code: neither runs under the lock.
    pub(super) fn park(&self, cx: &Context<'_>) {
        let waker = Some(cx.waker().clone());
        let former = std::mem::replace(&mut *lock(&self.0), waker);
        drop(former);
    }
}
