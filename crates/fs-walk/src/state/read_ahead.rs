//! Reading directories ahead of an emitter that wants them in one fixed order, within a window.
//!
//! Every directory the emitter will come to has a place:
//!
//! | place | event | next | effect |
//! |---|---|---|---|
//! | pending | a reader asks, the window has room | reading | the one the emitter needs first |
//! | pending | the emitter takes it | free | the emitter reads it itself: nothing can block it |
//! | reading | complete | ready | its weight stays in the window |
//! | reading | the window is full, the emitter does not want it | left | the emitter will read it itself |
//! | reading | the emitter takes it | reading, wanted | the emitter parks; a full window no longer matters |
//! | ready | the emitter takes it | free | its weight leaves the window, readers are woken |
//! | any | discard | free | with everything below it |
//!
//! Pending places and those being read form a list in the order of the emitter: the
//! subdirectories of a directory take its position, and those of a directory that the emitter
//! reads itself come first of all. So what is read ahead is what is needed next.
//!
//! The window counts what has been read and not been taken. It is overrun by at most what each
//! reader got from one system call, and by a listing that the emitter waits for.

use std::sync::PoisonError;

use tidegate_core::sync::{Condvar, Mutex};

use super::lock;

mod places;

use self::places::{Place, Places};

/// A place; it is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: usize,
    generation: u64,
}

#[derive(Debug)]
pub(crate) struct ReadAhead<J, L> {
    state: Mutex<State<J, L>>,
    /// Readers park here.
    work: Condvar,
    /// The emitter parks here.
    wanted: Condvar,
}

#[derive(Debug)]
struct State<J, L> {
    places: Places<J, L>,
    pending: usize,
    buffered: usize,
    window: usize,
    /// Readers that are parked.
    idle: usize,
    emitter_parked: bool,
    stopped: bool,
}

/// What the emitter gets for a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<J, L> {
    /// Nobody has read it: read it now.
    Job(J),
    /// Here it is.
    Listing(L),
    /// The walk was stopped.
    Stopped,
}

/// What a reader does about the directory it is reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Read on.
    Go,
    /// Give it back with [`ReadAhead::leave`].
    Leave,
}

