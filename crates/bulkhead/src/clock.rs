//! tokio's clock: the one place that reads time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Nanoseconds since an origin: of the monotonic clock of the system, or of a paused one in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// Since 1970 at the origin.
    wall: Duration,
}

impl Clock {
    /// From now on, which is so long after 1970; by the clock of the system, if it is not said.
    pub(crate) fn new(wall: Option<Duration>) -> Self {
        let by_system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), wall: wall.unwrap_or_else(by_system) }
    }

    /// Since 1970 at the origin, as was known then.
    pub(crate) fn wall(self) -> Duration {
        self.wall
    }

    pub(crate) fn now(self) -> u64 {
        self.at(Instant::now())
    }

    /// Now, in units of 2^13 ns, of which the lower half is kept, and never none: times that are less than
    /// 8.7 hours apart can be told by it.
    pub(crate) fn stamp(self) -> u32 {
        stamp(self.now())
    }

    /// That moment; the origin, if it was before.
    pub(crate) fn at(self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.origin))
    }

    /// The moment so many nanoseconds after the origin; none, if that is never.
    pub(crate) fn moment(self, nanos: u64) -> Option<Instant> {
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    /// The moment after which so much time has passed; none, if that is never.
    pub(crate) fn after(time: Duration) -> Option<Instant> {
        Instant::now().checked_add(time)
    }
}

fn stamp(now: u64) -> u32 {
    match units(now) {
        // The one before, since nothing begins later than now.
        0 => u32::MAX,
        units => units,
    }
}

fn units(now: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let units = (now >> 13) as u32;
    units
}

/// An hour, in units of 2^13 ns.
const AHEAD: u32 = 439_453_125;

/// How long before `now` a stamp was made: to 8 µs, too long as often as too short. None, if it was made later, by an
/// hour at most: a paused clock may be ahead of the one outside of its runtime.
pub(crate) fn since(now: u64, then: u32) -> u64 {
    let apart = units(now).wrapping_sub(then);
    if apart > u32::MAX - AHEAD { 0 } else { u64::from(apart) << 13 }
}

/// Five hundred years fit.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::{since, stamp};

    const HOUR: u64 = 3_600_000_000_000;
    const UNIT: u64 = 1 << 13;

    #[test]
    fn times_are_told_apart_up_to_an_hour_less_than_a_stamp_can_say() {
        for then in [0, UNIT, HOUR, 9 * HOUR + HOUR / 2, 1000 * HOUR] {
            for apart in [0, UNIT, 5 * UNIT, HOUR, 5 * HOUR, 8 * HOUR + HOUR / 2] {
                let seen = since(then + apart, stamp(then));
                assert!(seen.abs_diff(apart) <= UNIT, "{apart} after {then}: {seen}");
            }
        }
    }

    #[test]
    fn what_was_stamped_later_than_now_was_no_time_ago() {
        assert_eq!(since(0, stamp(0)), UNIT, "never later than it was");
        for then in [2 * UNIT, HOUR, 20 * HOUR] {
            for before in [1, UNIT, HOUR.min(then)] {
                assert_eq!(since(then - before, stamp(then)), 0, "{before} before {then}");
            }
        }
    }
}
