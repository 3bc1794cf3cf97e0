//! What is taken from limiters and kept stays within the limits, whenever the rest is given back.

use super::{
    oracle::Meter,
    refunds::{Past, State},
};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::{
    KeyedLimiter, KeyedPermit, Limit, ManualClock, Permit, Quota, Rate, RateLimiter, Reservation,
    SlidingWindow, state::Gcra,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    Reserve(u64),
    GiveBack(usize),
}

/// What somebody holds of a limiter, and when that was taken.
enum Held<'a> {
    Permit(Permit<'a, ManualClock>, u64),
    Reserved(Reservation<ManualClock>, Option<u64>),
}

/// Sees who has been served.
fn look(all: &mut [Held<'_>], now: u64) {
    for held in all {
        if let Held::Reserved(reservation, taken_at) = held {
            if taken_at.is_none() && reservation.is_ready() {
                *taken_at = Some(now);
            }
        }
    }
}

impl Held<'_> {
    fn give_back(self) {
        if let Self::Permit(permit, _) = self {
            permit.refund();
        }
    }

    /// When it was taken and how much it is; none, if it waits.
    fn taken(&self) -> Option<(u64, u64)> {
        match self {
            Self::Permit(permit, at) => Some((*at, permit.cost())),
            Self::Reserved(reservation, at) => at.map(|at| (at, reservation.cost())),
        }
    }
}

fn is_kept_to(limit: Limit, taken: &[(u64, u64)]) -> bool {
    match limit {
        Limit::Quota(quota) => {
            let mut meter = Meter::new(quota);
            taken.iter().all(|&(at, cost)| meter.pass(at, cost))
        }
        Limit::Window(window) => {
            let (most, length) = (window.rate().count(), window.rate().period().as_nanos());
            let length = u64::try_from(length).unwrap();
            taken.iter().all(|&(end, _)| {
                let inside = taken.iter().filter(|(at, _)| *at <= end && *at + length > end);
                inside.map(|(_, cost)| cost).sum::<u64>() <= most
            })
        }
        _ => unreachable!("there are two kinds"),
    }
}

fn limit() -> impl Strategy<Value = Limit> {
    let nanos = Duration::from_nanos;
    prop_oneof![
        2 => (0..9_u64, 1..60_u64, 2..12_u64).prop_map(move |(count, per, burst)| {
            Quota::new(Rate::new(count, nanos(per)), burst).into()
        }),
        1 => (2..12_u64, 5..60_u64, 1..6_u64).prop_map(move |(most, length, slot)| {
            SlidingWindow::new(most, nanos(length)).resolution(nanos(slot)).into()
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (1..8_u64).prop_map(Step::Take),
        2 => (1..8_u64).prop_map(Step::Reserve),
        5 => (0..60_usize).prop_map(Step::GiveBack),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..30_u64, 0..300_u64], step), 1..80)
}

#[derive(Clone, Copy, Debug)]
enum KeyStep {
    Take(u8, u64),
    GiveBack(usize),
    Reset(u8),
    Evict,
    Change(usize),
}

fn quotas() -> [Quota; 5] {
    let nanos = Duration::from_nanos;
    [
        Quota::new(Rate::new(1, nanos(20)), 5),
        Quota::new(Rate::new(3, nanos(7)), 9),
        Quota::new(Rate::every(nanos(1)), 4),
        Quota::new(Rate::ZERO, 20),
        Quota::new(Rate::new(1, nanos(21)), 7),
    ]
}

fn key_steps() -> impl Strategy<Value = Vec<(u64, KeyStep)>> {
    let step = prop_oneof![
        8 => (0..3_u8, 1..8_u64).prop_map(|(key, cost)| KeyStep::Take(key, cost)),
        5 => (0..60_usize).prop_map(KeyStep::GiveBack),
        1 => (0..3_u8).prop_map(KeyStep::Reset),
        2 => Just(KeyStep::Evict),
        2 => (0..quotas().len()).prop_map(KeyStep::Change),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..30_u64, 0..200_u64], step), 1..80)
}

/// A key as it would be if it had never been forgotten, nor taken what was given back.
struct Key {
    first: Quota,
    quota: Quota,
    past: Vec<Past<Quota>>,
    /// How often it was reset.
    resets: usize,
}

impl Key {
    fn change(&mut self, at: u64, to: Quota) {
        if to != self.quota {
            self.quota = to;
            self.past.push(Past::Changed { at, to });
        }
    }
}

