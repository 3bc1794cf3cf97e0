//! Starts the threads of a round together and waits for the last of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A barrier of `threads` workers and one coordinator which can time out, as
/// `std::sync::Barrier` cannot.
pub(super) struct Gate {
    threads: usize,
    state: Mutex<State>,
    start: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Workers of the current round that have not passed the start.
    to_start: usize,
    /// Workers of the current round that have passed the start and not finished.
    running: usize,
    stopped: bool,
}

pub(super) struct StopOnDrop<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(threads: usize) -> Self {
        let state = Mutex::new(State::default());
        Self { threads, state, start: Condvar::new(), done: Condvar::new() }
    }

    /// Starts a round; the one before must have ended.
    pub(super) fn open(&self) {
        self.lock().to_start = self.threads;
        self.start.notify_all();
    }

    /// Waits for the end of the round; false if that did not come in `time`.
    pub(super) fn await_end(&self, time: Duration) -> bool {
        let left = |state: &mut State| state.to_start + state.running > 0;
        let wait = self.done.wait_timeout_while(self.lock(), time, left);
        let (_state, result) = wait.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Waits for the next round; false when there is none.
    ///
    /// A worker that is done early cannot take a second part in the same round: the next one
    /// starts only when `running` and `to_start` are both 0.
    pub(super) fn await_start(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            if state.to_start > 0 {
                state.to_start -= 1;
                state.running += 1;
                break;
            }
            state = self.start.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The race is closest if nobody runs before the last one is awake.
        if state.to_start == 0 {
            self.start.notify_all();
            return true;
        }
        while state.to_start > 0 && !state.stopped {
            state = self.start.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.running -= 1;
        if state.to_start + state.running == 0 {
            self.done.notify_all();
        }
    }

    pub(super) fn stop_on_drop(&self) -> StopOnDrop<'_> {
        StopOnDrop(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.start.notify_all();
    }
}
