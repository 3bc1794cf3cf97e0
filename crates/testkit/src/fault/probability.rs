//! Probabilities that are some.

use crate::Rng;

/// A plan cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultPlanError {
    /// A number is below 0, above 1, or none.
    #[error("{fault}: {value} is not a probability, which is within 0 and 1")]
    NotAProbability {
        /// The setter that was given it.
        fault: &'static str,
        /// What it was given.
        value: f64,
    },
}

/// From never (0) to each time (1), in steps of 2^-32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probability(f64);

impl Probability {
    pub(super) fn new(fault: &'static str, value: f64) -> Result<Self, FaultPlanError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(FaultPlanError::NotAProbability { fault, value })
        }
    }

    /// Whether it happens this time. It always takes one number, so that another probability
    /// does not change what comes after.
    pub(super) fn happens(self, rng: &mut Rng) -> bool {
        let drawn = u32::try_from(rng.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(drawn) < self.0 * 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_and_always_are_exact_and_a_half_is_about_that() {
        let mut rng = Rng::new(1);
        let mut count = |p: f64| {
            let p = Probability::new("p", p).unwrap();
            (0..1_000).filter(|_| p.happens(&mut rng)).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 1_000));
        // The seed before this constant gives a number of 0 first.
        let mut zero = Rng::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_neg());
        assert!(!Probability::new("p", 0.0).unwrap().happens(&mut zero));
        let half = count(0.5);
        assert!((400..600).contains(&half), "{half}");
    }
}
