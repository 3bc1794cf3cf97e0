//! The cell, alone: over random traces, against the bucket.

use super::oracle::{Bucket, Meter};
use proptest::prelude::*;
use std::time::Duration;
use tidegate_ratelimit::{
    Quota, Rate,
    state::{Gcra, Refusal, Scale},
};
use tidegate_testkit::{JumpyClock, Rng, Seed};

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    GiveBack(u64),
    Change(Quota),
}

/// Rates whose periods divide 60 ns, so that the fractions of one bucket tell them all.
const FRACTIONS: i128 = 60;

fn quota() -> impl Strategy<Value = Quota> {
    let period = prop::sample::select(vec![1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]);
    (1..40_u64, period, 1..20_u64).prop_map(|(count, period, burst)| {
        Quota::new(Rate::new(count, Duration::from_nanos(period)), burst)
    })
}

fn slow_quota() -> impl Strategy<Value = Quota> {
    (1..40_u64, 1..2_000_u64, 1..20_u64).prop_map(|(count, period, burst)| {
        Quota::new(Rate::new(count, Duration::from_nanos(period)), burst)
    })
}

fn trace() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let time = prop_oneof![3 => Just(0), 6 => 0..40_u64, 1 => 0..2_000_u64];
    let step = prop_oneof![
        8 => (0..24_u64).prop_map(Step::Take),
        2 => (0..24_u64).prop_map(Step::GiveBack),
        1 => quota().prop_map(Step::Change),
    ];
    prop::collection::vec((time, step), 1..120)
}

#[cfg(not(miri))]
proptest! {
    #[test]
    fn it_decides_as_a_bucket_of_exact_fractions(quota in slow_quota(), steps in trace()) {
        let (mut cell, mut bucket) = (Gcra::new(quota).unwrap(), Bucket::new(quota));
        let (mut taken, mut now) = (Vec::new(), 0);
        for (time, step) in steps {
            now += time;
            match step {
                Step::Take(cost) => {
                    let passes = bucket.take(now, cost);
                    match cell.take(now, cost) {
                        Ok(()) => {
                            prop_assert!(passes);
                            taken.push((now, cost));
                        }
                        Err(Refusal::Until(at)) => {
                            prop_assert!(!passes && at > now);
                            prop_assert!(!bucket.clone().take(at - 1, cost), "sooner than {at}");
                            prop_assert!(bucket.clone().take(at, cost), "later than {at}");
                        }
                        Err(Refusal::Never) => prop_assert!(cost > quota.burst()),
                    }
                }
                Step::GiveBack(nth) => if let Some(nth) = nth.checked_rem(taken.len() as u64) {
                    let (taken_at, cost) = taken.remove(usize::try_from(nth).unwrap());
                    cell.give_back(now, cost, taken_at);
                    bucket.give_back(now, cost, taken_at);
                },
                Step::Change(_) => {}
            }
            prop_assert_eq!(i128::from(cell.available(now)), bucket.level(now));
        }
        let mut meter = Meter::new(quota);
        prop_assert!(taken.into_iter().all(|(at, cost)| meter.pass(at, cost)), "of what was kept");
    }

    /// Each change rounds what is owed up, to less than a token; so nothing is gained by changes, and no
    /// more than that is lost.
    #[test]
    fn changes_keep_what_is_owed(first in quota(), steps in trace()) {
        let (mut cell, mut bucket) = (Gcra::new(first).unwrap(), Bucket::with_fractions(first, FRACTIONS));
        let (mut now, mut changes, mut burst) = (0, 0, first.burst());
        for (time, step) in steps {
            now += time;
            match step {
                Step::Take(cost) => match cell.take(now, cost) {
                    Ok(()) => prop_assert!(bucket.take(now, cost), "{cost} too soon at {now}"),
                    Err(Refusal::Until(_)) => {
                        prop_assert!(bucket.level(now) < i128::from(cost) + changes);
                    }
                    Err(Refusal::Never) => prop_assert!(cost > burst),
                },
                // What is given back after changes is compared with what never was, elsewhere.
                Step::GiveBack(_) => {}
                Step::Change(quota) => {
                    cell.change(now, Scale::new(quota).unwrap());
                    bucket.change(now, quota);
                    (changes, burst) = (changes + 1, quota.burst());
                }
            }
            prop_assert!(i128::from(cell.available(now)) <= bucket.level(now).max(0));
        }
    }

    /// A line of requests is served when it was said that it would be, and a large one as any other. What
    /// runs over while the last part of a nanosecond passes, since a request is for nearly a whole burst, makes
    /// those behind it later by less than that.
    #[test]
    fn a_line_is_served_when_it_was_said(
        quota in slow_quota(),
        taken in 0..20_u64,
        costs in prop::collection::vec(1..20_u64, 1..30),
    ) {
        let mut cell = Gcra::new(quota).unwrap();
        let mut now = 1_000;
        let _ = cell.take(now, taken);
        let costs: Vec<_> = costs.iter().map(|cost| *cost.min(&quota.burst())).collect();
        // Until somebody waits, what comes back may go over the brim.
        cell.take(now, cell.available(now)).unwrap();
        let in_a_nano = quota.rate().count().div_ceil(quota.rate().period().subsec_nanos().into());
        let is_exact = costs.iter().all(|cost| cost + in_a_nano <= quota.burst());
        let mut ahead = 0;
        let said: Vec<_> = costs.iter().map(|&cost| {
            let at = cell.ready_at_behind(ahead, cost).unwrap();
            ahead += u128::from(cost);
            at
        }).collect();
        for (nth, (&cost, said)) in (0..).zip(costs.iter().zip(said)) {
            while let Err(refusal) = cell.take(now, cost) {
                let Refusal::Until(at) = refusal else { panic!("it is not more than a burst") };
                prop_assert!(at > now, "{at} is no time to wait for at {now}");
                now = at;
            }
            prop_assert!(said.max(1_000) <= now && now <= said.max(1_000) + nth, "{said}, not {now}");
            prop_assert!(!is_exact || now == said.max(1_000), "{said}, not {now}");
        }
    }

    #[test]
    fn a_debt_is_waited_for(quota in slow_quota(), debt in 1..2_000_u64, cost in 1..20_u64) {
        let mut cell = Gcra::new(quota).unwrap();
        let cost = cost.min(quota.burst());
        cell.spend(5, debt);
        let missing = u128::from((debt + cost).saturating_sub(quota.burst()));
        let period = quota.rate().period().as_nanos();
        let wait = (missing * period).div_ceil(u128::from(quota.rate().count()));
        let at = 5 + u64::try_from(wait).unwrap();
        prop_assert!(at == 5 || cell.clone().take(at - 1, cost).is_err());
        prop_assert_eq!(cell.take(at, cost), Ok(()));
    }

    /// What passes is bounded by what the clock has moved ahead, and a step back makes nobody wait
    /// longer than for a whole burst and the second that is waited out.
    #[test]
    fn a_clock_that_jumps_mints_nothing_and_stalls_nobody(seed in any::<u64>(), burst in 1..9_u64) {
        let quota = Quota::new(Rate::per_second(3), burst);
        let mut cell = Gcra::new(quota).unwrap();
        let (mut rng, second) = (Rng::new(seed), Duration::from_secs(1));
        let mut clock = JumpyClock::seeded(Seed::new(seed))
            .stops(0.2)
            .ahead(0.1, 4 * second)
            .back(0.2, 10 * second)
            .build()
            .unwrap();
        let (mut meter, mut before, mut ahead) = (Meter::new(quota), 0, 0);
        for _ in 0..300 {
            let told = clock.after(Duration::from_millis(rng.below(500)));
            let now = u64::try_from(told.as_nanos()).unwrap();
            ahead += now.saturating_sub(before);
            before = now;
            let cost = 1 + rng.below(burst);
            match cell.take(now, cost) {
                Ok(()) => {
                    prop_assert!(meter.pass(ahead, cost));
                    if rng.one_in(9) {
                        cell.give_back(now, cost, now);
                        meter.give_back(cost);
                    }
                }
                Err(Refusal::Until(at)) => {
                    let whole = (burst * SECOND).div_ceil(3);
                    prop_assert!(at > now && at - now <= whole + SECOND, "{now} until {at}");
                }
                Err(Refusal::Never) => prop_assert!(false, "{cost} of {burst}"),
            }
        }
    }
}

