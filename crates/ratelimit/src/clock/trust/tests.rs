use super::*;
use proptest::prelude::*;

/// One that is as far from the system's time as a reading lets it be seen.
fn reading(before: u64, counter: u64, width: u64) -> Reading {
    Reading { before, counter, after: before + width }
}

/// What a clock shows that is made of a gate.
fn shown(gate: &Gate, reading: Reading) -> u64 {
    if gate.passes(reading.counter) {
        return reading.counter;
    }
    let told = gate.time_without(|| reading.after).or_else(|| gate.compare(|| reading));
    told.or_else(|| gate.time_without(|| reading.after)).unwrap()
}

proptest! {
    /// Slewed by 600 ppm, read by processors that are 0.1 ms apart, by threads that are stopped.
    #[test]
    fn a_counter_is_kept_that_is_as_good_as_clocks_are(
        rate in 999_400..1_000_600_u128,
        steps in prop::collection::vec((0..3_000_000_000_u64, 0..100_000_u64, 0..50_000_000_u64), 1..200),
    ) {
        let gate = Gate::new(reading(7, 1_000_000_000, 90));
        let mut now = 7;
        for (step, skew, width) in steps {
            now += step;
            let at = u128::from(now + width / 2) * rate / 1_000_000;
            let counter = 1_000_000_000 + u64::try_from(at).unwrap() + skew;
            shown(&gate, reading(now, counter, width));
            prop_assert!(gate.is_trusted());
            now += width;
        }
    }

    /// Each step goes on from the counter as it was: it leaps, goes back, runs at any rate, stands still.
    #[test]
    fn no_counter_mints_time_or_takes_it_back(
        steps in prop::collection::vec((0..5_000_000_u64, -20_000_000..20_000_000_i64, any::<bool>()), 1..300),
    ) {
        let first = 10_000_000_000;
        let gate = Gate::new(reading(0, first, 0));
        let (mut now, mut counter, mut last, mut compared) = (0, first, first, first);
        for (step, change, is_right) in steps {
            now += step;
            counter = if is_right { counter + step } else { counter.saturating_add_signed(change) };
            let was_trusted = gate.is_trusted();
            let time = shown(&gate, reading(now, counter, 0));
            let most = first + now + SPAN + SLACK + now / PARTS;
            prop_assert!(time <= most, "{time} at {now}");
            if was_trusted && gate.is_trusted() {
                // From one comparison to the next it does not go back, and no further in between.
                prop_assert!(time >= compared);
                let floor = gate.floor.load(Relaxed);
                compared = floor.max(compared);
            } else {
                prop_assert!(time >= last, "{time} after {last} at {now}");
                prop_assert!(time + SLACK + now / PARTS >= first + now, "{time} is late at {now}");
            }
            last = last.max(time);
        }
    }

    /// No matter where the thread was stopped while it read.
    #[test]
    fn a_reading_condemns_only_what_it_proves(
        first in (0..1_000_u64, 0..40_000_000_u64),
        then in (0..9_000_000_000_u64, 0..40_000_000_u64),
        within in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let pick = |(before, width): (u64, u64), part: f64| {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any number in between")]
            let offset = (width as f64 * part) as u64;
            reading(before, before + offset, width)
        };
        let anchor = pick(first, within.0);
        let next = pick((anchor.after + then.0, then.1), within.1);
        prop_assert!(next.follows(&anchor));
    }
}

/// PostHog/posthog#55412: the counter of a hypervisor ran fast.
#[test]
fn a_fast_counter_is_noticed_while_it_is_ahead_by_less_than_a_millisecond() {
    for percent in [1, 5, 20, 100, 900] {
        let gate = Gate::new(reading(0, 0, 0));
        let ahead = (1..).map(|now: u64| now * 100_000).map_while(|now| {
            let counter = now + now * percent / 100;
            shown(&gate, reading(now, counter, 50));
            gate.is_trusted().then_some(counter - now)
        });
        let ahead = ahead.last().unwrap_or(0);
        assert!(ahead <= SPAN + SLACK, "{percent} %: {ahead}");
    }
}

#[test]
fn a_slow_counter_is_noticed() {
    let gate = Gate::new(reading(0, 0, 0));
    let mut now = 0;
    while gate.is_trusted() {
        now += 100_000;
        shown(&gate, reading(now, now * 98 / 100, 50));
        assert!(now < 100_000_000, "it is 2 ms late");
    }
    assert!(shown(&gate, reading(now, 0, 0)) + SLACK >= now);
}

/// It had been right for so long that a small part of the time would be hours.
#[test]
fn a_counter_that_goes_wrong_after_a_year_is_noticed() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    let gate = Gate::new(reading(0, 0, 0));
    shown(&gate, reading(YEAR, YEAR, 0));
    assert!(gate.is_trusted());
    shown(&gate, reading(YEAR + 2_000_000, YEAR + 4_000_000, 0));
    assert!(!gate.is_trusted());
}

/// A wide reading proves little, and is nothing to compare others with.
#[test]
fn a_reading_of_a_stopped_thread_is_no_anchor() {
    let gate = Gate::new(reading(0, 0, 0));
    shown(&gate, reading(2_000_000_000, 2_000_000_000, 500_000_000));
    assert_eq!(lock(&gate.anchor).after, 0);
}

#[test]
fn time_stands_still_until_the_system_has_come_up_to_it() {
    let gate = Gate::new(reading(0, 0, 0));
    assert_eq!(shown(&gate, reading(10, 999_999, 0)), 999_999);
    assert_eq!(shown(&gate, reading(20, 1_000_000_000, 0)), 1_000_000);
    assert!(!gate.is_trusted());
    assert_eq!(shown(&gate, reading(1_000_000, 7, 0)), 1_000_000);
    assert_eq!(shown(&gate, reading(1_000_001, 7, 0)), 1_000_001);
}
