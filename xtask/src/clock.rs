//! The one place that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The current instant.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// A seed for a run whose user gave none: printed, so that the run can be repeated.
#[must_use]
pub fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Multiplication by an odd constant spreads the low bits, which is all a seed needs.
    (since.as_secs() ^ u64::from(since.subsec_nanos())).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
