//! One seed for everything that is drawn at random in a test.

use std::fmt;
use std::str::FromStr;

use crate::clock;
use crate::rng::{Rng, mix};

/// The environment variable that fixes the seed: hexadecimal after `0x`, decimal otherwise.
const VARIABLE: &str = "TIDEGATE_SEED";

/// The 64-bit seed of a randomised test; its `Display` form can be pasted into `TIDEGATE_SEED`.
///
/// ```
/// use tidegate_testkit::Seed;
///
/// let seed: Seed = "0x1f".parse().unwrap();
/// assert_eq!(seed, Seed::new(31));
/// assert_eq!(seed.to_string(), "0x000000000000001f");
/// assert_eq!(format!("{seed:?}"), "Seed(0x000000000000001f)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

/// The text is neither a decimal nor a `0x` hexadecimal number of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a seed: {0:?} (a decimal number, or hexadecimal after 0x)")]
pub struct ParseSeedError(String);

impl Seed {
    /// This very seed.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    /// The seed in `TIDEGATE_SEED`, if it is set.
    ///
    /// # Panics
    /// If the variable is set to something else than a seed: a run that ignores it would
    /// reproduce nothing and not say so.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let text = std::env::var_os(VARIABLE)?;
        match text.to_string_lossy().parse() {
            Ok(seed) => Some(seed),
            Err(error) => panic!("{VARIABLE}: {error}"),
        }
    }

    /// The seed of the bubble that this is called in, else the one in `TIDEGATE_SEED`: for what a test
    /// draws that is [explored](crate::explore()).
    ///
    /// ```
    /// use tidegate_testkit::{Bubble, Seed};
    ///
    /// let bubble = Bubble::builder().seed(Seed::new(7)).build().unwrap();
    /// # #[cfg(not(miri))]
    /// assert_eq!(bubble.run(async { Seed::current() }).unwrap(), Some(Seed::new(7)));
    /// ```
    ///
    /// # Panics
    /// As [`Seed::from_env`].
    #[must_use]
    pub fn current() -> Option<Self> {
        crate::bubble::seed().or_else(Self::from_env)
    }

    /// The seed in `TIDEGATE_SEED`, else a new one made of `name` and the time.
    ///
    /// # Panics
    /// As [`Seed::from_env`].
    #[must_use]
    pub fn from_env_or_new(name: &str) -> Self {
        Self::from_env().unwrap_or_else(|| {
            let named = name.bytes().fold(clock::wall_nanos(), |seed, b| mix(seed, u64::from(b)));
            Self(named)
        })
    }

    /// A generator that starts at this seed.
    #[must_use]
    pub fn rng(self) -> Rng {
        Rng::new(self.0)
    }
}

/// Its digits are those of `TIDEGATE_SEED`.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({self})")
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(text: &str) -> Result<Self, ParseSeedError> {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(Self).map_err(|_| ParseSeedError(text.to_owned()))
    }
}

/// `n`, or a fiftieth of it (at least 1) under Miri, which runs about that much slower.
///
/// ```
/// let rounds = tidegate_testkit::scale(1_000);
/// assert_eq!(rounds, if cfg!(miri) { 20 } else { 1_000 });
/// ```
#[must_use]
pub fn scale(n: u64) -> u64 {
    if cfg!(miri) { (n / 50).max(1) } else { n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_parses_back() {
        for value in [0, 1, u64::MAX, 0xdead_beef] {
            assert_eq!(Seed::new(value).to_string().parse(), Ok(Seed::new(value)));
            assert_eq!(value.to_string().parse(), Ok(Seed::new(value)));
        }
    }

    #[test]
    fn rubbish_is_refused() {
        for text in ["", "0x", "seed", "0x10000000000000000", "-1", " 1"] {
            assert!(text.parse::<Seed>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn new_seeds_differ_by_name() {
        if Seed::from_env().is_none() {
            assert_ne!(Seed::from_env_or_new("a"), Seed::from_env_or_new("b"));
        }
    }
}
