//! How calls have ended, in numbers.

/// How one call has ended, as far as it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two answers, given by whoever made the call")]
pub struct Sample {
    /// It has failed.
    pub failed: bool,
    /// It took too long.
    pub slow: bool,
}

impl Sample {
    /// Whether it says anything against calling on.
    pub(crate) fn is_bad(self) -> bool {
        self.failed || self.slow
    }
}

/// How many calls there were, and how they have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tally {
    /// All that count.
    pub calls: u64,
    /// Those that have failed.
    pub failures: u64,
    /// Those that took too long, whether or not they have failed.
    pub slow: u64,
}

impl Tally {
    /// Which part has failed, from 0 to 1; none, if there were no calls.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        self.part(self.failures)
    }

    /// Which part was slow, from 0 to 1; none, if there were no calls.
    #[must_use]
    pub fn slow_rate(&self) -> Option<f64> {
        self.part(self.slow)
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate for people to read")]
    fn part(&self, of: u64) -> Option<f64> {
        (self.calls > 0).then(|| of as f64 / self.calls as f64)
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.calls += 1;
        self.failures += u64::from(sample.failed);
        self.slow += u64::from(sample.slow);
    }

    /// Both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
            slow: self.slow.saturating_add(other.slow),
        }
    }

    pub(super) fn take(&mut self, other: &Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}
