//! What wakes all who wait for the same.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};
use tidegate_core::{
    panic::wake_quietly,
    sync::{Mutex, lock},
};

/// Wakes all who wait for the same, whoever of them polls it: a future knows the last waker only that it was
/// polled with.
#[derive(Default)]
pub(super) struct Bell(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// One for each future that waits, so that there are no more than the callers have; none, if it was woken.
    places: Vec<(u64, Option<Waker>)>,
    next: u64,
    /// How often the last one has left.
    left: u64,
}

impl Bell {
    /// A place for somebody who waits.
    pub(super) fn join(&self) -> Place<'_> {
        let mut waiting = lock(&self.0);
        let id = waiting.next;
        waiting.next += 1;
        waiting.places.push((id, None));
        Place { bell: self, id }
    }

    /// Wakes all of them.
    pub(super) fn ring(&self) {
        let mut waiting = lock(&self.0);
        let woken: Vec<_> =
            waiting.places.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(waiting);
        woken.into_iter().for_each(wake_quietly);
    }

    /// Whether somebody waits: if so, something that [is still](Self::is_still) so until nobody does.
    pub(super) fn awaited(&self) -> Option<u64> {
        let waiting = lock(&self.0);
        (!waiting.places.is_empty()).then_some(waiting.left)
    }

    /// Whether there was always somebody who waits, since somebody did.
    pub(super) fn is_still(&self, since: Option<u64>) -> bool {
        since == Some(lock(&self.0).left)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// The place of somebody who waits.
pub(super) struct Place<'a> {
    bell: &'a Bell,
    id: u64,
}

impl Place<'_> {
    /// Whom to wake the next time.
    pub(super) fn leave_waker(&self, waker: Waker) {
        let mut waiting = lock(&self.bell.0);
        let place = waiting.places.iter_mut().find(|(id, _)| *id == self.id);
        let earlier = place.and_then(|(_, place)| place.replace(waker));
        drop(waiting);
        // It is foreign code.
        drop(earlier);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.bell.0);
        let at = waiting.places.iter().position(|(id, _)| *id == self.id);
        let mine = at.map(|at| waiting.places.swap_remove(at));
        if waiting.places.is_empty() {
            waiting.left += 1;
            // A crowd takes no room for longer than it is there.
            waiting.places = Vec::new();
        }
        drop(waiting);
        drop(mine);
    }
}