impl<J, L> ReadAhead<J, L> {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            state: Mutex::new(State {
                places: Places::new(),
                pending: 0,
                buffered: 0,
                window,
                idle: 0,
                emitter_parked: false,
                stopped: false,
            }),
            work: Condvar::new(),
            wanted: Condvar::new(),
        }
    }

    /// Registers the subdirectories of one directory, in the order the emitter will want them:
    /// the directory of the place `parent`, or one that the emitter has just read itself.
    pub(crate) fn add(&self, parent: Option<Key>, jobs: Vec<J>) -> Vec<Key> {
        let mut state = lock(&self.state);
        let mut last = parent;
        let mut keys = Vec::with_capacity(jobs.len());
        for job in jobs {
            let key = state.places.insert(last, job);
            last = Some(key);
            keys.push(key);
        }
        state.pending += keys.len();
        self.wake_readers(&state);
        keys
    }

    /// How many places wait for a reader, if there is room in the window.
    pub(crate) fn readable(&self) -> usize {
        let state = lock(&self.state);
        if state.buffered < state.window { state.pending } else { 0 }
    }

    /// For a reader: the next directory to read, parking until there is one; `None` at the end.
    pub(crate) fn next(&self) -> Option<(Key, J)> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            if let Some(next) = state.next() {
                return Some(next);
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// For the emitter while what it wants is being read: another directory to read, if there is
    /// one and room for it.
    pub(crate) fn help(&self) -> Option<(Key, J)> {
        let mut state = lock(&self.state);
        if state.stopped { None } else { state.next() }
    }

    /// For a reader: it has read `more` entries. On [`Advice::Leave`] all `so_far` of them are
    /// taken out of the window again.
    pub(crate) fn progress(&self, key: Key, more: usize, so_far: usize) -> Advice {
        let mut state = lock(&self.state);
        state.buffered += more;
        let room = state.buffered <= state.window;
        let go = match state.places.get(key) {
            Some(Place::Reading { wanted }) => *wanted || room,
            _ => false,
        };
        if go && !state.stopped {
            return Advice::Go;
        }
        state.buffered -= so_far;
        self.wake_readers(&state);
        Advice::Leave
    }

    /// For a reader: gives back an unread directory. Handed back if nobody wants it any more.
    pub(crate) fn leave(&self, key: Key, job: J) -> Option<J> {
        let mut state = lock(&self.state);
        if !matches!(state.places.get(key), Some(Place::Reading { .. })) {
            return Some(job);
        }
        state.places.unlist(key, Place::Left(job));
        self.wake_emitter(&state);
        None
    }

    /// For a reader: a directory is read, `weight` of which is in the window. Handed back if
    /// nobody wants it any more.
    pub(crate) fn complete(&self, key: Key, listing: L, weight: usize) -> Option<L> {
        let mut state = lock(&self.state);
        if matches!(state.places.get(key), Some(Place::Reading { .. })) {
            state.places.unlist(key, Place::Ready(listing, weight));
            self.wake_emitter(&state);
            return None;
        }
        state.buffered -= weight;
        self.wake_readers(&state);
        Some(listing)
    }

    /// For the emitter: whether [`take`](Self::take) would park.
    pub(crate) fn is_being_read(&self, key: Key) -> bool {
        matches!(lock(&self.state).places.get(key), Some(Place::Reading { .. }))
    }

    /// For the emitter: the contents of a place, parking while a reader is at it.
    pub(crate) fn take(&self, key: Key) -> Taken<J, L> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return Taken::Stopped;
            }
            match state.places.get(key) {
                Some(Place::Reading { wanted }) => *wanted = true,
                Some(_) => break,
                None => return Taken::Stopped,
            }
            state.emitter_parked = true;
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.emitter_parked = false;
        }
        match state.free(key) {
            Place::Pending(job) | Place::Left(job) => Taken::Job(job),
            Place::Ready(listing, _) => {
                self.wake_readers(&state);
                Taken::Listing(listing)
            }
            Place::Reading { .. } | Place::Free => Taken::Stopped,
        }
    }

    /// For the emitter: this place is not needed. Hands back a job to be dropped, and a listing
    /// whose own places are to be discarded next.
    #[must_use]
    pub(crate) fn discard(&self, key: Key) -> (Option<L>, Option<J>) {
        let mut state = lock(&self.state);
        let place = state.free(key);
        self.wake_readers(&state);
        match place {
            Place::Ready(listing, _) => (Some(listing), None),
            Place::Pending(job) | Place::Left(job) => (None, Some(job)),
            Place::Reading { .. } | Place::Free => (None, None),
        }
    }

    /// Ends everything: readers and the emitter are woken and get nothing more.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        self.work.notify_all();
        self.wanted.notify_all();
    }

    fn wake_readers(&self, state: &State<J, L>) {
        if state.idle > 0 && state.pending > 0 && state.buffered < state.window {
            self.work.notify_all();
        }
    }

    fn wake_emitter(&self, state: &State<J, L>) {
        if state.emitter_parked {
            self.wanted.notify_all();
        }
    }
}

impl<J, L> State<J, L> {
    fn next(&mut self) -> Option<(Key, J)> {
        if self.pending == 0 || self.buffered >= self.window {
            return None;
        }
        let next = self.places.first_pending();
        self.pending -= usize::from(next.is_some());
        next
    }

    fn free(&mut self, key: Key) -> Place<J, L> {
        let place = self.places.free(key);
        match &place {
            Place::Pending(_) => self.pending -= 1,
            Place::Ready(_, weight) => self.buffered -= weight,
            _ => {}
        }
        place
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

#[cfg(all(test, tidegate_loom))]
mod loom_tests;
