//! How fast permits come back while somebody waits for them.

/// The time from one permit coming back to the next, while somebody waits: a moving average, an eighth of
/// which is the latest, as of round-trip times in RFC 6298.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// When one came back last, if somebody has waited ever since.
    last: Option<u64>,
    /// Nanoseconds, per permit.
    average: Option<u64>,
}

impl Pace {
    /// So many came back, and somebody waits.
    pub(super) fn came_back(&mut self, now: u64, n: u32) {
        let Some(last) = self.last.replace(now) else { return };
        let gap = now.saturating_sub(last) / u64::from(n.max(1));
        self.average = Some(match self.average {
            None => gap,
            Some(average) => average - average / 8 + gap / 8,
        });
    }

    /// Nobody waits: what comes back now says nothing about what could.
    pub(super) fn is_idle(&mut self) {
        self.last = None;
    }

    /// How long it takes until so many have come back, as far as it is known.
    pub(super) fn time_of(&self, n: u64) -> Option<u64> {
        Some(self.average?.saturating_mul(n))
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_between_returns_while_somebody_waits() {
        let mut pace = Pace::default();
        pace.came_back(100, 1);
        assert_eq!(pace.time_of(1), None, "one return is no interval");
        pace.came_back(180, 2);
        assert_eq!(pace.time_of(3), Some(120));
        pace.is_idle();
        pace.came_back(1_000_000, 1);
        assert_eq!(pace.time_of(1), Some(40), "the pause counts for nothing");
        pace.came_back(1_000_120, 1);
        assert_eq!(pace.time_of(1), Some(50));
    }
}
