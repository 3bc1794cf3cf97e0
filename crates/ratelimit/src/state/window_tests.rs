//! The log against one that keeps everything that ever passed.

use super::*;
use proptest::prelude::*;
use tidegate_testkit::{JumpyClock, Rng, Seed};

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn window(most: u64, length: u64) -> Window {
    Window::new(SlidingWindow::new(most, Duration::from_nanos(length))).expect("it is usable")
}

/// All that passed, when, and never forgotten.
struct Naive {
    most: u64,
    length: u64,
    passed: Vec<(u64, u64)>,
}

impl Naive {
    fn counts(&self, now: u64) -> u64 {
        let within = |at: &u64| at + self.length > now;
        self.passed.iter().filter(|(at, _)| within(at)).map(|(_, cost)| cost).sum()
    }

    fn take(&mut self, now: u64, cost: u64) -> bool {
        let passes = self.counts(now) + cost <= self.most;
        if passes {
            self.passed.push((now, cost));
        }
        passes
    }

    /// That one has never passed; says when, and how much it was.
    fn give_back(&mut self, nth: u64) -> (u64, u64) {
        let nth = usize::try_from(nth).unwrap_or_default() % self.passed.len().max(1);
        let passed = self.passed.get_mut(nth);
        passed.map_or((0, 0), |(at, cost)| (*at, std::mem::take(cost)))
    }

    /// By looking at each window that ends as something passes.
    fn was_kept(&self) -> bool {
        self.passed.iter().all(|&(end, _)| {
            let inside = |at: &u64| *at <= end && at + self.length > end;
            let sum: u64 = self.passed.iter().filter(|(at, _)| inside(at)).map(|p| p.1).sum();
            sum <= self.most
        })
    }
}

/// A step of a trace: time goes on, then so much is taken, or the one of that number is given back.
type Step = (u64, u64, bool);

fn trace(longest: u64, most: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = (prop_oneof![Just(0), 0..longest], 0..=most + 1, prop::bool::weighted(0.2));
    prop::collection::vec(step, 1..80)
}

