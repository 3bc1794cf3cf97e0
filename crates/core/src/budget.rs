//! How much time is left, and how another process is told.

use std::{str::FromStr, time::Duration};
use tokio::time::Instant;

/// How much time an operation has left, or that there is no limit.
///
/// Processes do not share a clock, so what travels with a request is the time that is left.
/// Two forms are in use: a header with a number of milliseconds, and gRPC's `grpc-timeout`.
/// Both are rounded down, and never 0, which some services take for "no limit".
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Budget;
///
/// let budget = Budget::new(Duration::from_millis(1500));
/// assert_eq!(budget.to_millis().as_deref(), Some("1500"));
/// assert_eq!(budget.to_grpc_timeout().as_deref(), Some("1500000u"));
/// assert_eq!(Budget::from_grpc_timeout("1500m").unwrap(), budget);
/// assert_eq!(Budget::UNLIMITED.to_millis(), None, "no header");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(Option<Duration>);

/// A header that is not a [`Budget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseBudgetError {
    /// Something else than ASCII digits, or none.
    #[error("not a number of ASCII digits")]
    NotANumber,
    /// More than 8 digits in a `grpc-timeout`, or more milliseconds than a `u64` can hold.
    #[error("the number has too many digits")]
    TooLong,
    /// A `grpc-timeout` whose last letter is none of `H`, `M`, `S`, `m`, `u` and `n`.
    #[error("the unit is none of H, M, S, m, u and n")]
    UnknownUnit,
}

/// The units of a `grpc-timeout`, finest first.
const GRPC_UNITS: [(char, Duration); 6] = [
    ('n', Duration::from_nanos(1)),
    ('u', Duration::from_micros(1)),
    ('m', Duration::from_millis(1)),
    ('S', Duration::from_secs(1)),
    ('M', Duration::from_secs(60)),
    ('H', Duration::from_secs(3600)),
];

/// How many digits a `grpc-timeout` may have, and the largest number of them.
const GRPC_DIGITS: usize = 8;
const GRPC_MOST: u128 = 99_999_999;

impl Budget {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// A limit.
    #[must_use]
    pub const fn new(left: Duration) -> Self {
        Self(Some(left))
    }

    /// The limit, if there is one.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        self.0
    }

    /// What is left until `deadline`: nothing if that is over, no limit without one.
    #[must_use]
    pub fn until(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|at| at.saturating_duration_since(Instant::now())))
    }

    /// When it is used up, counted from now; `None` without a limit, and for one that is
    /// further away than the clock reaches.
    #[must_use]
    pub fn deadline(self) -> Option<Instant> {
        Instant::now().checked_add(self.0?)
    }

    /// What is left; `None` without a limit.
    #[must_use]
    pub const fn left(self) -> Option<Duration> {
        self.0
    }

    /// Whether nothing is left: not even worth a request.
    #[must_use]
    pub fn is_spent(self) -> bool {
        self.0 == Some(Duration::ZERO)
    }

    /// The smaller of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }

    /// The milliseconds left as a header's value, at least `1`; `None` without a limit: send
    /// no header.
    #[must_use]
    pub fn to_millis(self) -> Option<String> {
        Some(self.0?.as_millis().clamp(1, u64::MAX.into()).to_string())
    }

    /// Reads a header's value in milliseconds.
    ///
    /// # Errors
    ///
    /// [`ParseBudgetError`], if it is anything else than digits that make a `u64`.
    pub fn from_millis(header: &str) -> Result<Self, ParseBudgetError> {
        digits(header).map(|millis| Self::new(Duration::from_millis(millis)))
    }

    /// The value of a `grpc-timeout` header in the finest unit in which it has at most 8
    /// digits, and at least 1 of that unit; `None` without a limit.
    ///
    /// Source: the section "Requests" of gRPC over HTTP2.
    #[must_use]
    pub fn to_grpc_timeout(self) -> Option<String> {
        let left = self.0?.as_nanos();
        let in_units = GRPC_UNITS.map(|(letter, unit)| (letter, left / unit.as_nanos()));
        let fits = in_units.into_iter().find(|(_, value)| *value <= GRPC_MOST);
        let (letter, value) = fits.unwrap_or(('H', GRPC_MOST));
        Some(format!("{}{letter}", value.max(1)))
    }

    /// Reads the value of a `grpc-timeout` header.
    ///
    /// # Errors
    ///
    /// [`ParseBudgetError`], if it is not up to 8 digits and a unit.
    pub fn from_grpc_timeout(header: &str) -> Result<Self, ParseBudgetError> {
        let letter = header.chars().last().ok_or(ParseBudgetError::NotANumber)?;
        let unit = GRPC_UNITS.iter().find(|(known, _)| *known == letter);
        let (_, unit) = unit.ok_or(ParseBudgetError::UnknownUnit)?;
        let number = &header[..header.len() - letter.len_utf8()];
        let value = digits::<u32>(number)?;
        if number.len() > GRPC_DIGITS {
            return Err(ParseBudgetError::TooLong);
        }
        Ok(Self::new(*unit * value))
    }
}

impl From<Duration> for Budget {
    fn from(left: Duration) -> Self {
        Self::new(left)
    }
}

/// A number of ASCII digits and nothing else: `+1` is none, which `parse` would take.
fn digits<T: FromStr>(text: &str) -> Result<T, ParseBudgetError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseBudgetError::NotANumber);
    }
    text.parse().map_err(|_| ParseBudgetError::TooLong)
}
