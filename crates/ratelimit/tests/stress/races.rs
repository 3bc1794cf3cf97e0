//! Threads that ask at once: for longer by `cargo xtask stress`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::{Clock, ManualClock, Rate, RateLimiter, Reservation};
use tidegate_testkit::{
    History, Model, Stress, check_linearizable,
    conformance::{Limit, TryLimiter, limiter},
};

const LIMIT: Limit = Limit { burst: 3, interval: Duration::from_millis(10) };

/// A limiter whose clock is told by who asks; it does not go back.
struct Told {
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    latest: Mutex<Duration>,
}

impl Told {
    fn new() -> Self {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(Rate::every(LIMIT.interval))
            .burst(LIMIT.burst.into())
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { limiter, clock, latest: Mutex::default() }
    }

    fn set(&self, now: Duration) {
        let mut latest = self.latest.lock().unwrap();
        *latest = now.max(*latest);
        self.clock.set(*latest);
    }
}

impl TryLimiter for Told {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        self.set(now);
        self.limiter.try_acquire(n.into()).is_ok()
    }
}

#[test]
fn stress_it_is_a_limiter() {
    limiter(Stress::new("it_is_a_limiter"), LIMIT, Told::new).unwrap();
}

/// The same by reservations, which are kept to be given back.
struct Reserved(Told, Mutex<Vec<Reservation<ManualClock>>>);

impl TryLimiter for Reserved {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        self.0.set(now);
        let reserved = self.0.limiter.reserve_within(n.into(), Duration::ZERO);
        reserved.map(|reservation| self.1.lock().unwrap().push(reservation)).is_ok()
    }

    fn refund(&self, n: u32, now: Duration) -> bool {
        self.0.set(now);
        let mut kept = self.1.lock().unwrap();
        // The last: what comes late has come back by itself.
        let at = kept.iter().rposition(|reservation| reservation.cost() == n.into());
        let given_back = at.map(|at| kept.remove(at));
        drop(kept);
        given_back.is_some()
    }
}

#[test]
fn stress_reservations_are_a_limiter_that_takes_back() {
    let make = || Reserved(Told::new(), Mutex::default());
    limiter(Stress::new("reservations_are_a_limiter_that_takes_back"), LIMIT, make).unwrap();
}

/// Takes and changes, in some order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Take(u64),
    Advance(u64),
}

/// A bucket of four, and a token a second.
pub(super) struct Bucket;

impl Model for Bucket {
    type Op = Op;
    type Ret = bool;
    type State = u64;
    type Next = Option<u64>;
    type Key = ();

    fn partition(&self, _op: &Op) {}

    fn init(&self, (): &()) -> u64 {
        4
    }

    fn step(&self, left: &u64, op: &Op, ret: Option<&bool>) -> Option<u64> {
        match (*op, ret.copied()) {
            (Op::Take(n), Some(true)) => left.checked_sub(n),
            (Op::Take(n), Some(false)) => (n > *left).then_some(*left),
            (Op::Advance(n), _) => Some((left + n).min(4)),
            (Op::Take(_), None) => None,
        }
    }
}

#[test]
fn stress_taking_is_linearizable() {
    Stress::new("taking_is_linearizable").run(
        |_rng| {
            let clock = ManualClock::new();
            let builder = RateLimiter::builder(Rate::per_second(1)).burst(4).clock(clock.clone());
            (builder.build().unwrap(), clock, History::new(), AtomicU64::new(0))
        },
        |(limiter, clock, history, clients), ctx| {
            let client = history.client(usize::try_from(clients.fetch_add(1, SeqCst)).unwrap());
            for _ in 0..6 {
                ctx.point();
                if ctx.rng().one_in(4) {
                    client.call_sync(Op::Advance(1), || {
                        clock.advance(Duration::from_secs(1));
                        true
                    });
                } else {
                    let n = 1 + ctx.rng().below(3);
                    client.call_sync(Op::Take(n), || limiter.try_acquire(n).is_ok());
                }
            }
        },
        |(_, _, history, _), _threads| {
            let verdict = check_linearizable(&Bucket, history);
            if verdict.is_linearizable() { Ok(()) } else { Err(verdict.to_string()) }
        },
    );
}

/// Rates change all the time while everybody takes: nothing is made by that, and nothing lost.
#[test]
fn stress_changes_of_the_rate_make_no_tokens() {
    Stress::new("changes_of_the_rate_make_no_tokens").run(
        |_rng| {
            let builder = RateLimiter::builder(Rate::per_second(1)).burst(100);
            (builder.clock(ManualClock::new()).build().unwrap(), AtomicU64::new(0))
        },
        |(limiter, taken), ctx| {
            for _ in 0..40 {
                ctx.point();
                if ctx.rng().one_in(4) {
                    limiter.set_rate(Rate::per_second(1 + ctx.rng().below(1000))).unwrap();
                } else if let Ok(permit) = limiter.try_acquire(1 + ctx.rng().below(2)) {
                    if ctx.rng().one_in(2) {
                        permit.refund();
                    } else {
                        taken.fetch_add(permit.cost(), SeqCst);
                    }
                }
            }
        },
        |(limiter, taken), _threads| {
            let (left, taken) = (limiter.peek().remaining, taken.load(SeqCst));
            match left + taken {
                100 => Ok(()),
                sum => {
                    Err(format!("{left} and {taken} are {sum} of 100 at {}", limiter.clock().now()))
                }
            }
        },
    );
}