#[cfg(not(miri))]
proptest! {
    #[test]
    fn it_decides_as_one_that_forgets_nothing(
        (most, length, steps) in (1..12_u64, 1..40_u64).prop_flat_map(|(most, length)| {
            (Just(most), Just(length), trace(length, most))
        }),
    ) {
        let mut window = window(most, length);
        let mut naive = Naive { most, length, passed: Vec::new() };
        let mut now = 0;
        for (step, cost, gives_back) in steps {
            now += step;
            if gives_back {
                let (taken_at, cost) = naive.give_back(cost);
                window.give_back(now, cost, taken_at);
            } else {
                prop_assert_eq!(window.take(now, cost).is_ok(), naive.take(now, cost));
            }
            prop_assert_eq!(window.available(now), most - naive.counts(now));
            prop_assert!(window.log.len() <= window.shape.entries());
        }
        prop_assert!(naive.was_kept());
    }

    /// What slots lose is less than one of them; that nothing passes too soon holds for any.
    #[test]
    fn slots_keep_the_limit_and_lose_less_than_a_slot(
        (most, length, slot, steps) in (1..12_u64, 1..60_u64).prop_flat_map(|(most, length)| {
            (Just(most), Just(length), 1..=length, trace(length, most))
        }),
    ) {
        let shape = SlidingWindow::new(most, Duration::from_nanos(length));
        let mut window = Window::new(shape.resolution(Duration::from_nanos(slot))).unwrap();
        let mut naive = Naive { most, length, passed: Vec::new() };
        let mut now = 0;
        for (step, cost, _) in steps {
            now += step;
            if window.take(now, cost).is_ok() {
                prop_assert!(naive.take(now, cost), "{cost} passed at {now}, too soon");
            } else {
                let mut longer = Naive { most, length: length + slot - 1, passed: naive.passed };
                prop_assert!(!longer.take(now, cost), "{cost} did not pass at {now}");
                naive.passed = longer.passed;
            }
            prop_assert!(window.log.len() <= window.shape.entries());
        }
    }

    /// Not before, and then.
    #[test]
    fn a_refusal_names_the_very_instant(
        (most, length, slot, steps) in (1..12_u64, 1..60_u64).prop_flat_map(|(most, length)| {
            (Just(most), Just(length), 1..=length, trace(length, most))
        }),
        debt in 0..60_u64,
        cost in 1..=12_u64,
    ) {
        let shape = SlidingWindow::new(most, Duration::from_nanos(length));
        let mut window = Window::new(shape.resolution(Duration::from_nanos(slot))).unwrap();
        let mut now = 0;
        for (step, cost, _) in steps {
            now += step;
            let _ = window.take(now, cost);
        }
        window.spend(now, debt);
        match window.check(now, cost) {
            Ok(()) => prop_assert!(window.available(now) >= cost),
            Err(Refusal::Never) => prop_assert!(cost > most),
            Err(Refusal::Until(at)) => {
                prop_assert!(at > now);
                prop_assert!(window.clone().check(at - 1, cost).is_err());
                prop_assert_eq!(window.check(at, cost), Ok(()));
            }
        }
    }

    /// Served one token after the other, a line is served when it was said; with several at once, never
    /// sooner.
    #[test]
    fn who_waits_behind_others_is_never_served_sooner_than_said(
        most in 1..12_u64,
        length in 1..60_u64,
        taken in prop::collection::vec((0..30_u64, 1..12_u64), 0..10),
        costs in prop::collection::vec(1..=12_u64, 1..20),
        ones in any::<bool>(),
    ) {
        let mut window = window(most, length);
        let mut now = 0;
        for (step, cost) in taken {
            now += step;
            let _ = window.take(now, cost);
        }
        let costs: Vec<_> = costs.iter().map(|cost| if ones { 1 } else { *cost.min(&most) }).collect();
        let _ = window.available(now);
        let mut ahead = 0;
        let said: Vec<_> = costs
            .iter()
            .map(|&cost| {
                let at = window.ready_at_behind(ahead, cost).unwrap().max(now);
                ahead += u128::from(cost);
                at
            })
            .collect();
        for (nth, (&cost, &said)) in costs.iter().zip(&said).enumerate() {
            while let Err(Refusal::Until(at)) = window.take(now, cost) {
                prop_assert!(at > now, "{at} is no time to wait for at {now}");
                now = at;
            }
            prop_assert!(said <= now, "{nth}: said {said}, was {now}");
            prop_assert!(nth > 0 && !ones || said == now, "{nth}: said {said}, was {now}");
        }
    }

    /// A debt is a line of single tokens that has been let in already.
    #[test]
    fn a_debt_is_paid_as_if_its_tokens_had_waited(
        most in 1..8_u64,
        length in 1..30_u64,
        taken in prop::collection::vec((0..10_u64, 1..8_u64), 0..6),
        debt in 1..200_u64,
        looks in prop::collection::vec(0..100_u64, 0..6),
        cost in 1..8_u64,
        later in 0..200_u64,
    ) {
        let mut owes = window(most, length);
        let mut now = 0;
        for (step, cost) in taken {
            now += step;
            let _ = owes.take(now, cost);
        }
        let (mut waits, mut never) = (owes.clone(), owes.clone());
        owes.spend(now, debt);
        let (mut at, spent_at) = (now, now);
        let came: Vec<_> = (0..debt)
            .map(|_| {
                while let Err(Refusal::Until(next)) = waits.take(at, 1) {
                    assert!(next > at, "{next} is no time to wait for at {at}");
                    at = next;
                }
                at
            })
            .collect();
        let free_at = waits.ready_at(cost.min(most)).unwrap();
        prop_assert_eq!(owes.ready_at(cost.min(most)).unwrap().max(at), free_at.max(at));
        for look in looks {
            now += look;
            let left = came.iter().filter(|came| **came > now).count();
            owes.look(now);
            prop_assert_eq!(owes.owed, left as u128);
            prop_assert_eq!(owes.available(now).min(1), u64::from(owes.ready_at(1).unwrap() <= now));
        }
        let was_empty = never.available(spent_at) == most;
        owes.give_back(now, debt, spent_at);
        for at in [now, now + later] {
            let (with, without) = (owes.available(at), never.available(at));
            prop_assert!(with <= without, "{with} at {at}, and {without} if it had not been");
            prop_assert!(!was_empty || with == without, "{with} of {without} at {at}");
        }
    }

    /// Nothing that counts is lost, whichever way a limit is changed and changed back.
    #[test]
    fn changes_forget_nothing_that_counts(
        changes in prop::collection::vec((1..20_u64, 1..50_u64), 1..6),
        spent in 1..60_u64,
    ) {
        let mut window = window(20, 1_000);
        window.spend(0, spent);
        for (most, length) in changes {
            window.change(1, SlidingWindow::new(most, Duration::from_nanos(length + 1_000))).unwrap();
            prop_assert_eq!(window.owed + u128::from(window.logged), u128::from(spent));
            prop_assert_eq!(window.available(1), most.saturating_sub(spent));
        }
    }

    /// Counted in what the clock has moved ahead, the limit holds whatever it does; and after a step back
    /// nobody waits longer than a window and the second.
    #[test]
    fn a_clock_that_jumps_lets_nothing_more_pass(seed in any::<u64>(), most in 1..9_u64) {
        let (second, slot) = (Duration::from_secs(1), Duration::from_secs(2));
        for slot in [NANO, slot] {
            let limit = SlidingWindow::new(most, 10 * second).resolution(slot);
            let mut window = Window::new(limit).unwrap();
            let mut rng = Rng::new(seed);
            let mut clock = JumpyClock::seeded(Seed::new(seed))
                .stops(0.2)
                .ahead(0.1, 20 * second)
                .back(0.2, 15 * second)
                .build()
                .unwrap();
            let mut naive = Naive { most, length: 10_000_000_000, passed: Vec::new() };
            let (mut before, mut ahead) = (0, 0);
            for _ in 0..200 {
                let told = clock.after(Duration::from_millis(rng.below(2_000)));
                let now = u64::try_from(told.as_nanos()).unwrap();
                ahead += now.saturating_sub(before);
                before = now;
                match window.take(now, 1) {
                    Ok(()) => prop_assert!(naive.take(ahead, 1)),
                    Err(Refusal::Until(at)) => {
                        let longest = 11_000_000_000 + 2 * window.shape.slot;
                        prop_assert!(at > now && at - now <= longest, "{now} until {at}");
                    }
                    Err(Refusal::Never) => prop_assert!(false, "one is never too many"),
                }
            }
        }
    }
}

