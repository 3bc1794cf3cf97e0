//! Keys against cells of which none is ever forgotten.

use proptest::{collection::vec, prelude::*};
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    time::Duration,
};
use tidegate_ratelimit::{
    KeyedLimiter, ManualClock, OnFull, Quota, Rate, TryAcquireError, TryAcquireKeyError,
    state::{Gcra, Refusal, Scale},
};

/// What is asked of a limiter.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take { key: u64, cost: u64 },
    Refund { key: u64, cost: u64 },
    Peek { key: u64 },
    Reset { key: u64 },
    Evict,
    Advance(u64),
    Change(usize),
}

/// Rates that fit a word for hundreds of years, for days, for seconds, and not at all.
fn quotas() -> Vec<Quota> {
    let second = |count, burst| Quota::new(Rate::per_second(count), burst);
    vec![
        second(10, 3),
        second(7, 5),
        second(999_999_937, 1_000_000),
        second(999_999_937, 4_000_000_000),
        second((1 << 61) - 1, 1 << 40),
        Quota::new(Rate::per_hour(1), 2_000_000),
        Quota::new(Rate::ZERO, 4),
        Quota::new(Rate::UNLIMITED, 1),
        Quota::new(Rate::new(3, Duration::from_nanos(7)), 9),
    ]
}

fn ops(keys: u64) -> impl Strategy<Value = Vec<Op>> {
    let cost = || prop_oneof![8 => 0..6_u64, 1 => 0..2_000_000_u64, 1 => any::<u64>()];
    let op = prop_oneof![
        12 => (0..keys, cost()).prop_map(|(key, cost)| Op::Take { key, cost }),
        2 => (0..keys, 0..6_u64).prop_map(|(key, cost)| Op::Refund { key, cost }),
        2 => (0..keys).prop_map(|key| Op::Peek { key }),
        1 => (0..keys).prop_map(|key| Op::Reset { key }),
        1 => Just(Op::Evict),
        4 => prop_oneof![
            0..2_000_000_000_u64,
            0..20_u64,
            0..40_000_000_000_u64,
            0..(1_u64 << 50)
        ].prop_map(Op::Advance),
        1 => (0..quotas().len()).prop_map(Op::Change),
    ];
    vec(op, 0..200)
}

/// All cells, and what they say.
struct Oracle {
    cells: HashMap<u64, Gcra>,
    quota: Quota,
    now: u64,
}

impl Oracle {
    fn of(&mut self, key: u64) -> &mut Gcra {
        self.cells.entry(key).or_insert_with(|| Gcra::new(self.quota).unwrap())
    }

    fn take(&mut self, key: u64, cost: u64) -> Result<(), TryAcquireKeyError> {
        let now = self.now;
        let cell = self.of(key);
        let error = match cell.take(now, cost) {
            Ok(()) => return Ok(()),
            Err(Refusal::Until(at)) => TryAcquireError::Denied {
                retry_after: Duration::from_nanos(at - now),
                remaining: cell.available(now),
            },
            Err(Refusal::Never) => {
                let (possible, remaining) = (cell.possible(now), cell.available(now));
                TryAcquireError::Never { cost, possible, remaining }
            }
        };
        Err(error.into())
    }
}

/// One that finds all keys in few places, and many at the same.
#[derive(Clone, Copy)]
struct Bad(u64);

impl BuildHasher for Bad {
    type Hasher = Few;

    fn build_hasher(&self) -> Few {
        Few(0, self.0)
    }
}

struct Few(u64, u64);

impl Hasher for Few {
    fn finish(&self) -> u64 {
        self.0 % self.1
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum * 31 + u64::from(*byte));
    }
}

