//! What is given back late, against those from which it was never taken.

use super::oracle::Meter;
use proptest::prelude::*;
use std::time::Duration;
use tidegate_ratelimit::{
    Quota, Rate, SlidingWindow,
    state::{Gcra, Scale, Window},
};
use tidegate_testkit::{JumpyClock, Rng, Seed};

/// What has happened, and what of it was given back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Past<L> {
    Taken { at: u64, cost: u64, is_kept: bool },
    Spent { at: u64, cost: u64, is_kept: bool },
    Changed { at: u64, to: L },
}

#[derive(Clone, Copy, Debug)]
enum Step<L> {
    Take(u64),
    /// Even if it is more than there is.
    Spend(u64),
    /// One of those that were taken.
    GiveBack(usize),
    Change(L),
}

/// What both kinds of limits can do.
pub(super) trait State: Clone {
    type Limit: Copy;

    fn new(limit: Self::Limit) -> Self;
    fn take(&mut self, now: u64, cost: u64) -> bool;
    fn spend(&mut self, now: u64, cost: u64);
    fn give_back(&mut self, now: u64, cost: u64, taken_at: u64);
    fn change(&mut self, now: u64, to: Self::Limit);
    fn available(self, now: u64) -> u64;
    /// When it is as new; never at the end of time.
    fn full_at(&self) -> u64;

    /// All that was kept, alone. None of it may be refused.
    fn never(limit: Self::Limit, past: &[Past<Self::Limit>]) -> Self {
        let mut state = Self::new(limit);
        for event in past {
            match *event {
                Past::Taken { at, cost, is_kept: true } => {
                    assert!(state.take(at, cost), "{cost} of {at} is kept, and too much");
                }
                Past::Spent { at, cost, is_kept: true } => state.spend(at, cost),
                Past::Changed { at, to } => state.change(at, to),
                Past::Taken { .. } | Past::Spent { .. } => {}
            }
        }
        state
    }
}

impl State for Gcra {
    type Limit = Quota;

    fn new(quota: Quota) -> Self {
        Gcra::new(quota).unwrap()
    }

    fn take(&mut self, now: u64, cost: u64) -> bool {
        self.take(now, cost).is_ok()
    }

    fn spend(&mut self, now: u64, cost: u64) {
        self.spend(now, cost);
    }

    fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.give_back(now, cost, taken_at);
    }

    fn change(&mut self, now: u64, to: Quota) {
        self.change(now, Scale::new(to).unwrap());
    }

    fn available(self, now: u64) -> u64 {
        Gcra::available(&self, now)
    }

    fn full_at(&self) -> u64 {
        self.full_at().unwrap_or(u64::MAX)
    }
}

impl State for Window {
    type Limit = SlidingWindow;

    fn new(limit: SlidingWindow) -> Self {
        Window::new(limit).unwrap()
    }

    fn take(&mut self, now: u64, cost: u64) -> bool {
        self.take(now, cost).is_ok()
    }

    fn spend(&mut self, now: u64, cost: u64) {
        self.spend(now, cost);
    }

    fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.give_back(now, cost, taken_at);
    }

    fn change(&mut self, now: u64, to: SlidingWindow) {
        self.change(now, to).unwrap();
    }

    fn available(mut self, now: u64) -> u64 {
        Window::available(&mut self, now)
    }

    fn full_at(&self) -> u64 {
        self.full_at()
    }
}

/// Goes through it, and compares after each step.
fn follow<S: State>(
    limit: S::Limit,
    steps: Vec<(u64, Step<S::Limit>)>,
) -> Result<Vec<Past<S::Limit>>, TestCaseError> {
    let (mut state, mut past, mut now) = (S::new(limit), Vec::new(), 1);
    for (time, step) in steps {
        now += time;
        match step {
            Step::Take(cost) if !state.take(now, cost) => {}
            Step::Take(cost) => past.push(Past::Taken { at: now, cost, is_kept: true }),
            Step::Spend(cost) => {
                state.spend(now, cost);
                past.push(Past::Spent { at: now, cost, is_kept: true });
            }
            Step::GiveBack(nth) => {
                let len = past.len().max(1);
                let Some(Past::Taken { at, cost, is_kept } | Past::Spent { at, cost, is_kept }) =
                    past.get_mut(nth % len)
                else {
                    continue;
                };
                if std::mem::take(is_kept) {
                    state.give_back(now, *cost, *at);
                }
            }
            Step::Change(to) => {
                state.change(now, to);
                past.push(Past::Changed { at: now, to });
            }
        }
        let never = S::never(limit, &past);
        for at in [now, now + 7, now + 100] {
            let (with, without) = (state.clone().available(at), never.clone().available(at));
            prop_assert!(with <= without, "{with} at {at}, and {without} without it");
        }
        let (with, without) = (state.full_at(), never.full_at());
        prop_assert!(without <= now + 100 || with >= without, "full {with}, not {without}");
    }
    Ok(past)
}