/// A permit, and which of the past of its key it is.
struct Out<'a> {
    permit: KeyedPermit<'a, u8, ManualClock>,
    key: u8,
    nth: usize,
    resets: usize,
}

/// Either all keys have the same quota, or each is asked for.
fn follow(steps: Vec<(u64, KeyStep)>, first: usize, is_asked: bool) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let turn = Arc::new(AtomicUsize::new(first));
    let told = Arc::clone(&turn);
    let mut builder = KeyedLimiter::builder(quotas()[first]).clock(clock.clone());
    if is_asked {
        builder = builder.quota_for(move |_: &u8| quotas()[told.load(SeqCst)]);
    }
    let (limiter, names) = (builder.build().unwrap(), [0, 1, 2]);
    let new = |quota| Key { first: quota, quota, past: Vec::new(), resets: 0 };
    let mut keys: HashMap<u8, Key> = names.iter().map(|key| (*key, new(quotas()[first]))).collect();
    let (mut out, mut now) = (Vec::<Out<'_>>::new(), 0);
    for (time, step) in steps {
        now += time;
        clock.advance(Duration::from_nanos(time));
        match step {
            KeyStep::Take(name, cost) => {
                let key = keys.get_mut(&name).unwrap();
                key.change(now, quotas()[turn.load(SeqCst)]);
                if let Ok(permit) = limiter.try_acquire(&names[usize::from(name)], cost) {
                    out.push(Out { permit, key: name, nth: key.past.len(), resets: key.resets });
                    key.past.push(Past::Taken { at: now, cost, is_kept: true });
                }
                let never = Gcra::never(key.first, &key.past);
                let left = limiter.peek(&name).unwrap().remaining;
                prop_assert!(left <= never.available(now), "{left} of {name} at {now}");
            }
            KeyStep::GiveBack(nth) => {
                if out.is_empty() {
                    continue;
                }
                let Out { permit, key, nth, resets } = out.remove(nth % out.len());
                permit.refund();
                let key = keys.get_mut(&key).unwrap();
                // What was before a reset is not in its past any more.
                let taken = key.past.get_mut(nth).filter(|_| key.resets == resets);
                if let Some(Past::Taken { is_kept, .. }) = taken {
                    *is_kept = false;
                }
            }
            KeyStep::Reset(name) => {
                limiter.reset(&name);
                let key = keys.get_mut(&name).unwrap();
                let resets = key.resets + 1;
                *key = Key { resets, ..new(key.quota) };
            }
            KeyStep::Evict => drop(limiter.evict()),
            KeyStep::Change(to) => {
                turn.store(to, SeqCst);
                if !is_asked {
                    limiter.set_quota(quotas()[to]).unwrap();
                    for key in keys.values_mut() {
                        key.change(now, quotas()[to]);
                    }
                }
            }
        }
    }
    // That none of it is too much is looked at on the way.
    for key in keys.values() {
        let _ = Gcra::never(key.first, &key.past);
    }
    Ok(())
}

#[cfg(not(miri))]
proptest! {
    #[test]
    fn what_is_kept_of_a_limiter_is_within_all_its_limits(
        limits in prop::collection::vec(limit(), 1..4),
        steps in steps(),
    ) {
        let clock = ManualClock::new();
        let builder = RateLimiter::builder(limits[0]).clock(clock.clone());
        let builder = limits[1..].iter().fold(builder, |builder, limit| builder.also(*limit));
        let limiter = builder.build().unwrap();
        let (mut held, mut now) = (Vec::new(), 0);
        for (time, step) in steps {
            now += time;
            clock.advance(Duration::from_nanos(time));
            look(&mut held, now);
            match step {
                Step::Take(cost) => {
                    held.extend(limiter.try_acquire(cost).map(|permit| Held::Permit(permit, now)));
                }
                Step::Reserve(cost) => {
                    held.extend(limiter.reserve(cost).map(|place| Held::Reserved(place, None)));
                }
                Step::GiveBack(nth) => if !held.is_empty() {
                    held.remove(nth % held.len()).give_back();
                },
            }
            look(&mut held, now);
        }
        let mut taken: Vec<_> = held.iter().filter_map(Held::taken).collect();
        taken.sort_unstable();
        for limit in limits {
            prop_assert!(is_kept_to(limit, &taken), "{limit}: {taken:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_key_is_what_a_cell_lets_pass(
        steps in key_steps(),
        first in 0..quotas().len(),
        is_asked in any::<bool>(),
    ) {
        follow(steps, first, is_asked)?;
    }
}
