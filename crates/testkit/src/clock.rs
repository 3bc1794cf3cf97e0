//! The one place that reads and spends real time.
//!
//! Threads and file descriptors live outside tokio's clock: a paused clock says nothing about
//! when an operating system thread ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the clock module of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, to tell the seeds of two runs apart; 0 if the clock stands before.
pub(crate) fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a poll interval of real time, for what no waker reports"
)]
pub(crate) fn pause(for_: Duration) {
    std::thread::sleep(for_);
}
