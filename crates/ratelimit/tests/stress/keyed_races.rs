//! Threads that ask for the same keys at once: for longer by `cargo xtask stress`.

use super::{
    poll,
    races::{Bucket, Op},
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};
use tidegate_ratelimit::{KeyedLimiter, KeyedReservation, ManualClock, Quota, Rate};
use tidegate_testkit::{
    History, Stress, check_linearizable,
    conformance::{Limit, TryLimiter, limiter},
};

const LIMIT: Limit = Limit { burst: 3, interval: Duration::from_millis(10) };
const KEY: u64 = 7;

/// A limiter whose clock is told by who asks; it does not go back.
struct Told {
    limiter: KeyedLimiter<u64, ManualClock>,
    clock: ManualClock,
    latest: Mutex<Duration>,
}

impl Told {
    fn new() -> Self {
        let clock = ManualClock::new();
        let quota = Quota::new(Rate::every(LIMIT.interval), LIMIT.burst.into());
        let limiter = KeyedLimiter::builder(quota).clock(clock.clone()).build().unwrap();
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
        if n == 2 {
            // Others come and go meanwhile.
            let _ = self.limiter.try_acquire(&8, 1);
            self.limiter.evict();
        }
        self.limiter.try_acquire(&KEY, n.into()).is_ok()
    }
}

#[test]
fn stress_a_key_is_a_limiter() {
    limiter(Stress::new("a_key_is_a_limiter"), LIMIT, Told::new).unwrap();
}

/// The same by reservations, which are kept to be given back.
struct Reserved(Told, Mutex<Vec<KeyedReservation<u64, ManualClock>>>);

impl TryLimiter for Reserved {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        self.0.set(now);
        let reserved = self.0.limiter.reserve_within(KEY, n.into(), Duration::ZERO);
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
fn stress_reservations_of_a_key_are_a_limiter_that_takes_back() {
    let make = || Reserved(Told::new(), Mutex::default());
    let stress = Stress::new("reservations_of_a_key_are_a_limiter_that_takes_back");
    limiter(stress, LIMIT, make).unwrap();
}

/// Reservations of two keys are made, looked at, spent and dropped, while keys are swept: what is spent and
/// what is left add up, and no key stays.
#[test]
fn stress_reservations_leave_their_keys_as_they_were() {
    Stress::new("reservations_leave_their_keys_as_they_were").run(
        |_rng| {
            let builder = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), 6));
            let limiter = builder.clock(ManualClock::new()).build().unwrap();
            (limiter, [AtomicU64::new(0), AtomicU64::new(0)])
        },
        |(limiter, taken), ctx| {
            let mut held: Vec<KeyedReservation<u64, ManualClock>> = Vec::new();
            for _ in 0..30 {
                ctx.point();
                match ctx.rng().below(8) {
                    0..4 => {
                        let (key, cost) = (ctx.rng().below(2), 1 + ctx.rng().below(3));
                        held.extend(limiter.reserve(key, cost));
                    }
                    4 => drop(limiter.evict()),
                    spends => {
                        let Some(mut reservation) = held.pop() else { continue };
                        if spends == 5 && reservation.is_ready() {
                            let key = usize::try_from(*reservation.key()).unwrap();
                            taken[key].fetch_add(reservation.cost(), SeqCst);
                            reservation.commit().unwrap();
                        }
                    }
                }
            }
        },
        |(limiter, taken), _threads| {
            for (key, taken) in (0..).zip(taken) {
                let (left, taken) = (limiter.peek(&key).unwrap(), taken.load(SeqCst));
                if (left.remaining + taken, left.waiting) != (6, 0) {
                    return Err(format!("{taken} of {key} were taken: {left:?}"));
                }
            }
            limiter.set_quota(Rate::UNLIMITED).unwrap();
            limiter.evict();
            match (limiter.len(), limiter.stats().waiting) {
                (0, 0) => Ok(()),
                _ => Err(format!("{:?}", limiter.stats())),
            }
        },
    );
}

#[test]
fn stress_taking_from_a_key_is_linearizable() {
    Stress::new("taking_from_a_key_is_linearizable").run(
        |_rng| {
            let clock = ManualClock::new();
            let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 4));
            let limiter = builder.clock(clock.clone()).build().unwrap();
            (limiter, clock, History::new(), AtomicU64::new(0))
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
                    client.call_sync(Op::Take(n), || limiter.try_acquire(&KEY, n).is_ok());
                }
            }
        },
        |(_, _, history, _), _threads| {
            let verdict = check_linearizable(&Bucket, history);
            if verdict.is_linearizable() { Ok(()) } else { Err(verdict.to_string()) }
        },
    );
}

/// Keys come and go at the cap: there are never more, and none is counted that is not there.
#[test]
fn stress_the_cap_holds_for_threads() {
    const MOST: usize = 20;
    Stress::new("the_cap_holds_for_threads").run(
        |_rng| {
            let clock = ManualClock::new();
            let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1));
            (builder.max_keys(MOST).clock(clock.clone()).build().unwrap(), clock)
        },
        |(limiter, clock), ctx| {
            for _ in 0..60 {
                ctx.point();
                let key = ctx.rng().below(60);
                match ctx.rng().below(8) {
                    0 => clock.advance(Duration::from_millis(100)),
                    1 => limiter.reset(&key),
                    2 => drop(limiter.evict()),
                    _ => drop(limiter.try_acquire(&key, 1).map(|permit| {
                        if key % 3 == 0 {
                            permit.refund();
                        }
                    })),
                }
                assert!(limiter.len() <= MOST, "{limiter:?}");
            }
        },
        |(limiter, clock), _threads| {
            clock.advance(Duration::from_secs(2));
            limiter.evict();
            if limiter.is_empty() { Ok(()) } else { Err(format!("{limiter:?}")) }
        },
    );
}

