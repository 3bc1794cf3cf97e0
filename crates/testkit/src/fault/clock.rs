//! A clock that stands still, jumps ahead and goes back, for state that is told the time.

use super::probability::{FaultPlanError, Probability};
use crate::{Rng, Seed};
use std::time::Duration;

/// A clock that does not always go right, from a seed.
///
/// A state machine that takes the time as an argument has no other clock. Given this one's, it must
/// bear what clocks do: those of virtual machines stand still and catch up, and wall clocks are set.
/// Times are counted from the start of the clock.
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{JumpyClock, Seed};
///
/// let second = Duration::from_secs(1);
/// let mut clock = JumpyClock::seeded(Seed::new(1)).back(0.2, 5 * second).build().unwrap();
/// let told: Vec<Duration> = (0..100).map(|_| clock.after(second)).collect();
/// assert_eq!(clock.elapsed(), 100 * second);
/// assert!(!told.is_sorted());
/// ```
#[derive(Clone, Debug)]
pub struct JumpyClock {
    rng: Rng,
    stops: Probability,
    ahead: (Probability, Duration),
    back: (Probability, Duration),
    elapsed: Duration,
    told: Duration,
}

/// Makes a [`JumpyClock`]. Probabilities are numbers from 0 (never, the default) to 1 (each time).
#[derive(Clone, Debug)]
#[must_use = "a clock is made by `build`"]
pub struct JumpyClockBuilder {
    seed: Seed,
    stops: f64,
    ahead: (f64, Duration),
    back: (f64, Duration),
}

impl JumpyClockBuilder {
    /// How probably it tells the same time as before, whatever has passed since. What it has missed
    /// it does not catch up with, unless it jumps.
    pub fn stops(mut self, probability: f64) -> Self {
        self.stops = probability;
        self
    }

    /// How probably it jumps ahead, by `most` at most.
    pub fn ahead(mut self, probability: f64, most: Duration) -> Self {
        self.ahead = (probability, most);
        self
    }

    /// How probably it goes back, by `most` at most, and not behind its start.
    pub fn back(mut self, probability: f64, most: Duration) -> Self {
        self.back = (probability, most);
        self
    }

    /// Makes the clock.
    ///
    /// # Errors
    ///
    /// If a number is not a probability.
    pub fn build(self) -> Result<JumpyClock, FaultPlanError> {
        Ok(JumpyClock {
            rng: self.seed.rng(),
            stops: Probability::new("stops", self.stops)?,
            ahead: (Probability::new("ahead", self.ahead.0)?, self.ahead.1),
            back: (Probability::new("back", self.back.0)?, self.back.1),
            elapsed: Duration::ZERO,
            told: Duration::ZERO,
        })
    }
}

impl JumpyClock {
    /// One that goes right, yet.
    pub fn seeded(seed: Seed) -> JumpyClockBuilder {
        let never = (0.0, Duration::ZERO);
        JumpyClockBuilder { seed, stops: 0.0, ahead: never, back: never }
    }

    /// What the clock tells when `time` has passed since it was asked last.
    pub fn after(&mut self, time: Duration) -> Duration {
        self.elapsed = self.elapsed.saturating_add(time);
        let stops = self.stops.happens(&mut self.rng);
        let ahead = jump(self.ahead, &mut self.rng);
        let back = jump(self.back, &mut self.rng);
        let passed = if stops { Duration::ZERO } else { time };
        self.told = self.told.saturating_add(passed).saturating_add(ahead).saturating_sub(back);
        self.told
    }

    /// How much time has passed in truth.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// How far it jumps this time. It takes the same numbers whether or not it does.
fn jump((probability, most): (Probability, Duration), rng: &mut Rng) -> Duration {
    let jumps = probability.happens(rng);
    let part = f64::from(u32::try_from(rng.next_u64() >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0;
    if jumps { most.mul_f64(part) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(clock: JumpyClockBuilder) -> Vec<Duration> {
        let mut clock = clock.build().unwrap();
        (0..1000).map(|_| clock.after(SECOND)).collect()
    }

    #[test]
    fn a_clock_goes_right_unless_told_otherwise() {
        let right: Vec<_> = (1..=1000).map(|n| n * SECOND).collect();
        assert_eq!(told(JumpyClock::seeded(Seed::new(1))), right);
    }

    #[test]
    fn jumps_are_within_their_bounds_and_of_the_seed() {
        let jumpy = |seed| {
            JumpyClock::seeded(Seed::new(seed))
                .stops(0.1)
                .ahead(0.1, 10 * SECOND)
                .back(0.1, 20 * SECOND)
        };
        let all = told(jumpy(1));
        assert_eq!(all, told(jumpy(1)));
        assert_ne!(all, told(jumpy(2)));
        let (mut stops, mut ahead, mut back) = (0, 0, 0);
        for pair in all.windows(2) {
            stops += usize::from(pair[0] == pair[1]);
            ahead += usize::from(pair[1] > pair[0] + SECOND);
            back += usize::from(pair[1] < pair[0]);
            assert!(pair[1] <= pair[0] + 11 * SECOND && pair[1] + 20 * SECOND >= pair[0]);
        }
        assert!(stops > 40 && ahead > 40 && back > 40, "{stops} {ahead} {back}");
    }

    #[test]
    fn it_ends_at_the_ends_of_time() {
        let mut clock = JumpyClock::seeded(Seed::new(1)).back(1.0, 99 * SECOND).build().unwrap();
        assert!((0..100).map(|_| clock.after(SECOND)).any(|told| told == Duration::ZERO));
        let mut clock = JumpyClock::seeded(Seed::new(1)).ahead(1.0, SECOND).build().unwrap();
        assert_eq!(clock.after(Duration::MAX), Duration::MAX);
        assert_eq!(clock.after(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn what_is_no_probability_is_refused_by_name() {
        let clock = || JumpyClock::seeded(Seed::new(1));
        let wrong = [
            ("stops", clock().stops(2.0)),
            ("ahead", clock().ahead(-1.0, SECOND)),
            ("back", clock().back(f64::NAN, SECOND)),
        ];
        for (name, clock) in wrong {
            let FaultPlanError::NotAProbability { fault, .. } = clock.build().unwrap_err();
            assert_eq!(fault, name);
        }
    }
}