fn follows(ops: Vec<Op>, first: usize, hashes: u64, tables: usize) {
    let clock = ManualClock::new();
    let mut oracle = Oracle { cells: HashMap::new(), quota: quotas()[first], now: 0 };
    let limiter = KeyedLimiter::builder(oracle.quota)
        .clock(clock.clone())
        .hasher(Bad(hashes))
        .max_keys(tables * 128)
        .build()
        .unwrap();
    // What was taken at the very time of these is not told apart from what was taken before.
    let tick = |oracle: &mut Oracle| {
        oracle.now += 1;
        clock.advance(Duration::from_nanos(1));
    };
    for op in ops {
        match op {
            Op::Take { key, cost } => {
                let taken = limiter.try_acquire(&key, cost).map(drop);
                assert_eq!(taken, oracle.take(key, cost), "{op:?}");
            }
            Op::Refund { key, cost } => {
                let taken = limiter.try_acquire(&key, cost);
                let expected = oracle.take(key, cost);
                assert_eq!(taken.is_ok(), expected.is_ok(), "{op:?}");
                if let Ok(permit) = taken {
                    permit.refund();
                    let now = oracle.now;
                    oracle.of(key).give_back(now, cost, now);
                }
            }
            Op::Peek { key } => {
                let (now, peek) = (oracle.now, limiter.peek(&key).unwrap());
                let cell = oracle.of(key);
                let (available, possible) = (cell.available(now), cell.possible(now));
                assert_eq!((peek.remaining, peek.possible), (available, possible));
                let full = cell.full_at().map(|at| Duration::from_nanos(at.saturating_sub(now)));
                assert_eq!(peek.full_after, full);
            }
            Op::Reset { key } => {
                limiter.reset(&key);
                oracle.cells.remove(&key);
                tick(&mut oracle);
            }
            Op::Evict => {
                limiter.evict();
                let now = oracle.now;
                let owes = |cell: &Gcra| cell.full_at().is_none_or(|at| at > now);
                let left = oracle.cells.values().filter(|cell| owes(cell)).count();
                assert_eq!(limiter.len(), left, "only those that owe something");
            }
            Op::Advance(by) => {
                oracle.now += by;
                clock.advance(Duration::from_nanos(by));
            }
            Op::Change(to) => {
                let (now, quota) = (oracle.now, quotas()[to]);
                limiter.set_quota(quota).unwrap();
                oracle.quota = quota;
                let scale = Scale::new(quota).unwrap();
                oracle.cells.values_mut().for_each(|cell| cell.change(now, scale));
                tick(&mut oracle);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_cells_that_are_never_forgotten(
        ops in ops(24),
        first in 0..quotas().len(),
        hashes in 1..40_u64,
        tables in 1..9_usize,
    ) {
        follows(ops, first, hashes, tables);
    }

    /// The same with a quota for each key that changes all the time.
    #[test]
    fn quotas_of_keys_are_those_of_their_cells(
        ops in ops(90),
        first in 0..quotas().len(),
    ) {
        let clock = ManualClock::new();
        let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(first));
        let of = std::sync::Arc::clone(&turn);
        let quota_of = |turn: usize, key: u64| {
            let quota = quotas()[(turn + usize::try_from(key % 3).unwrap()) % quotas().len()];
            Quota::new(quota.rate(), quota.burst() + key)
        };
        let limiter = KeyedLimiter::builder(quotas()[0])
            .quota_for(move |key| quota_of(of.load(std::sync::atomic::Ordering::SeqCst), *key))
            .clock(clock.clone())
            .build()
            .unwrap();
        let mut cells = HashMap::<u64, Gcra>::new();
        let mut kept = HashMap::new();
        let mut now = 0;
        for op in ops {
            match op {
                Op::Take { key, cost } | Op::Refund { key, cost } => {
                    let quota = quota_of(turn.load(std::sync::atomic::Ordering::SeqCst), key);
                    let cell = cells.entry(key).or_insert_with(|| Gcra::new(quota).unwrap());
                    if kept.insert(key, quota).is_some_and(|before| before != quota) {
                        cell.change(now, Scale::new(quota).unwrap());
                    }
                    let taken = limiter.try_acquire(&key, cost);
                    prop_assert_eq!(taken.is_ok(), cell.take(now, cost).is_ok(), "{:?}", op);
                    prop_assert_eq!(limiter.peek(&key).unwrap().remaining, cell.available(now));
                }
                Op::Evict => drop(limiter.evict()),
                Op::Advance(by) => {
                    now += by;
                    clock.advance(Duration::from_nanos(by));
                }
                Op::Change(to) => turn.store(to, std::sync::atomic::Ordering::SeqCst),
                Op::Peek { .. } | Op::Reset { .. } => {}
            }
        }
    }

    /// Whatever the clock does: a key gets a burst, and what the clock went ahead by, and two seconds after
    /// the time that a burst takes it has one again: a step back of one is waited out by the table, and another
    /// one by the cell.
    #[test]
    fn a_clock_that_is_set_mints_nothing_and_stalls_nobody(
        steps in vec((0..4_u64, 1..4_u64, 0..5_000_u64, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let clock = ManualClock::new();
        let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 3))
            .clock(clock.clone())
            .build()
            .unwrap();
        let (mut now, mut ahead) = (0, 0);
        let mut taken = HashMap::<u64, u64>::new();
        for (key, cost, by, is_back, evicts) in steps {
            if is_back {
                now -= by.min(now);
            } else {
                now += by;
                ahead += by;
            }
            clock.set(Duration::from_millis(now));
            if evicts {
                limiter.evict();
            }
            if limiter.try_acquire(&key, cost).is_ok() {
                *taken.entry(key).or_default() += cost;
            }
            for (key, taken) in &taken {
                prop_assert!(taken * 1000 <= 3000 + ahead, "{taken} of {key} in {ahead} ms");
            }
        }
        // A cell that nobody has asked since the clock was set learns of it now.
        (0..4).for_each(|key| drop(limiter.try_acquire(&key, 1)));
        clock.advance(Duration::from_secs(5));
        for key in 0..4 {
            prop_assert!(limiter.try_acquire(&key, 3).is_ok(), "{key} has to wait for longer");
        }
    }

    /// Beyond the cap only those pass that are in the table, or for which one that is full makes room.
    #[test]
    fn the_cap_is_never_exceeded(
        steps in vec((0..60_u64, 0..2_000_u64), 1..300),
        max in 1..40_usize,
        admits in any::<bool>(),
    ) {
        let clock = ManualClock::new();
        let on_full = if admits { OnFull::Admit } else { OnFull::Reject };
        let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 2))
            .clock(clock.clone())
            .max_keys(max)
            .on_full(on_full)
            .build()
            .unwrap();
        let mut cells = HashMap::<u64, Gcra>::new();
        let (mut now, mut turned_away) = (0, 0);
        for (key, by) in steps {
            now += by * 1_000_000;
            clock.set(Duration::from_nanos(now));
            cells.retain(|_, cell| cell.full_at().unwrap() > now);
            let has_room = cells.contains_key(&key) || cells.len() < max;
            let taken = limiter.try_acquire(&key, 1);
            if has_room {
                let cell = cells.entry(key).or_insert_with(|| {
                    Gcra::new(Quota::new(Rate::per_second(1), 2)).unwrap()
                });
                prop_assert_eq!(taken.is_ok(), cell.take(now, 1).is_ok());
            } else {
                turned_away += 1;
                prop_assert_eq!(taken.is_ok(), admits);
                if let Err(error) = taken {
                    let first = cells.values().filter_map(Gcra::full_at).min().unwrap();
                    let retry_after = Some(Duration::from_nanos(first - now));
                    let full = TryAcquireKeyError::TooManyKeys { max_keys: max, retry_after };
                    prop_assert_eq!(error.retry_after(), full.retry_after());
                }
            }
            prop_assert!(limiter.len() <= max);
        }
        prop_assert_eq!(limiter.stats().turned_away, turned_away);
    }
}