/// The last instant of a window is not in it.
#[test]
fn a_window_is_free_again_after_its_length_and_not_before() {
    let mut window = window(2, 100);
    assert_eq!(window.take(7, 2), Ok(()));
    assert_eq!(window.take(106, 1), Err(Refusal::Until(107)));
    assert_eq!(window.take(107, 2), Ok(()));
    assert_eq!(window.full_at(), 207);
}

#[test]
fn a_hundred_a_minute_is_never_199() {
    let mut window = Window::new(SlidingWindow::new(100, MINUTE)).unwrap();
    let second = 1_000_000_000;
    let mut passed = Vec::new();
    for now in (0..180 * second).step_by(100_000_000) {
        if now >= 59 * second && window.take(now, 1).is_ok() {
            passed.push(now);
        }
    }
    let within =
        |end: &u64| passed.iter().filter(|at| **at <= *end && **at + 60 * second > *end).count();
    assert_eq!(passed.iter().map(within).max(), Some(100));
    assert_eq!(passed.len(), 210, "all of three windows, the last of which has just begun");
}

#[test]
fn memory_is_that_of_the_slots_whatever_passes() {
    let mut window = Window::new(SlidingWindow::new(u64::MAX, MINUTE)).unwrap();
    let capacity = window.log.capacity();
    // Five minutes of them; of these a model of the machine sees a part.
    let step = if cfg!(miri) { 300_000_000 } else { 1_000_000 };
    for now in (0..300_000_000_000_u64).step_by(step) {
        window.take(now, 1 << 40).unwrap();
    }
    assert_eq!(window.log.capacity(), capacity);
    assert!(capacity <= 1100, "{capacity}");
}

