//! How many items a worker takes at once.
//!
//! | a full batch would have taken | next batch |
//! |---|---|
//! | less than the target | twice as large, up to the maximum |
//! | up to 4 times the target | the same |
//! | more | half as large, at least 1 |
//!
//! A larger batch spreads the cost of a lock, a wake-up and a clock reading over more items;
//! a smaller one keeps the other workers busy and lets results go early.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct ChunkSize {
    size: usize,
    max: usize,
    target: Duration,
}

impl ChunkSize {
    pub(crate) fn new(max: usize, target: Duration) -> Self {
        Self { size: 1, max: max.max(1), target }
    }

    /// How many items to take now.
    pub(crate) fn get(&self) -> usize {
        self.size
    }

    /// How long a batch may run before it should hand over what it has.
    pub(crate) fn limit(&self) -> Duration {
        self.target.saturating_mul(4)
    }

    /// Learns from a batch of `items` that took `elapsed`.
    pub(crate) fn observe(&mut self, items: usize, elapsed: Duration) {
        let Ok(items) = u32::try_from(items) else { return };
        if items == 0 {
            return;
        }
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        let full = (elapsed / items).saturating_mul(size);
        if full < self.target {
            self.size = self.size.saturating_mul(2).min(self.max);
        } else if full > self.limit() {
            self.size = (self.size / 2).max(1);
        }
    }
}

/// The fair share of `len` items among `workers`: at least one, so that somebody starts.
pub(crate) fn fair_share(len: usize, workers: usize) -> usize {
    len.div_ceil(workers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_micros(50);

    #[test]
    fn grows_while_items_are_cheap_and_stops_at_the_target() {
        let mut chunk = ChunkSize::new(256, TARGET);
        let mut sizes = Vec::new();
        for _ in 0..10 {
            sizes.push(chunk.get());
            let items = u32::try_from(chunk.get()).unwrap();
            chunk.observe(chunk.get(), Duration::from_micros(2) * items);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 32, 32, 32, 32]);
    }

    #[test]
    fn a_partial_batch_counts_by_its_cost_per_item() {
        let mut chunk = ChunkSize::new(256, TARGET);
        for _ in 0..8 {
            chunk.observe(1, Duration::ZERO);
        }
        assert_eq!(chunk.get(), 256);
        chunk.observe(1, Duration::from_micros(1));
        assert_eq!(chunk.get(), 128, "256 items of 1 us are more than 4 times the target");
        chunk.observe(128, Duration::from_micros(64));
        assert_eq!(chunk.get(), 128, "64 us are within the band");
    }

    #[test]
    fn slow_items_are_taken_one_by_one() {
        let mut chunk = ChunkSize::new(256, TARGET);
        chunk.observe(1, Duration::from_secs(1));
        assert_eq!(chunk.get(), 1);
    }

    #[test]
    fn shares_leave_nobody_without_work_and_nothing_behind() {
        assert_eq!(fair_share(0, 4), 1);
        assert_eq!(fair_share(1, 4), 1);
        assert_eq!(fair_share(9, 4), 3);
        assert_eq!(fair_share(9, 1), 9);
        assert_eq!(fair_share(9, 0), 9);
    }

    /// An interpreter takes minutes to make up the cases.
    #[cfg(not(miri))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn stays_within_its_bounds(max in 0_usize..2000, seen in prop::collection::vec((0_usize..3000, 0_u64..10_000_000), 0..60)) {
                let mut chunk = ChunkSize::new(max, TARGET);
                for (items, nanos) in seen {
                    chunk.observe(items, Duration::from_nanos(nanos));
                    prop_assert!((1..=max.max(1)).contains(&chunk.get()));
                }
            }
        }
    }
}
