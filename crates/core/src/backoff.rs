//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Delays that grow from one attempt to the next: an iterator that ends when there are to be no
/// more attempts.
///
/// | shape | delay `n`, from 0 |
/// |---|---|
/// | [`constant`](Self::constant) | `base` |
/// | [`exponential`](Self::exponential) | `base * factor^n` |
/// | [`decorrelated`](Self::decorrelated) | uniform between `base` and 3 times the delay before |
///
/// None is longer than [`max`](Self::max). Jitter spreads clients that failed together; the
/// shapes and their names are those of Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
/// The sequence depends on nothing but the settings and the [seed](Self::seed).
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Backoff, Jitter};
///
/// let delays = Backoff::exponential(Duration::from_millis(100))
///     .max(Duration::from_millis(500))
///     .jitter(Jitter::None)
///     .limit(4);
/// let millis: Vec<_> = delays.map(|delay| delay.as_millis()).collect();
/// assert_eq!(millis, [100, 200, 400, 500]);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a backoff does nothing until it is asked for a delay"]
pub struct Backoff {
    shape: Shape,
    base: Duration,
    max: Duration,
    jitter: Jitter,
    limit: Option<u32>,
    seed: u64,
    /// Delays given since the start or the last reset.
    given: u32,
    /// The last delay, for the shape that builds on it.
    last: Duration,
    random: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant,
    Exponential { factor: f64 },
    Decorrelated,
}

/// How a delay `d` is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly `d`.
    None,
    /// Uniform between 0 and `d`: the least load on a server that comes back.
    #[default]
    Full,
    /// Uniform between `d / 2` and `d`: never at once.
    Equal,
    /// Uniform within this fraction of `d` on either side, from 0 to 1.
    Around(f64),
}

/// The longest delay, unless another is set: 30 s.
const DEFAULT_MAX: Duration = Duration::from_secs(30);

impl Backoff {
    fn of(shape: Shape, base: Duration) -> Self {
        // Seeded by the system: the hasher's keys differ from instance to instance.
        let seed = RandomState::new().hash_one(0);
        Self {
            shape,
            base,
            max: DEFAULT_MAX.max(base),
            jitter: Jitter::default(),
            limit: None,
            seed,
            given: 0,
            last: base,
            random: seed,
        }
    }

    /// The same delay again and again.
    pub fn constant(delay: Duration) -> Self {
        Self::of(Shape::Constant, delay)
    }

    /// Each delay twice the one before, from `base` on.
    pub fn exponential(base: Duration) -> Self {
        Self::of(Shape::Exponential { factor: 2.0 }, base)
    }

    /// Each delay drawn between `base` and three times the one before; jitter is part of it.
    pub fn decorrelated(base: Duration) -> Self {
        Self { jitter: Jitter::None, ..Self::of(Shape::Decorrelated, base) }
    }

    /// By how much an exponential delay grows, at least 1; what is less, or no number, is 1.
    pub fn factor(mut self, factor: f64) -> Self {
        if let Shape::Exponential { factor: of } = &mut self.shape {
            *of = factor.max(1.0);
        }
        self
    }

    /// The longest delay. The default is 30 s.
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// How delays are spread. The default is [`Jitter::Full`].
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// At most so many delays, which is one less than attempts. The default is no limit.
    pub fn limit(mut self, delays: u32) -> Self {
        self.limit = Some(delays);
        self
    }

    /// Makes the sequence the same in each run: for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.random = seed;
        self
    }

    /// The same from its start, with random numbers of its own for each name, that are the same
    /// in each run if those of this one are.
    #[doc(hidden)]
    pub fn fork(&self, name: &str) -> Self {
        // FNV-1a (Fowler, Noll, Vo 1991).
        let seed = name.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut fork = self.clone().seed(seed);
        fork.reset();
        fork
    }

    /// Starts again with the first delay, as after a success. The random numbers go on.
    pub fn reset(&mut self) {
        self.given = 0;
        self.last = self.base;
    }

    /// How many delays it has given since the start or the last [`reset`](Self::reset).
    #[must_use]
    pub fn given(&self) -> u32 {
        self.given
    }

    /// Uniform in `0.0..1.0`, by `SplitMix64` (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    fn grown(&mut self) -> f64 {
        let base = self.base.as_secs_f64();
        match self.shape {
            Shape::Constant => base,
            Shape::Exponential { factor } => base * factor.powi(exponent(self.given)),
            Shape::Decorrelated => base + (3.0 * self.last.as_secs_f64() - base) * self.draw(),
        }
    }

    fn spread(&mut self, delay: f64) -> f64 {
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => delay * self.draw(),
            Jitter::Equal => delay * (0.5 + 0.5 * self.draw()),
            Jitter::Around(fraction) => {
                let fraction = fraction.clamp(0.0, 1.0);
                delay * (1.0 - fraction + 2.0 * fraction * self.draw())
            }
        }
    }
}