/// A debt of 2^64 windows is brought up to date at once.
#[test]
fn an_endless_debt_takes_no_time_to_look_at() {
    let mut window = window(1, 1);
    for _ in 0..3 {
        window.spend(5, u64::MAX);
    }
    assert_eq!(window.available(u64::MAX - 1), 0);
    assert_eq!(window.ready_at(1), Some(u64::MAX));
    assert_eq!(window.owed, 3 * u128::from(u64::MAX) - 1 - u128::from(u64::MAX - 6));
}

#[test]
fn what_no_window_can_be_is_an_error() {
    let build = |limit| Window::new(limit).err();
    let second = Duration::from_secs(1);
    let cases = [
        (SlidingWindow::new(0, second), Some(ConfigError::ZeroBurst)),
        (SlidingWindow::new(1, Duration::ZERO), Some(ConfigError::ZeroPeriod)),
        (SlidingWindow::new(1, Duration::MAX), Some(ConfigError::PeriodTooLong)),
        (SlidingWindow::new(1, Duration::from_nanos(1 << 63)), Some(ConfigError::PeriodTooLong)),
        (SlidingWindow::new(1, Duration::from_nanos((1 << 63) - 1)), None),
        (SlidingWindow::new(u64::MAX, NANO), None),
        (SlidingWindow::new(u64::MAX, Duration::ZERO), None),
        (SlidingWindow::new(9, second).resolution(Duration::ZERO), Some(ConfigError::Resolution)),
        (SlidingWindow::new(9, second).resolution(second + NANO), Some(ConfigError::Resolution)),
        (SlidingWindow::new(9, second).resolution(Duration::MAX), Some(ConfigError::Resolution)),
        (SlidingWindow::new(9, second).resolution(second), None),
        (SlidingWindow::new(65_538, second).resolution(NANO), None),
        (SlidingWindow::new(65_539, second).resolution(NANO), Some(ConfigError::Resolution)),
    ];
    for (limit, error) in cases {
        assert_eq!(build(limit), error, "{limit:?}");
    }
}

#[test]
fn an_unlimited_window_lets_everything_pass_at_any_time() {
    let mut window = Window::new(SlidingWindow::new(u64::MAX, Duration::ZERO)).unwrap();
    for now in [5, 5, 4, 0, u64::MAX] {
        assert_eq!(window.take(now, u64::MAX), Ok(()));
        assert_eq!((window.available(now), window.full_at()), (u64::MAX, 0));
    }
    window.change(9, SlidingWindow::new(1, MINUTE)).unwrap();
    assert_eq!(window.take(9, 1), Ok(()));
    window.change(9, SlidingWindow::new(u64::MAX, Duration::ZERO)).unwrap();
    assert_eq!(window.take(9, u64::MAX), Ok(()));
}

/// A hundred thousand steps of one trace: in no window more than may, and what was refused would have been
/// more in one that is longer by a slot.
#[test]
fn a_long_trace_keeps_the_limit_in_every_window() {
    let seed = Seed::from_env_or_new("a long trace of windows");
    println!("TIDEGATE_SEED={seed}");
    let mut rng = seed.rng();
    for (most, length) in [(7, 1_000), (997, 60_000_000_000), (50_021, 60_000_000_000)] {
        let mut window = window(most, length);
        let slot = window.shape.slot;
        // What passed, and how much of it is in the windows of both lengths that end now.
        let (mut passed, mut sums, mut begins) = (Vec::<(u64, u64)>::new(), [0, 0], [0, 0]);
        let mut now = 0;
        for _ in 0..if cfg!(miri) { 200 } else { 100_000 } {
            now += if rng.one_in(3) { 0 } else { rng.below(length / most * 8) };
            let cost = 1 + rng.below(most.min(9));
            for (nth, length) in [length, length + slot - 1].into_iter().enumerate() {
                while let Some((_, cost)) = passed.get(begins[nth]).filter(|p| p.0 + length <= now)
                {
                    sums[nth] -= cost;
                    begins[nth] += 1;
                }
            }
            if window.take(now, cost).is_ok() {
                passed.push((now, cost));
                sums = sums.map(|sum| sum + cost);
                assert!(sums[0] <= most, "{} passed until {now}", sums[0]);
            } else {
                assert!(sums[1] + cost > most, "{cost} did not pass at {now}");
            }
        }
    }
}
