//! The calls of the last so much time.

use super::{
    far::Part,
    tally::{Sample, Tally},
};

/// A fleet is told no more parts of a window than that.
const PARTS: u64 = 16;

/// The results of a time, summed up in slices of it. What is older than a slice more than that is forgotten.
///
/// A result takes constant time, and so does the passing of time, to which each slice adds one step once.
#[derive(Clone, Debug)]
pub(super) struct TimeRing {
    slices: Box<[Tally]>,
    /// How long a slice is, in nanoseconds.
    width: u64,
    /// Which slice it is since the origin of the clock.
    tick: u64,
    total: Tally,
}

impl TimeRing {
    pub(super) fn new(width: u64, slices: u32) -> Self {
        let slices = vec![Tally::default(); slices as usize].into_boxed_slice();
        Self { slices, width, tick: 0, total: Tally::default() }
    }

    pub(super) fn total(&self) -> Tally {
        self.total
    }

    /// When the slice has begun that results go to.
    pub(super) fn start(&self) -> u64 {
        self.tick * self.width
    }

    pub(super) fn clear(&mut self) {
        self.slices.fill(Tally::default());
        self.total = Tally::default();
    }

    /// Forgets what is too old at `now`. A time that has been is not come back to.
    pub(super) fn advance(&mut self, now: u64) {
        let tick = now / self.width;
        let count = self.slices.len() as u64;
        let passed = tick.saturating_sub(self.tick);
        if passed >= count {
            self.clear();
        } else {
            for tick in (self.tick..tick).map(|before| before + 1) {
                let slice = &mut self.slices[Self::index(tick, count)];
                self.total.take(slice);
                *slice = Tally::default();
            }
        }
        self.tick += passed;
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.total.add(sample);
        self.slice().add(sample);
    }

    /// The same as so many good ones, one after the other.
    pub(super) fn push_good(&mut self, run: u64) {
        self.total.calls += run;
        self.slice().calls += run;
    }

    /// What it holds, and for how long, in at most so many parts: each lasts as long as the newest slice of it.
    pub(super) fn parts(&self, now: u64) -> Vec<Part> {
        let count = self.slices.len() as u64;
        let mut parts: Vec<(u64, Part)> = Vec::new();
        for age in 0..count.min(self.tick.saturating_add(1)) {
            let tick = self.tick - age;
            let tally = self.slices[Self::index(tick, count)];
            if tally == Tally::default() {
                continue;
            }
            let group = age * PARTS / count;
            let left = tick.saturating_add(count).saturating_mul(self.width).saturating_sub(now);
            match parts.last_mut() {
                Some((last, part)) if *last == group => part.tally = part.tally.plus(tally),
                _ => parts.push((group, Part { left, tally })),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn slice(&mut self) -> &mut Tally {
        let at = Self::index(self.tick, self.slices.len() as u64);
        &mut self.slices[at]
    }

    fn index(tick: u64, count: u64) -> usize {
        usize::try_from(tick % count).expect("less than the number of slices")
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    /// A manual clock stops there.
    #[test]
    fn the_end_of_time_is_no_reason_to_panic() {
        let mut ring = TimeRing::new(1, 2);
        ring.advance(u64::MAX);
        ring.push_good(3);
        let parts = ring.parts(u64::MAX);
        assert_eq!(parts.iter().map(|part| part.tally.calls).sum::<u64>(), 3);
        assert_eq!(ring.start(), u64::MAX);
    }
}
