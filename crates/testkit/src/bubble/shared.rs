//! What the hooks of the runtime, the root future, the watchdog and the test share.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::time::Instant;

/// The state of one bubble.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Counts how often the runtime became idle, or went on.
    turns: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    begun: Option<Instant>,
    /// How far the clock may move.
    budget: Option<Duration>,
    /// How often the runtime was idle when it had moved further.
    over_budget: usize,
    /// Whether the runtime is idle.
    is_parked: bool,
    /// What the watchdog has found out, and the root has not heard yet.
    suspicion: Option<Suspicion>,
    root: Option<Waker>,
    /// Who waits until nobody can go on.
    settlers: Vec<Waker>,
    panics: Vec<String>,
}

/// What a runtime did that has made no progress for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    WasIdle,
    WasBusy,
}

/// A timer that is far away is looked at some times on the way to it, with the clock at moments at
/// which nothing happens: no more often than this. Whoever is idle more often has other timers.
const CASCADES: usize = 32;

impl State {
    fn used_up(&self) -> Option<Duration> {
        let elapsed = self.begun?.elapsed();
        self.budget.filter(|budget| elapsed > *budget)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock begins to count.
    pub(super) fn begin(&self, budget: Option<Duration>) {
        let mut state = self.state();
        (state.begun, state.budget) = (Some(Instant::now()), budget);
    }

    /// How far the clock had moved by then.
    pub(super) fn elapsed_at(&self, moment: Instant) -> Duration {
        self.state().begun.map_or(Duration::ZERO, |begun| moment - begun)
    }

    /// The budget, if it has one, and that is used up.
    pub(super) fn used_up(&self) -> Option<Duration> {
        self.state().used_up()
    }

    /// Nothing can go on without time, a thread or I/O. Whoever is woken here goes on before the
    /// runtime waits.
    pub(super) fn before_park(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.is_parked = true;
        let mut woken = std::mem::take(&mut state.settlers);
        if state.used_up().is_some() {
            state.over_budget += 1;
            if state.over_budget == CASCADES {
                woken.extend(state.root.take());
            }
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn after_unpark(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.state().is_parked = false;
    }

    /// Wakes `waker` when nothing else can go on.
    pub(super) fn when_settled(&self, waker: Waker) {
        self.state().settlers.push(waker);
    }

    /// The root is polled: what the watchdog has to say, if it has.
    pub(super) fn poll_root(&self, waker: &Waker) -> Option<Suspicion> {
        let mut state = self.state();
        let former = state.root.replace(waker.clone());
        let suspicion = state.suspicion.take();
        drop(state);
        drop(former);
        suspicion
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Asks the root to end the test.
    pub(super) fn suspect(&self) {
        let mut state = self.state();
        let was = if state.is_parked { Suspicion::WasIdle } else { Suspicion::WasBusy };
        state.suspicion = Some(was);
        let root = state.root.take();
        drop(state);
        root.into_iter().for_each(Waker::wake);
    }

    /// Whether the root has not heard yet.
    pub(super) fn is_deaf(&self) -> bool {
        self.state().suspicion.is_some()
    }

    /// Lets go of the runtime: its hooks hold the state, and wakers in that hold the runtime.
    fn forget_wakers(&self) {
        let mut state = self.state();
        let wakers = (state.root.take(), std::mem::take(&mut state.settlers));
        drop(state);
        drop(wakers);
    }

    pub(super) fn note_panic(&self, panic: String) {
        self.state().panics.push(panic);
    }

    pub(super) fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.state().panics)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// The calling thread is in a bubble, until it is dropped.
pub(super) struct Inside(());

impl Inside {
    pub(super) fn enter(shared: &Arc<Shared>) -> Self {
        super::panics::listen();
        Self::stay(shared);
        Self(())
    }

    /// The thread stays in it until it ends.
    pub(super) fn stay(shared: &Arc<Shared>) {
        CURRENT.set(Some(Arc::clone(shared)));
    }

    /// The bubble of the calling thread.
    pub(super) fn current() -> Option<Arc<Shared>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(shared) = CURRENT.take() {
            shared.forget_wakers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bubble;
    use std::{future::pending, sync::Weak};

    #[test]
    fn nothing_of_a_bubble_outlives_it() {
        let seen = RefCell::new(Weak::new());
        let note = || *seen.borrow_mut() = Arc::downgrade(&Inside::current().unwrap());
        Bubble::new().run(async { note() }).unwrap();
        assert_eq!(seen.borrow().strong_count(), 0);
        let stuck = async {
            note();
            pending::<()>().await;
        };
        Bubble::new().run(stuck).unwrap_err();
        assert_eq!(seen.borrow().strong_count(), 0);
    }
}
