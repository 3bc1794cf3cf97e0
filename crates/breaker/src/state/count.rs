//! The last so many calls.

use super::tally::{Sample, Tally};

/// The last `capacity` results, two bits each, with their sum.
///
/// A result takes constant time; a run of good ones takes a step for 64 of them.
#[derive(Clone, Debug)]
pub(super) struct CountRing {
    failed: Box<[u64]>,
    slow: Box<[u64]>,
    capacity: usize,
    /// Where the next one goes, in place of the oldest once it is full.
    next: usize,
    total: Tally,
}

impl CountRing {
    pub(super) fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        let words = vec![0; capacity.div_ceil(64)].into_boxed_slice();
        Self { failed: words.clone(), slow: words, capacity, next: 0, total: Tally::default() }
    }

    pub(super) fn total(&self) -> Tally {
        self.total
    }

    pub(super) fn clear(&mut self) {
        self.failed.fill(0);
        self.slow.fill(0);
        (self.next, self.total) = (0, Tally::default());
    }

    pub(super) fn push(&mut self, sample: Sample) {
        let (word, bit) = (self.next / 64, 1_u64 << (self.next % 64));
        self.forget(word, bit);
        self.failed[word] |= if sample.failed { bit } else { 0 };
        self.slow[word] |= if sample.slow { bit } else { 0 };
        self.total.failures += u64::from(sample.failed);
        self.total.slow += u64::from(sample.slow);
        self.go_on(1);
    }

    /// The same as so many good ones, one after the other.
    pub(super) fn push_good(&mut self, run: u64) {
        let mut left = usize::try_from(run).unwrap_or(usize::MAX).min(self.capacity);
        while left > 0 {
            let (word, first) = (self.next / 64, self.next % 64);
            let here = left.min(64 - first).min(self.capacity - self.next);
            self.forget(word, (u64::MAX >> (64 - here)) << first);
            self.go_on(here);
            left -= here;
        }
    }

    fn forget(&mut self, word: usize, bits: u64) {
        self.total.failures -= u64::from((self.failed[word] & bits).count_ones());
        self.total.slow -= u64::from((self.slow[word] & bits).count_ones());
        self.failed[word] &= !bits;
        self.slow[word] &= !bits;
    }

    fn go_on(&mut self, by: usize) {
        self.next += by;
        if self.next == self.capacity {
            self.next = 0;
        }
        self.total.calls = (self.total.calls + by as u64).min(self.capacity as u64);
    }
}
