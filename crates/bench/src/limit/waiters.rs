//! Who waits: in which order they pass, and how often somebody is woken for it.

use super::direct::{Limit, governor_of, leaky_bucket_of};
use crate::{Plan, contest::Ratio, row::counted};
use futures::{
    future::poll_fn,
    task::{ArcWake, waker},
};
use governor::clock::QuantaClock;
use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};
use tidegate_ratelimit::{Clock, Rate, RateLimiter, TokioClock, clock::Timer};
use tokio::runtime::{Builder, Runtime};

/// How many wait at a time for us, and for peers who wake everybody for each that passes.
const MANY: u64 = 10_000;
const FEW: u64 = 1_000;
const PACE: Limit = Limit { rate: 1_000, burst: 1 };

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let many = plan.size(MANY, FEW);
    let (rings, ours) = queue_at_ours(many);
    let leaky = Arc::new(leaky_bucket_of(PACE));
    let leaky = queue(&paused(), many, move || {
        let leaky = Arc::clone(&leaky);
        async move { leaky.acquire_one().await }
    });
    let governor = Arc::new(governor_of(PACE, QuantaClock::default()));
    let few = plan.size(FEW, FEW / 10);
    let real = Builder::new_current_thread().enable_all().build().unwrap();
    // Its timers are in real time only.
    let governor = queue(&real, few, move || {
        let governor = Arc::clone(&governor);
        async move { governor.until_ready().await }
    });
    let mut ratios = vec![counted(
        format!("timers that ring for each that passes, {many} wait"),
        "ours",
        rings,
        1.0,
        many,
    )];
    for (who, waited, target) in
        [("ours", ours, true), ("leaky-bucket", leaky, false), ("governor", governor, false)]
    {
        let Waited { inversions, polls, all } = waited;
        let op = format!("pairs of {all} that pass in the wrong order");
        ratios.push(counted(op, who, inversions, target.then_some(0.0), all));
        let op = format!("polls of a waiter until it passes, {all} wait");
        ratios.push(counted(op, who, polls, target.then_some(2.0), all));
    }
    ratios
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What those who waited have come to.
struct Waited {
    /// How many pairs passed in another order than that in which they came.
    inversions: f64,
    /// How often each was polled.
    polls: f64,
    all: u64,
}

/// Has `all` tasks wait at the same time.
fn queue<F: Future + Send + 'static>(
    runtime: &Runtime,
    all: u64,
    acquire: impl Fn() -> F + Send + Clone + 'static,
) -> Waited {
    let passed = Arc::new(Mutex::new(Vec::new()));
    let polls = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..usize::try_from(all).unwrap() {
            let (passed, polls, acquire) = (passed.clone(), polls.clone(), acquire.clone());
            tasks.spawn(async move {
                let mut waiting = pin!(acquire());
                poll_fn(|cx| {
                    polls.fetch_add(1, Relaxed);
                    waiting.as_mut().poll(cx).map(drop)
                })
                .await;
                passed.lock().unwrap().push(number);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    let passed = passed.lock().unwrap();
    assert_eq!(passed.len() as u64, all, "not all have passed");
    Waited {
        inversions: inversions(&passed) as f64,
        polls: polls.load(Relaxed) as f64 / all as f64,
        all,
    }
}

/// How many pairs are in the wrong order, by a tree of sums (Fenwick).
fn inversions(order: &[usize]) -> u64 {
    let mut sums = vec![0_u64; order.len() + 1];
    let mut wrong = 0;
    for (seen, number) in (0..).zip(order) {
        let (mut at, mut smaller) = (number + 1, 0);
        while at > 0 {
            smaller += sums[at];
            at &= at - 1;
        }
        wrong += seen - smaller;
        let mut at = number + 1;
        while at < sums.len() {
            sums[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    wrong
}

/// How often a timer of ours rings for each that passes, and the rest.
fn queue_at_ours(all: u64) -> (f64, Waited) {
    let rings = Arc::new(AtomicU64::new(0));
    let runtime = paused();
    let entered = runtime.enter();
    let clock = Counted { clock: TokioClock::new(), rings: rings.clone() };
    let limiter = RateLimiter::builder(Rate::per_second(u64::from(PACE.rate)));
    let limiter = limiter.burst(u64::from(PACE.burst)).clock(clock).build().unwrap();
    drop(entered);
    let waited = queue(&runtime, all, move || {
        let limiter = limiter.clone();
        async move { limiter.acquire(1).await.map(|permit| permit.cost()).unwrap() }
    });
    (rings.load(Relaxed) as f64 / all as f64, waited)
}

/// tokio's clock, and how often its timers ring.
struct Counted {
    clock: TokioClock,
    rings: Arc<AtomicU64>,
}

impl Clock for Counted {
    type Timer = CountedTimer;

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn timer(&self) -> CountedTimer {
        CountedTimer { timer: Box::pin(self.clock.timer()), rings: self.rings.clone() }
    }
}

struct CountedTimer {
    timer: Pin<Box<<TokioClock as Clock>::Timer>>,
    rings: Arc<AtomicU64>,
}

struct Ring {
    rings: Arc<AtomicU64>,
    waker: Waker,
}

impl ArcWake for Ring {
    fn wake_by_ref(ring: &Arc<Self>) {
        ring.rings.fetch_add(1, Relaxed);
        ring.waker.wake_by_ref();
    }
}

impl Timer for CountedTimer {
    fn poll_until(mut self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let ring = Ring { rings: self.rings.clone(), waker: cx.waker().clone() };
        let ring = waker(Arc::new(ring));
        self.timer.as_mut().poll_until(at, &mut Context::from_waker(&ring))
    }

    fn is_of_caller(&self) -> bool {
        self.timer.is_of_caller()
    }
}