/// Some wait, some give up, some ask without waiting: what is taken and given back adds up, and in the end
/// nobody is left.
#[test]
fn stress_who_waits_for_a_key_leaves_it_as_it_was() {
    Stress::new("who_waits_for_a_key_leaves_it_as_it_was").run(
        |_rng| {
            let clock = ManualClock::new();
            let builder = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), 6));
            let limiter = builder.clock(clock.clone()).build().unwrap();
            limiter.try_acquire(&KEY, 2).unwrap();
            (limiter, AtomicU64::new(2))
        },
        |(limiter, taken), ctx| {
            for _ in 0..20 {
                ctx.point();
                let n = 1 + ctx.rng().below(3);
                let permit = if ctx.rng().one_in(2) {
                    let mut waiter = Box::pin(limiter.acquire(&KEY, n));
                    let mut waits = poll(waiter.as_mut());
                    ctx.point();
                    if waits.is_pending() && ctx.rng().one_in(2) {
                        waits = poll(waiter.as_mut());
                    }
                    match waits {
                        std::task::Poll::Ready(permit) => permit.ok(),
                        std::task::Poll::Pending => None,
                    }
                } else {
                    limiter.try_acquire(&KEY, n).ok()
                };
                let Some(permit) = permit else { continue };
                if ctx.rng().one_in(3) {
                    taken.fetch_add(permit.cost(), SeqCst);
                } else {
                    permit.refund();
                }
            }
        },
        |(limiter, taken), _threads| {
            limiter.evict();
            let left = limiter.peek(&KEY).unwrap();
            let stats = limiter.stats();
            match (left.remaining + taken.load(SeqCst), left.waiting, stats.waiting) {
                (6, 0, 0) => Ok(()),
                sum => Err(format!("{sum:?}: {left:?}, {stats:?}")),
            }
        },
    );
}

/// Threads that get in each other's way for one key have it at hand: the limit is the same, and nothing is
/// kept once they are through.
#[test]
fn stress_a_disputed_key_is_a_key_as_others() {
    const BURST: u64 = 100_000;
    Stress::new("a_disputed_key_is_a_key_as_others").run(
        |_rng| {
            let clock = ManualClock::new();
            let builder = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), BURST));
            (builder.clock(clock.clone()).build().unwrap(), AtomicU64::new(0))
        },
        |(limiter, taken), ctx| {
            for _ in 0..200 {
                let key = if ctx.rng().one_in(8) { ctx.rng().below(6) } else { KEY };
                let cost = 1 + ctx.rng().below(3);
                let Ok(permit) = limiter.try_acquire(&key, cost) else { continue };
                match ctx.rng().below(40) {
                    0 => permit.refund(),
                    _ if key == KEY => drop(taken.fetch_add(cost, SeqCst)),
                    _ => {}
                }
                match ctx.rng().below(200) {
                    0 => limiter.set_quota(Quota::new(Rate::per_hour(1), BURST)).unwrap(),
                    1 => drop(limiter.evict()),
                    _ => {}
                }
            }
        },
        |(limiter, taken), _threads| {
            let left = limiter.peek(&KEY).unwrap().remaining;
            let taken = taken.load(SeqCst);
            limiter.set_quota(Rate::UNLIMITED).unwrap();
            limiter.evict();
            match (left + taken, limiter.len()) {
                (BURST, 0) => Ok(()),
                sum => Err(format!("{left} and {taken}: {sum:?}")),
            }
        },
    );
}

/// Changes the quota, once, when it is woken: amid the change of another one, as another thread could.
struct ChangesAgain(KeyedLimiter<u64, ManualClock>, Quota, AtomicBool);

impl Wake for ChangesAgain {
    fn wake(self: Arc<Self>) {
        if !self.2.swap(true, SeqCst) {
            self.0.set_quota(self.1).unwrap();
        }
    }
}

/// The last of two changes at once holds, for keys in all tables, and for those that somebody waits for.
#[test]
fn of_two_changes_at_once_one_holds_for_all() {
    for max_keys in [16, 8192] {
        let clock = ManualClock::new();
        let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 10));
        let limiter = builder.max_keys(max_keys).clock(clock).build().unwrap();
        let last = Quota::new(Rate::new(7, Duration::from_secs(3)), 5);
        let waker =
            Waker::from(Arc::new(ChangesAgain(limiter.clone(), last, AtomicBool::new(false))));
        let keys: Vec<u64> = (0..10).collect();
        let mut waiting = Vec::new();
        for key in &keys {
            limiter.try_acquire(key, 9).unwrap();
            let mut waits = Box::pin(limiter.acquire(key, 4));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            waiting.push(waits);
        }
        limiter.set_quota(Quota::new(Rate::per_second(1000), 20)).unwrap();
        assert_eq!(limiter.quota(), last);
        drop(waiting);
        for key in 0..1000 {
            let peek = limiter.peek(&key).unwrap();
            assert_eq!(peek.possible, 5, "{key} of {max_keys}");
            let left = if key < 10 { 0 } else { 5 };
            assert_eq!(peek.remaining, left, "{key} of {max_keys}");
        }
    }
}
