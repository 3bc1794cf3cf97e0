//! What the hooks of the runtime, the root future, the watchdog and the test share.

use super::builder::Settings;
use super::schedule::Schedule;
use super::step::{self, Asking, Idle, Pool, Steps, Turn};
use crate::{Seed, coop};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::time::Instant;

/// The state of one bubble.
#[derive(Debug, Default)]
pub(super) struct Shared {
    seed: Option<Seed>,
    /// If polls are preempted.
    schedule: Option<Mutex<Schedule>>,
    state: Mutex<State>,
    /// How many polls there were, and may be. They are counted if there is a budget.
    polls: AtomicU64,
    poll_budget: Option<u64>,
    /// How often the clock may move.
    move_budget: u64,
    /// Whether anybody has asked for a step of the clock.
    has_steps: AtomicBool,
    /// How many threads of the blocking pool have started, and stopped.
    started: AtomicU64,
    stopped: AtomicU64,
    /// Counts signs of progress: a clock that moved, or, if that is the real one, a test that was
    /// woken. That the runtime goes on is none: timers and tasks beside the test may keep it at that
    /// for ever.
    progress: AtomicU64,
    /// Counts how often nobody could go on.
    idle: AtomicU64,
    /// Counts those who have waited for that.
    settled: AtomicU64,
    /// Counts those who look at a stack just now.
    looking: AtomicUsize,
}

/// Somebody looks at a stack. Its first names cost seconds in a large program, and none of them
/// are the test's.
#[derive(Debug)]
pub(super) struct Looking<'a>(&'a Shared);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct State {
    begun: Option<Instant>,
    /// What a virtual clock said last.
    now: Option<Instant>,
    /// How far the clock may move.
    budget: Option<Duration>,
    /// How often the runtime was idle when it had moved further.
    over_budget: usize,
    /// How often a virtual clock has moved.
    moves: u64,
    /// Whether the runtime is idle.
    is_parked: bool,
    /// What the watchdog has found out, and the root has not heard yet.
    suspicion: Option<Suspicion>,
    root: Option<Waker>,
    /// Who waits until nobody can go on, by a number: one waker for each, however often it is polled.
    settlers: BTreeMap<u64, Waker>,
    steps: Steps,
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

/// How many panics are told of; that there were more is told, too.
const PANICS: usize = 64;

impl State {
    fn used_up(&self) -> Option<Duration> {
        let elapsed = self.begun?.elapsed();
        self.budget.filter(|budget| elapsed > *budget)
    }
}

impl Shared {
    pub(super) fn new(seed: Option<Seed>, settings: &Settings) -> Self {
        let schedule = seed.filter(|_| settings.is_perturbed).map(Schedule::new).map(Mutex::new);
        Self {
            seed,
            schedule,
            poll_budget: settings.poll_budget,
            move_budget: settings.move_budget,
            ..Self::default()
        }
    }

    pub(super) fn seed(&self) -> Option<Seed> {
        self.seed
    }

    /// A poll begins. If it is one too many, the root is to know.
    pub(super) fn count_poll(&self) {
        let Some(budget) = self.poll_budget else { return };
        if self.polls.fetch_add(1, Ordering::Relaxed) == budget {
            let root = self.state().root.take();
            root.into_iter().for_each(Waker::wake);
        }
    }

