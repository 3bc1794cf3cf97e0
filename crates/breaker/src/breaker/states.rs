//! The state of a breaker, to wait for changes of it.

use crate::state::State;
use std::fmt;
use tokio::sync::watch;

/// Sees the states of a breaker: by [`Handle::subscribe`](super::Handle::subscribe).
///
/// It gives copies away and holds nothing of the breaker: neither does it keep calls waiting, nor the breaker alive.
/// Clones have seen what the original has, and go on by themselves.
#[derive(Clone)]
pub struct States {
    receiver: watch::Receiver<State>,
}

impl States {
    pub(super) fn new(receiver: watch::Receiver<State>) -> Self {
        Self { receiver }
    }

    /// The state now; the last one, if the breaker is gone. It counts as seen.
    pub fn get(&mut self) -> State {
        *self.receiver.borrow_and_update()
    }

    /// Waits for a state that was not seen yet; none, if the breaker is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has seen nothing: the next one is told of the same change. Tested by
    /// `who_gives_up_waiting_for_a_state_misses_none`.
    pub async fn changed(&mut self) -> Option<State> {
        self.receiver.changed().await.ok()?;
        Some(self.get())
    }

    /// Waits for a state like that, which may be the present one; none, if the breaker is gone. `is_wanted` may ask
    /// the breaker, and tell it what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has seen the states that it has asked `is_wanted` about, and no others. Tested by
    /// `who_gives_up_waiting_for_a_state_misses_none`.
    pub async fn wait_for(&mut self, mut is_wanted: impl FnMut(State) -> bool) -> Option<State> {
        loop {
            let state = self.get();
            if is_wanted(state) {
                return Some(state);
            }
            self.receiver.changed().await.ok()?;
        }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = *self.receiver.borrow();
        f.debug_struct("States").field("state", &state).finish()
    }
}
