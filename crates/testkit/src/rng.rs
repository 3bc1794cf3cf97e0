//! A small seeded generator: two stress runs with one seed make the same decisions.

/// A seeded pseudo-random generator (`SplitMix64`): equal seeds give equal sequences on every
/// platform. Not for secrets.
///
/// ```
/// use tidegate_testkit::Rng;
///
/// let mut a = Rng::new(7);
/// let mut b = Rng::new(7);
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert!(a.below(10) < 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator that starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    ///
    /// The bias of the multiply-and-shift is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        below(self.next_u64(), bound)
    }

    /// True once in `n` calls on average; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }

    /// A generator for part `index` of the work, with a stream of its own.
    #[must_use]
    pub fn stream(&self, index: u64) -> Self {
        Self { state: mix(self.state, index) }
    }
}

/// 64 bits that were drawn, as a number in `0..bound`; 0 if `bound` is 0.
pub(crate) fn below(drawn: u64, bound: u64) -> u64 {
    let wide = u128::from(drawn) * u128::from(bound);
    u64::try_from(wide >> 64).unwrap_or(0)
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection of 64 bits.
fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed made of a seed and a number.
pub(crate) fn mix(seed: u64, salt: u64) -> u64 {
    scramble(scramble(seed).wrapping_add(salt).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_sequence_of_seed_0() {
        let mut rng = Rng::new(0);
        // First outputs of the reference implementation by S. Vigna (splitmix64.c) for seed 0.
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(rng.next_u64(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Rng::new(3);
        let mut seen = [0_u32; 7];
        for _ in 0..700 {
            let n = rng.below(7);
            seen[usize::try_from(n).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&n| n > 50), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert!(!rng.one_in(0));
        assert!(rng.one_in(1));
    }

    #[test]
    fn streams_differ_from_each_other_and_from_their_parent() {
        let parent = Rng::new(11);
        let first = |mut rng: Rng| rng.next_u64();
        let all = [first(parent.clone()), first(parent.stream(0)), first(parent.stream(1))];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
    }
}