/// A hundred thousand steps of one trace, as no shrinking is worth their while.
#[test]
fn a_long_trace_stays_within_burst_and_rate() {
    let seed = Seed::from_env_or_new("a long trace");
    println!("TIDEGATE_SEED={seed}");
    let mut rng = seed.rng();
    for (count, period, burst) in
        [(7, SECOND, 5), (997, 60 * SECOND, 13), (300_000_007, SECOND, 999)]
    {
        let quota = Quota::new(Rate::new(count, Duration::from_nanos(period)), burst);
        let (mut cell, mut bucket) = (Gcra::new(quota).unwrap(), Bucket::new(quota));
        let (mut meter, mut now, interval) = (Meter::new(quota), 0, period.div_ceil(count));
        for _ in 0..tidegate_testkit::scale(100_000) {
            now += if rng.one_in(3) { 0 } else { rng.below(3 * interval * burst) };
            let cost = 1 + rng.below(burst);
            let passes = cell.take(now, cost).is_ok();
            assert_eq!(passes, bucket.take(now, cost), "{cost} at {now} of {quota}");
            assert!(!passes || meter.pass(now, cost), "{cost} at {now} of {quota}");
            if passes && rng.one_in(5) {
                cell.give_back(now, cost, now);
                bucket.give_back(now, cost, now);
                meter.give_back(cost);
            }
        }
    }
}

/// What is a burst at most at any other time is one at the last that can be told.
#[test]
fn no_more_than_a_burst_passes_at_the_end_of_time() {
    let mut cell = Gcra::new(Quota::new(Rate::per_second(10), 3)).unwrap();
    assert_eq!(cell.take(u64::MAX, 3), Ok(()));
    assert_eq!(cell.take(u64::MAX, 1), Err(Refusal::Until(u64::MAX)));
}

/// The hours that a clock was set back by are not made a debt by whoever looks first.
#[test]
fn nothing_but_a_burst_is_waited_for_after_a_step_back_of_hours() {
    let hours = 9 * 3600 * SECOND;
    let quota = Quota::new(Rate::per_second(10), 5);
    let changed = Scale::new(Quota::new(Rate::per_second(20), 5)).unwrap();
    for look in 0..3 {
        let mut cell = Gcra::new(quota).unwrap();
        assert_eq!(cell.take(hours, 5), Ok(()));
        match look {
            0 => cell.spend(SECOND, 1),
            1 => cell.change(SECOND, changed),
            _ => cell.give_back(SECOND, 1, hours),
        }
        let full = cell.full_at().unwrap();
        assert!(full <= 2 * SECOND, "{look}: full after {full} ns");
    }
}
