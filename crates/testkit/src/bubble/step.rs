//! Steps of the clock, each to a moment at which a timer goes off.
//!
//! tokio moves a paused clock when nobody can go on, but says neither whether a timer is left nor
//! whether one has gone off: on the way to one that is far away it looks at it some times, at
//! moments at which nothing happens. Both are found out by how it goes on:
//!
//! - *Is there a timer?* The sentinel is taken away. Without any timer the runtime would wait for
//!   ever, so a probe as far away is armed and taken away before it waits: tokio tells its driver
//!   of a timer that is the earliest one, and the next wait is over at once. The clock has not
//!   moved then; if there is a timer, it has.
//! - *Has it gone off?* Then somebody is woken, and polled. Between two turns of its loop the runtime
//!   polls so many tasks, if they are there: a task that always is counts how often it comes
//!   round. The test itself is told from that by its waker.
//!
//! | the clock has moved | somebody was polled | |
//! |---|---|---|
//! | yes | yes | a timer has gone off |
//! | yes | no | on the way to one: once more |
//! | no | yes | a thread has woken somebody: once more, when that is over |
//! | no | no | there is no timer |
//!
//! Blocking work that ends looks like the last of these, since that has the runtime look at its
//! timers. So it is not believed while the blocking pool has a thread, or has got one meanwhile.

use super::{root::SENTINEL, shared::Inside};
use crate::clock;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// How many tasks the runtime of a bubble polls in one turn. It is tokio's default, but counted on
/// here.
pub(super) const TURN: u32 = 61;

/// The shortest time that tokio waits for a timer if the clock stands, for blocking work: whoever
/// comes back sooner has not waited for one.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Who waits for a step: the moment at which a timer has gone off, or that there is none.
pub(super) type Asking = oneshot::Sender<Option<Instant>>;

/// Steps that are asked for, and how far the next one is.
#[derive(Debug, Default)]
pub(super) struct Steps {
    asking: Vec<Asking>,
    phase: Phase,
    /// The threads of the blocking pool when the step began.
    pool: Pool,
}

/// The threads that the blocking pool has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) started: u64,
    pub(super) stopped: u64,
}

impl Pool {
    pub(super) fn is_empty(self) -> bool {
        self.started == self.stopped
    }
}

#[derive(Debug, Default)]
enum Phase {
    /// Nobody asks, or others can go on.
    #[default]
    Rest,
    /// Nobody can go on: the sentinel is to be taken away.
    Disarm,
    /// The driver is to look at the timers without it.
    Look,
    /// It has; when nobody can go on the clock may move.
    Ready,
    /// It may move from here.
    Parked { at: Instant, since: std::time::Instant },
    /// The runtime is back, and the test is polled before a turn.
    Back(Counting),
    /// It is polled after the turn.
    Counted(Counting),
    /// All is known, and the task that counts ends.
    Over,
}

#[derive(Debug)]
struct Counting {
    step: Step,
    counter: Arc<Counter>,
    was_test_woken: bool,
}

impl Counting {
    /// How the clock has moved, and whether somebody was polled.
    fn over(self, is_test_woken: bool) -> (Step, bool) {
        self.counter.is_over.store(true, Relaxed);
        let others = self.counter.polls.load(Relaxed) != TURN;
        (self.step, others || self.was_test_woken || is_test_woken)
    }
}

/// How the clock has moved.
#[derive(Clone, Copy, Debug)]
enum Step {
    To(Instant),
    /// Not at all, and tokio has not waited.
    None,
    /// It stands as long as there is blocking work.
    Waited,
}

#[derive(Debug, Default)]
struct Counter {
    polls: AtomicU32,
    is_over: AtomicBool,
}

impl Counter {
    fn count(self: Arc<Self>) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if let Some(shared) = Inside::current() {
                shared.uncount_poll();
            }
            if self.is_over.load(Relaxed) {
                return Poll::Ready(());
            }
            self.polls.fetch_add(1, Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

/// What is to be done before the runtime waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Idle {
    Usual,
    WakeRoot,
    Probe,
}

/// Has the driver told of a timer, if there is none before the sentinel.
pub(super) fn probe() {
    let mut probe = pin!(sleep(SENTINEL));
    // It is pending, and nobody is to be woken.
    let _: Poll<()> = probe.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// What the root is to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// What it does else.
    Usual,
    Disarm,
    /// Nothing.
    Wait,
    /// Nothing, and it is polled again after a turn.
    Again,
    /// The same, and who has asked is told when a timer has gone off, or that there is none.
    Over(Option<Instant>),
}

impl Steps {
    pub(super) fn ask(&mut self, asking: Asking) {
        self.asking.push(asking);
    }

    /// Nobody can go on, and nobody waits for just that.
    pub(super) fn before_park(&mut self) -> Idle {
        self.asking.retain(|asking| !asking.is_closed());
        match self.phase {
            Phase::Rest | Phase::Over if !self.asking.is_empty() => {
                self.phase = Phase::Disarm;
                Idle::WakeRoot
            }
            Phase::Ready => {
                self.phase = Phase::Parked { at: Instant::now(), since: clock::now() };
                // The end of a thread of the pool is waited for.
                if self.pool.is_empty() { Idle::Probe } else { Idle::Usual }
            }
            _ => Idle::Usual,
        }
    }

    /// The runtime is back. What counts its turn, if it is to be counted; the root is woken then.
    pub(super) fn after_unpark(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        let Phase::Parked { at, since } = self.phase else { return None };
        let now = Instant::now();
        let step = if now > at {
            Step::To(now)
        } else if clock::now() - since < SHORTEST_WAIT {
            Step::None
        } else {
            Step::Waited
        };
        let counter = Arc::new(Counter::default());
        let counting = Counting { step, counter: Arc::clone(&counter), was_test_woken: false };
        self.phase = Phase::Back(counting);
        Some(counter.count())
    }

    /// The root is polled, because the test was woken or for another reason.
    pub(super) fn poll_root(&mut self, was_test_woken: bool, pool: Pool) -> Turn {
        let (phase, turn) = match std::mem::take(&mut self.phase) {
            Phase::Disarm if !was_test_woken => {
                self.pool = pool;
                (Phase::Look, Turn::Disarm)
            }
            Phase::Look if !was_test_woken => (Phase::Ready, Turn::Wait),
            // Or somebody was woken before the clock could move.
            Phase::Rest
            | Phase::Over
            | Phase::Disarm
            | Phase::Look
            | Phase::Ready
            | Phase::Parked { .. } => (Phase::Rest, Turn::Usual),
            Phase::Back(counting) => {
                counting.counter.polls.store(0, Relaxed);
                (Phase::Counted(Counting { was_test_woken, ..counting }), Turn::Again)
            }
            Phase::Counted(counting) => {
                (Phase::Over, self.judge(counting.over(was_test_woken), pool))
            }
        };
        self.phase = phase;
        turn
    }

    fn judge(&self, (step, is_polled): (Step, bool), pool: Pool) -> Turn {
        let was_without_threads = self.pool.is_empty() && self.pool == pool;
        match step {
            Step::To(at) if is_polled => Turn::Over(Some(at)),
            Step::None if !is_polled && was_without_threads => Turn::Over(None),
            Step::To(_) | Step::None | Step::Waited => Turn::Again,
        }
    }

    /// Who asks, to be told.
    pub(super) fn take_asking(&mut self) -> Vec<Asking> {
        std::mem::take(&mut self.asking)
    }
}
