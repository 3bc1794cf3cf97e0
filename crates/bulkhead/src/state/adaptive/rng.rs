//! Numbers by chance that are the same in every run.

use std::time::Duration;

/// `SplitMix64`: G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From half of a time to one and a half.
    pub(super) fn around(&mut self, time: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Of 1024 parts; times for which this is too much have no end anyway.
        let part = u32::try_from((z ^ (z >> 31)) & 1023).unwrap_or(0);
        (time / 2).saturating_add((time / 1024).saturating_mul(part))
    }
}
