//! Several limits, against each of them alone.

use super::*;
use crate::{Quota, Rate, SlidingWindow};
use proptest::prelude::*;
use std::time::Duration;

fn limit() -> impl Strategy<Value = Limit> {
    let nanos = Duration::from_nanos;
    prop_oneof![
        (1..9_u64, 1..60_u64, 1..12_u64).prop_map(move |(count, per, burst)| Quota::new(
            Rate::new(count, nanos(per)),
            burst
        )
        .into()),
        (1..12_u64, 1..60_u64)
            .prop_map(move |(most, per)| SlidingWindow::new(most, nanos(per)).into()),
        (1..12_u64, 5..60_u64).prop_map(move |(most, per)| {
            SlidingWindow::new(most, nanos(per)).resolution(nanos(5)).into()
        }),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    GiveBack(u64),
    Change(Limit),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        8 => (0..13_u64).prop_map(Step::Take),
        2 => (0..13_u64).prop_map(Step::GiveBack),
        1 => limit().prop_map(Step::Change),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..30_u64], step), 1..60)
}

fn limits(limits: &[Limit], may_owe: bool) -> Limits {
    Limits::new(limits.iter().copied(), may_owe).expect("they are usable")
}

proptest! {
    /// What one refuses is taken from none, and what all let pass is taken from all.
    #[test]
    fn a_request_passes_all_limits_or_takes_from_none(
        each in prop::collection::vec(limit(), 1..4),
        steps in steps(),
        may_owe in any::<bool>(),
    ) {
        let mut all = limits(&each, may_owe);
        let mut alone: Vec<_> = each.iter().map(|limit| limits(&[*limit], may_owe)).collect();
        let (mut now, mut taken) = (0, Vec::new());
        for (time, step) in steps {
            now += time;
            match step {
                Step::Take(cost) => {
                    let said = alone.iter_mut().map(|limits| {
                        let cell = &mut limits.cells[0];
                        cell.check(now, cell.asked(cost, may_owe))
                    });
                    let refusal = said.filter_map(Result::err).reduce(Refusal::and);
                    prop_assert_eq!(all.take(now, cost).err(), refusal);
                    if refusal.is_none() {
                        taken.push((now, cost));
                        for limits in &mut alone {
                            prop_assert_eq!(limits.take(now, cost), Ok(()));
                        }
                    }
                    if let Some(Refusal::Until(at)) = refusal {
                        prop_assert!(at > now);
                        prop_assert_eq!(all.ready_at(0, cost), Some(at));
                    }
                }
                Step::GiveBack(nth) => {
                    let nth = usize::try_from(nth).unwrap() % taken.len().max(1);
                    let Some((taken_at, cost)) = taken.get_mut(nth).map(std::mem::take) else {
                        continue;
                    };
                    all.give_back(now, cost, taken_at);
                    for limits in &mut alone {
                        limits.give_back(now, cost, taken_at);
                    }
                }
                Step::Change(limit) => {
                    prop_assert_eq!(all.change_first(now, limit), Ok(()));
                    prop_assert_eq!(alone[0].change_first(now, limit), Ok(()));
                }
            }
            let available = alone.iter_mut().map(|limits| limits.available(now)).min();
            prop_assert_eq!(Some(all.available(now)), available);
            let full_at = alone.iter().map(Limits::full_at).max().flatten();
            prop_assert_eq!(all.full_at(), full_at);
        }
    }

    /// Who is told to be too late would have been; and everybody in a line is served.
    #[test]
    fn nobody_in_a_line_is_served_before_it_was_said(
        each in prop::collection::vec(limit(), 1..4),
        taken in prop::collection::vec((0..20_u64, 1..12_u64), 0..8),
        costs in prop::collection::vec(1..12_u64, 1..20),
    ) {
        let mut limits = limits(&each, false);
        let mut now = 0;
        for (time, cost) in taken {
            now += time;
            let _ = limits.take(now, cost);
        }
        let possible = limits.possible(now);
        let costs: Vec<_> = costs.iter().map(|cost| *cost.min(&possible)).collect();
        let _ = limits.available(now);
        let mut ahead = 0;
        let mut said = Vec::new();
        for &cost in &costs {
            said.push(limits.ready_at(ahead, cost).unwrap_or(u64::MAX).max(now));
            ahead += u128::from(cost);
        }
        prop_assert!(said.is_sorted());
        for (&cost, said) in costs.iter().zip(said) {
            let mut tries = 0;
            while let Err(refusal) = limits.take(now, cost) {
                let Refusal::Until(at) = refusal else { panic!("no limit is below {possible}") };
                (now, tries) = (at, tries + 1);
                prop_assert!(tries == 1, "the first in the line is told the very time");
            }
            prop_assert!(said <= now, "said {said}, was {now}");
        }
    }
}