/// Far beyond any delay that is not cut off by the maximum.
fn exponent(given: u32) -> i32 {
    i32::try_from(given).unwrap_or(i32::MAX).min(1 << 16)
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.limit.is_some_and(|limit| self.given >= limit) {
            return None;
        }
        let max = self.max.as_secs_f64();
        // Cut off before it is spread, or all long delays would be the same; and after it.
        let grown = self.grown().min(max);
        let delay = self.spread(grown).clamp(0.0, max);
        self.given = self.given.saturating_add(1);
        let delay = Duration::try_from_secs_f64(delay).unwrap_or(self.max).min(self.max);
        self.last = delay;
        Some(delay)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn shapes_grow_as_the_table_says() {
        let plain = |backoff: Backoff| backoff.jitter(Jitter::None).take(4).collect::<Vec<_>>();
        assert_eq!(plain(Backoff::constant(MS(7))), [MS(7); 4]);
        assert_eq!(plain(Backoff::exponential(MS(1)).factor(3.0)), [MS(1), MS(3), MS(9), MS(27)]);
        let cut = Backoff::exponential(MS(1)).max(MS(3));
        assert_eq!(plain(cut), [MS(1), MS(2), MS(3), MS(3)]);
        for odd in [0.0, -1.0, f64::NAN] {
            assert_eq!(plain(Backoff::exponential(MS(2)).factor(odd)), [MS(2); 4], "{odd}");
        }
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::exponential(Duration::MAX).factor(f64::INFINITY);
        assert!(backoff.by_ref().take(1000).all(|delay| delay <= Duration::MAX));
        let mut zero =
            Backoff::exponential(Duration::ZERO).factor(f64::INFINITY).jitter(Jitter::None);
        assert_eq!(zero.nth(1000), Some(zero.max), "zero times infinity is no number");
    }

    #[test]
    fn a_reset_starts_again_and_a_limit_ends() {
        let mut backoff = Backoff::exponential(MS(1)).jitter(Jitter::None).limit(2);
        assert_eq!(backoff.by_ref().collect::<Vec<_>>(), [MS(1), MS(2)]);
        assert_eq!((backoff.next(), backoff.given()), (None, 2));
        backoff.reset();
        assert_eq!(backoff.next(), Some(MS(1)));
        assert_eq!(Backoff::constant(MS(1)).limit(0).next(), None);
    }

    #[test]
    fn a_seed_repeats_the_sequence_and_none_does_not() {
        let seeded = || Backoff::decorrelated(MS(10)).seed(7).take(20).collect::<Vec<_>>();
        assert_eq!(seeded(), seeded());
        let free = || Backoff::exponential(MS(10)).take(20).collect::<Vec<_>>();
        assert_ne!(free(), free());
    }

    #[test]
    fn full_jitter_uses_the_whole_range() {
        let delays: Vec<_> = Backoff::constant(MS(100)).seed(1).take(1000).collect();
        assert!(delays.iter().any(|delay| *delay < MS(10)));
        assert!(delays.iter().any(|delay| *delay > MS(90)));
        let sum: Duration = delays.iter().sum();
        assert!((MS(45)..MS(55)).contains(&(sum / 1000)), "{:?}", sum / 1000);
    }

    /// An interpreter takes minutes to make up the cases.
    #[cfg(not(miri))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn every_delay_keeps_to_its_bounds(
                base in 0_u64..10_000,
                max in 0_u64..10_000,
                seed: u64,
                around in 0.0..1.5,
            ) {
                let (base, max) = (MS(base), MS(max));
                let first = base.min(max);
                for (jitter, least, most) in [
                    (Jitter::None, first, first),
                    (Jitter::Full, Duration::ZERO, first),
                    (Jitter::Equal, first / 2, first),
                    (Jitter::Around(around), Duration::ZERO, max),
                ] {
                    let mut backoff = Backoff::exponential(base).max(max).seed(seed).jitter(jitter);
                    let delay = backoff.next().unwrap_or_default();
                    let rounding = Duration::from_micros(1);
                    prop_assert!(delay <= most + rounding && delay + rounding >= least, "{delay:?}");
                    prop_assert!(backoff.take(50).all(|delay| delay <= max));
                }
                let decorrelated = Backoff::decorrelated(base).max(max).seed(seed).take(50);
                prop_assert!(decorrelated.into_iter().all(|delay| first <= delay && delay <= max));
            }
        }
    }
}
