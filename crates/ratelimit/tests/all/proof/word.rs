//! The limiter that is asked by one at a time says what the cell says, whichever way it comes to say it.

use proptest::prelude::*;
use std::time::Duration;
use tidegate_ratelimit::{
    ManualClock, Quota, Rate, RateLimiter, TryAcquireError,
    state::{Gcra, Refusal, Scale},
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    /// One of those that were taken.
    GiveBack(usize),
    SetRate(Rate),
    SetBurst(u64),
    /// The clock goes ahead, or back: as far as the last change, at most.
    Ahead(u64),
    Back(u64),
}

fn rates() -> impl Strategy<Value = Rate> {
    let slow = (0..50_u64, 1..3_000_000_000_u64);
    let fast = (1_000_000..4_000_000_000_u64, 1..1_000_000_000_u64);
    prop_oneof![slow, fast]
        .prop_map(|(count, period)| Rate::new(count, Duration::from_nanos(period)))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..12_u64).prop_map(Step::Take),
        2 => (0..60_usize).prop_map(Step::GiveBack),
        1 => rates().prop_map(Step::SetRate),
        1 => (0..12_u64).prop_map(Step::SetBurst),
        3 => (0..3_000_000_000_u64).prop_map(Step::Ahead),
        2 => (0..100_u64).prop_map(Step::Ahead),
        2 => (0..4_000_000_000_u64).prop_map(Step::Back),
    ];
    prop::collection::vec(step, 1..60)
}

#[cfg(not(miri))]
proptest! {
    #[test]
    fn a_limiter_decides_as_the_cell(rate in rates(), burst in 1..12_u64, steps in steps()) {
        let mut quota = Quota::new(rate, burst);
        let clock = ManualClock::new();
        let (mut now, mut since) = (5_000_000_000, 5_000_000_000);
        clock.set(Duration::from_nanos(now));
        let mut cell = Gcra::new(quota).unwrap();
        let limiter = RateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        let (mut permits, mut latest) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Take(cost) => match (limiter.try_acquire(cost), cell.take(now, cost)) {
                    (Ok(permit), Ok(())) => permits.push((permit, now)),
                    (Err(TryAcquireError::Denied { retry_after, remaining }), Err(Refusal::Until(at))) => {
                        prop_assert_eq!(retry_after, Duration::from_nanos(at - now));
                        prop_assert_eq!(remaining, cell.available(now));
                    }
                    (Err(TryAcquireError::Never { possible, remaining, .. }), Err(Refusal::Never)) => {
                        prop_assert_eq!(remaining, cell.available(now));
                        prop_assert_eq!(possible, cell.possible(now));
                    }
                    (limiter, cell) => prop_assert!(false, "{limiter:?}, but {cell:?}"),
                },
                Step::GiveBack(nth) => if let Some(nth) = nth.checked_rem(permits.len()) {
                    let (permit, taken_at) = permits.remove(nth);
                    cell.give_back(now, permit.cost(), taken_at);
                    permit.refund();
                },
                Step::SetRate(rate) => {
                    let new = Quota::new(rate, quota.burst());
                    let scale = Scale::new(new);
                    prop_assert_eq!(limiter.set_rate(rate), scale.map(drop));
                    if let Ok(scale) = scale {
                        cell.change(now, scale);
                        (quota, since) = (new, now);
                    }
                }
                Step::SetBurst(burst) => {
                    let new = Quota::new(quota.rate(), burst);
                    let scale = Scale::new(new);
                    prop_assert_eq!(limiter.set_burst(burst), scale.map(drop));
                    if let Ok(scale) = scale {
                        cell.change(now, scale);
                        (quota, since) = (new, now);
                    }
                }
                Step::Ahead(by) => now += by,
                Step::Back(by) => {
                    // The word does not say how late it was when somebody took from it.
                    if now > latest {
                        let _ = (limiter.peek(), cell.check(now, 0));
                        latest = now;
                    }
                    now = now.saturating_sub(by).max(since);
                }
            }
            clock.set(Duration::from_nanos(now));
            prop_assert_eq!(limiter.quota(), quota);
        }
    }
}
