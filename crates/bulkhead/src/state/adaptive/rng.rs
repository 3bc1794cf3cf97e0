//! Times that clients which know nothing of each other agree on.

use std::time::Duration;

/// A part of a time by chance, the same for the same seed. `SplitMix64`: G. Steele, D. Lea and C. Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014.
pub(super) fn part_of(time: Duration, seed: u64) -> Duration {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // Of 1024 parts; times for which this is too much have no end anyway.
    let part = u32::try_from((z ^ (z >> 31)) & 1023).unwrap_or(0);
    (time / 1024).saturating_mul(part)
}

/// The next time that is a multiple of `every`, but for `phase`.
pub(super) fn next_of(now: Duration, every: Duration, phase: Duration) -> Duration {
    let over = now.saturating_add(phase).as_nanos() % every.as_nanos().max(1);
    let (seconds, nanos) = (over / 1_000_000_000, over % 1_000_000_000);
    let over = Duration::new(
        u64::try_from(seconds).unwrap_or(u64::MAX),
        u32::try_from(nanos).unwrap_or(0),
    );
    now.saturating_add(every.saturating_sub(over))
}