    /// The poll that goes on is one of the bubble's own, of which a build that counts the polls of all
    /// tasks does not know.
    pub(super) fn uncount_poll(&self) {
        if cfg!(tokio_unstable) && self.poll_budget.is_some() {
            self.polls.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The budget of polls, if there were more.
    pub(super) fn over_polled(&self) -> Option<u64> {
        self.poll_budget.filter(|budget| self.polls.load(Ordering::Relaxed) > *budget)
    }

    /// The budget of moves of the clock, if there were more.
    pub(super) fn over_moved(&self) -> Option<u64> {
        (self.state().moves > self.move_budget).then_some(self.move_budget)
    }

    /// Takes a share of the budget of the poll that begins, if the bubble is explored.
    pub(super) fn preempt(&self) {
        let Some(schedule) = &self.schedule else { return };
        let operations = schedule.lock().unwrap_or_else(PoisonError::into_inner).next();
        if let Some(operations) = operations {
            coop::limit(operations);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock begins to count; a virtual one has a budget.
    pub(super) fn begin(&self, budget: Option<Duration>) {
        let mut state = self.state();
        let now = Instant::now();
        (state.begun, state.budget, state.now) = (Some(now), budget, budget.map(|_| now));
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
        self.idle.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.is_parked = true;
        let now = Instant::now();
        if state.now.is_some_and(|then| now > then) {
            state.now = Some(now);
            state.moves += 1;
            self.progress();
        }
        let settlers = std::mem::take(&mut state.settlers);
        let mut root = None;
        if state.moves > self.move_budget {
            root = state.root.take();
        }
        if state.used_up().is_some() {
            state.over_budget += 1;
            if state.over_budget == CASCADES {
                root = state.root.take();
            }
        }
        let is_quiet = settlers.is_empty() && root.is_none();
        let idle = if is_quiet { state.steps.before_park() } else { Idle::Usual };
        if idle == Idle::WakeRoot {
            root = state.root.take();
        }
        drop(state);
        if idle == Idle::Probe {
            step::probe();
        }
        settlers.into_values().chain(root).for_each(Waker::wake);
    }

    pub(super) fn after_unpark(&self) {
        let mut state = self.state();
        state.is_parked = false;
        let Some(count) = state.steps.after_unpark() else { return };
        let root = state.root.take();
        drop(state);
        spawn_in_place(count);
        root.into_iter().for_each(Waker::wake);
    }

    /// Asks for a step of the clock.
    pub(super) fn ask_for_step(&self, asking: Asking) {
        self.has_steps.store(true, Ordering::SeqCst);
        self.state().steps.ask(asking);
    }

    /// The root is polled, because the test was woken or for another reason: what it is to do for
    /// a step of the clock.
    pub(super) fn step(&self, was_test_woken: bool) -> Turn {
        // Most bubbles need no lock for it. It is the thread of the test that asks.
        if !self.has_steps.load(Ordering::Relaxed) {
            return Turn::Usual;
        }
        let pool = self.pool();
        let turn = self.state().steps.poll_root(was_test_woken, pool);
        if let Turn::Over(at) = turn {
            self.tell(at);
        }
        turn
    }

    fn pool(&self) -> Pool {
        // In this order: a thread that has started by then has not stopped before.
        let stopped = self.stopped.load(Ordering::SeqCst);
        Pool { started: self.started.load(Ordering::SeqCst), stopped }
    }

    /// Whether the blocking pool has a thread that has started.
    pub(super) fn has_blocking_threads(&self) -> bool {
        !self.pool().is_empty()
    }

    /// A thread of the blocking pool ends, which a step of the clock may wait for.
    pub(super) fn thread_stops(&self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
        if self.has_steps.load(Ordering::SeqCst) {
            let root = self.state().root.take();
            root.into_iter().for_each(Waker::wake);
        }
    }

    /// Tells who has asked for a step.
    pub(super) fn tell(&self, at: Option<Instant>) {
        let asking = self.state().steps.take_asking();
        for asking in asking {
            // Whoever asks no more need not know.
            let _: Result<_, _> = asking.send(at);
        }
    }

    /// Whether the clock is a virtual one.
    pub(super) fn is_virtual(&self) -> bool {
        self.state().now.is_some()
    }

    /// How often nobody could go on.
    pub(super) fn idle_times(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    /// A number for somebody who waits until nobody can go on.
    pub(super) fn settler(&self) -> u64 {
        self.settled.fetch_add(1, Ordering::Relaxed)
    }

    /// Wakes `waker` when nobody can go on, instead of the one that it had before.
    pub(super) fn when_idle(&self, settler: u64, waker: Waker) {
        let former = self.state().settlers.insert(settler, waker);
        drop(former);
    }

    /// It does not wait any more.
    pub(super) fn forget(&self, settler: u64) {
        let former = self.state().settlers.remove(&settler);
        drop(former);
    }

    /// A sign of progress.
    pub(super) fn progress(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The root is polled: what the watchdog has to say, if it has.
    pub(super) fn poll_root(&self, waker: &Waker) -> Option<Suspicion> {
        let waker = waker.clone();
        let mut state = self.state();
        let former = state.root.replace(waker);
        let suspicion = state.suspicion.take();
        drop(state);
        drop(former);
        suspicion
    }

    pub(super) fn signs_of_progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// The watchdog does not count the time until the answer is dropped.
    pub(super) fn look_at_stack(&self) -> Looking<'_> {
        self.looking.fetch_add(1, Ordering::Relaxed);
        Looking(self)
    }

    pub(super) fn is_looking(&self) -> bool {
        self.looking.load(Ordering::Relaxed) > 0
    }

    /// Asks the root to end the test, when it is woken.
    pub(super) fn suspect(&self) -> Option<Waker> {
        let mut state = self.state();
        let was = if state.is_parked { Suspicion::WasIdle } else { Suspicion::WasBusy };
        state.suspicion = Some(was);
        state.root.take()
    }

    /// Nobody is there any more who would hear of a suspicion; the time counts anew.
    pub(super) fn start_over(&self) {
        self.state().suspicion = None;
        self.progress();
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
        let mut state = self.state();
        match state.panics.len() {
            PANICS => state.panics.push("and more of them".to_owned()),
            len if len < PANICS => state.panics.push(panic),
            _ => {}
        }
    }

    pub(super) fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.state().panics)
    }
}

#[expect(clippy::disallowed_methods, reason = "a task of the bubble's own, which ends by itself")]
fn spawn_in_place(count: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(count));
}

/// A poll of a task begins in the bubble of the calling thread.
#[cfg(tokio_unstable)]
pub(super) fn count_poll() {
    if let Some(shared) = Inside::current() {
        shared.count_poll();
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// The calling thread is in a bubble, until it is dropped.
pub(super) struct Inside {
    own: Arc<Shared>,
    /// The bubble that the thread was in.
    former: Option<Arc<Shared>>,
}

impl Inside {
    pub(super) fn enter(own: &Arc<Shared>) -> Self {
        super::panics::listen();
        Self { own: Arc::clone(own), former: CURRENT.replace(Some(Arc::clone(own))) }
    }

    /// The thread, one of the blocking pool, stays in it until it ends.
    pub(super) fn stay(shared: &Arc<Shared>) {
        shared.started.fetch_add(1, Ordering::SeqCst);
        CURRENT.set(Some(Arc::clone(shared)));
    }

    /// The bubble of the calling thread.
    pub(super) fn current() -> Option<Arc<Shared>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(self.former.take());
        self.own.forget_wakers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bubble, settle};
    use std::{
        future::{pending, poll_fn},
        sync::Weak,
        task::Poll,
    };

    #[test]
    fn who_settles_has_one_place_and_leaves_it() {
        let settles = async {
            let shared = Inside::current().unwrap();
            let waiting = || shared.state().settlers.len();
            let mut settling = Box::pin(settle());
            let mut polls = 0;
            poll_fn(|cx| {
                assert!(settling.as_mut().poll(cx).is_pending());
                polls += 1;
                cx.waker().wake_by_ref();
                if polls == 10 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            assert_eq!(waiting(), 1);
            drop(settling);
            assert_eq!(waiting(), 0);
        };
        Bubble::new().run(settles).unwrap();
    }

    #[test]
    fn panics_are_told_of_up_to_a_bound() {
        let shared = Shared::default();
        (0..1000).for_each(|n| shared.note_panic(n.to_string()));
        let told = shared.take_panics();
        assert_eq!((told.len(), &*told[PANICS - 1]), (PANICS + 1, "63"));
        assert_eq!(told[PANICS], "and more of them");
    }

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