fn rate() -> impl Strategy<Value = Rate> {
    let any = (1..40_u64, 1..60_u64).prop_map(|(count, period)| (count, period));
    prop_oneof![
        9 => any.prop_map(|(count, period)| Rate::new(count, Duration::from_nanos(period))),
        1 => Just(Rate::ZERO),
        1 => Just(Rate::UNLIMITED),
    ]
}

fn quota() -> impl Strategy<Value = Quota> {
    (rate(), 1..20_u64).prop_map(|(rate, burst)| Quota::new(rate, burst))
}

fn window(slot: u64) -> impl Strategy<Value = SlidingWindow> {
    (1..12_u64, slot..60).prop_map(move |(most, length)| {
        let nanos = Duration::from_nanos;
        SlidingWindow::new(most, nanos(length)).resolution(nanos(slot))
    })
}

fn steps<L: std::fmt::Debug>(
    limit: impl Strategy<Value = L>,
    longest: u64,
) -> impl Strategy<Value = Vec<(u64, Step<L>)>> {
    let step = prop_oneof![
        8 => (1..14_u64).prop_map(Step::Take),
        1 => (1..40_u64).prop_map(Step::Spend),
        6 => (0..60_usize).prop_map(Step::GiveBack),
        1 => limit.prop_map(Step::Change),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..longest], step), 1..60)
}

#[cfg(not(miri))]
proptest! {
    /// Whatever the rate and the burst were meanwhile, and whoever owes.
    #[test]
    fn a_cell_is_never_fuller_than_one_without_what_was_given_back(
        first in quota(),
        steps in steps(quota(), 30),
    ) {
        follow::<Gcra>(first, steps)?;
    }

    /// With debts, or with changes: what owes may pay sooner after a change than one that owes less.
    #[test]
    fn a_window_is_never_emptier_than_one_without_what_was_given_back(
        (first, mut steps) in (1..20_u64).prop_flat_map(|slot| (window(slot), steps(window(slot), 30))),
        owes in any::<bool>(),
    ) {
        steps.retain(|(_, step)| match step {
            Step::Spend(_) => owes,
            Step::Change(_) => !owes,
            _ => true,
        });
        follow::<Window>(first, steps)?;
    }

    /// What is lost is no more than what came at the rate while it was out.
    #[test]
    fn what_is_given_back_lacks_what_came_since_at_most(
        count in 1..40_u64,
        period in 1..60_u64,
        burst in 1..20_u64,
        steps in steps(Just(()), 30),
    ) {
        let quota = Quota::new(Rate::new(count, Duration::from_nanos(period)), burst);
        let (mut cell, mut past, mut now, mut lost) = (Gcra::new(quota).unwrap(), Vec::new(), 0, 0);
        for (time, step) in steps {
            now += time;
            match step {
                Step::Take(cost) if cell.take(now, cost).is_ok() => {
                    past.push(Past::Taken { at: now, cost, is_kept: true });
                }
                Step::GiveBack(nth) if !past.is_empty() => {
                    let nth = nth % past.len();
                    let Past::Taken { at, cost, .. } = past.remove(nth) else { unreachable!() };
                    cell.give_back(now, cost, at);
                    lost += cost.min(((now - at) * count).div_ceil(period));
                }
                _ => {}
            }
            let never = Gcra::never(quota, &past);
            prop_assert!(never.available(now) <= cell.available(now) + lost, "{lost} are lost");
        }
    }

    /// What was kept is bounded by what the clock has moved ahead, whatever it does, and whenever the
    /// rest was given back.
    #[test]
    fn a_clock_that_jumps_mints_nothing_by_what_is_given_back(seed in any::<u64>(), burst in 1..9_u64) {
        let quota = Quota::new(Rate::per_second(3), burst);
        let mut cell = Gcra::new(quota).unwrap();
        let (mut rng, second) = (Rng::new(seed), Duration::from_secs(1));
        let mut clock = JumpyClock::seeded(Seed::new(seed))
            .stops(0.2)
            .ahead(0.1, 4 * second)
            .back(0.2, 10 * second)
            .build()
            .unwrap();
        let (mut taken, mut before, mut ahead) = (Vec::new(), 0, 0);
        for _ in 0..300 {
            let now = clock.after(Duration::from_millis(rng.below(500)));
            let now = u64::try_from(now.as_nanos()).unwrap();
            ahead += now.saturating_sub(before);
            before = now;
            let cost = 1 + rng.below(burst);
            if cell.take(now, cost).is_ok() {
                taken.push((now, ahead, cost));
            }
            if rng.one_in(3) && !taken.is_empty() {
                let nth = usize::try_from(rng.below(taken.len() as u64)).unwrap();
                let (at, _, cost) = taken.remove(nth);
                cell.give_back(now, cost, at);
            }
        }
        let mut meter = Meter::new(quota);
        prop_assert!(taken.into_iter().all(|(_, ahead, cost)| meter.pass(ahead, cost)));
    }
}
