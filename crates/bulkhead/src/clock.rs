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
    /// nine hours apart can be told by it.
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
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let stamp = (now >> 13) as u32;
    stamp.max(1)
}

/// How long before `now` a stamp was made: to 8 µs, too long as often as too short.
pub(crate) fn since(now: u64, then: u32) -> u64 {
    u64::from(stamp(now).wrapping_sub(then)) << 13
}

/// Five hundred years fit.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
