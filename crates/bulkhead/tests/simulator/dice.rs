//! Chance, by integers and comparisons alone: the same on every platform.

use tidegate_testkit::Rng;

/// Times by chance, in nanoseconds.
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Exponential, of that mean: the method of J. von Neumann, "Various techniques used in connection with
    /// random digits", 1951, which needs no logarithm.
    pub(super) fn exponential(&mut self, mean: u64) -> u64 {
        let mut whole = 0;
        loop {
            let first = self.0.next_u64();
            let (mut last, mut run) = (first, 1);
            loop {
                let next = self.0.next_u64();
                if next > last {
                    break;
                }
                (last, run) = (next, run + 1);
            }
            if run % 2 == 1 {
                let part = (u128::from(mean) * u128::from(first)) >> 64;
                return whole * mean + u64::try_from(part).unwrap();
            }
            whole += 1;
        }
    }

    /// From half of it to one and a half.
    pub(super) fn around(&mut self, mean: u64) -> u64 {
        mean / 2 + self.0.below(mean)
    }
}

#[test]
fn the_mean_and_the_median_are_those_of_an_exponential() {
    let mut dice = Dice::new(1);
    let mut times: Vec<u64> = (0..100_000).map(|_| dice.exponential(1_000_000)).collect();
    times.sort_unstable();
    let mean = times.iter().sum::<u64>() / 100_000;
    assert!((980_000..1_020_000).contains(&mean), "{mean}");
    assert!((680_000..706_000).contains(&times[50_000]), "{}", times[50_000]);
}
