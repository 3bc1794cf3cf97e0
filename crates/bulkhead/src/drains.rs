//! Who waits for everything to have come back.

use slab::Slab;
use std::{
    future::Future,
    mem::replace,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Places of those who wait. Nothing here wakes anybody: that is left to who releases the lock around it.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    places: Slab<Place>,
    /// How many of them wait still.
    waiting: usize,
}

#[derive(Debug)]
enum Place {
    Waits(Waker),
    Over,
}

impl Drains {
    /// Whether anybody waits.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting > 0
    }

    pub(crate) fn join(&mut self, waker: Waker) -> usize {
        self.waiting += 1;
        self.places.insert(Place::Waits(waker))
    }

    /// Whether it is over; if not, this waker is woken then. The other one is for the caller to drop.
    pub(crate) fn look(&mut self, key: usize, waker: Waker) -> (bool, Waker) {
        match &mut self.places[key] {
            Place::Over => (true, waker),
            Place::Waits(old) => (false, replace(old, waker)),
        }
    }

    /// Nobody waits there any more.
    pub(crate) fn forget(&mut self, key: usize) -> Option<Waker> {
        match self.places.remove(key) {
            Place::Waits(waker) => {
                self.waiting -= 1;
                Some(waker)
            }
            Place::Over => None,
        }
    }

    /// It is over for all who wait: whom to wake.
    pub(crate) fn end(&mut self, mut wake: impl FnMut(Waker)) {
        self.waiting = 0;
        for (_, place) in &mut self.places {
            if let Place::Waits(waker) = replace(place, Place::Over) {
                wake(waker);
            }
        }
    }
}

/// What can be waited for to be empty.
pub(crate) trait Empties: Send + Sync {
    /// A place among those who wait; none, if it is empty.
    fn join(&self, waker: Waker) -> Result<usize, Waker>;

    /// As [`Drains::look`].
    fn look(&self, key: usize, waker: Waker) -> (bool, Waker);

    /// As [`Drains::forget`].
    fn forget(&self, key: usize) -> Option<Waker>;
}

/// Waits for it to be empty, if only for a moment.
pub(crate) struct Drain {
    of: Box<dyn Empties>,
    key: Option<usize>,
}

impl Drain {
    pub(crate) fn new(of: impl Empties + 'static) -> Self {
        Self { of: Box::new(of), key: None }
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { of, key } = self.get_mut();
        // Foreign code, and so not under the lock.
        let waker = cx.waker().clone();
        match *key {
            None => match of.join(waker) {
                Ok(place) => *key = Some(place),
                Err(_waker) => return Poll::Ready(()),
            },
            Some(place) => {
                let (is_over, _waker) = of.look(place, waker);
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
            let waker = self.of.forget(key);
            drop(waker);
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_awaited_once_all_have_given_up_or_it_is_over() {
        let mut drains = Drains::default();
        let [first, second] = [(); 2].map(|()| drains.join(Waker::noop().clone()));
        assert!(drains.forget(first).is_some() && drains.are_awaited());
        let mut woken = 0;
        drains.end(|_| woken += 1);
        assert!(woken == 1 && !drains.are_awaited());
        let third = drains.join(Waker::noop().clone());
        assert!(drains.look(second, Waker::noop().clone()).0, "it stays over");
        assert!(drains.forget(second).is_none() && drains.are_awaited());
        assert!(drains.forget(third).is_some() && !drains.are_awaited());
        assert!(drains.places.is_empty());
    }
}
