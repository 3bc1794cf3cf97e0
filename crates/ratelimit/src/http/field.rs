//! The header fields `RateLimit` and `RateLimit-Policy` of [draft-ietf-httpapi-ratelimit-headers-10][draft],
//! and `Retry-After` of [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3).
//!
//! [draft]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/

use crate::{Denied, Quota};
use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};
use std::{
    fmt::{self, Display, Write as _},
    time::Duration,
};
use thiserror::Error;

/// The name of the field that says what is left.
pub static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The name of the field that says what the limits are.
pub static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The largest integer of a structured field: [RFC 9651](https://www.rfc-editor.org/rfc/rfc9651#section-3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

const SECOND_NANOS: u128 = 1_000_000_000;

/// A name with characters that a field cannot hold: others than those of ASCII that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name of a policy can only have printable ASCII characters")]
pub struct InvalidName(());

/// An item of `RateLimit-Policy`, as its [`Display`] shows it: how much a client may do in which time.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::http::{QuotaPolicy, QuotaUnit};
///
/// let policy = QuotaPolicy::new("peruser", 65_535)
///     .unwrap()
///     .unit(QuotaUnit::ContentBytes)
///     .window(Duration::from_secs(10));
/// assert_eq!(policy.to_string(), r#""peruser";q=65535;qu="content-bytes";w=10"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPolicy<'a> {
    name: &'a str,
    quota: u64,
    unit: Option<QuotaUnit>,
    /// In seconds.
    window: Option<u64>,
    partition_key: Option<&'a [u8]>,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaUnit {
    /// Requests.
    Requests,
    /// Bytes of content.
    ContentBytes,
    /// Requests at a time.
    ConcurrentRequests,
}

impl<'a> QuotaPolicy<'a> {
    /// So much, in no time that is told.
    ///
    /// # Errors
    ///
    /// If the name cannot be told.
    pub const fn new(name: &'a str, quota: u64) -> Result<Self, InvalidName> {
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !matches!(bytes[at], b' '..=b'~') {
                return Err(InvalidName(()));
            }
            at += 1;
        }
        Ok(Self { name, quota, unit: None, window: None, partition_key: None })
    }

    /// What comes back in the period of the rate, or in the time in which a burst does, if that is longer:
    /// whole seconds of it.
    ///
    /// # Errors
    ///
    /// If the name cannot be told.
    pub fn of(name: &'a str, quota: Quota) -> Result<Self, InvalidName> {
        let (rate, burst) = (quota.rate(), u128::from(quota.burst()));
        let (count, period) = (u128::from(rate.count()), rate.period().as_nanos());
        if count == 0 || period == 0 {
            let possible = if count == 0 { quota.burst() } else { INTEGER_MAX };
            return Self::new(name, possible);
        }
        let refill = burst.saturating_mul(period).div_ceil(count);
        let seconds = period.max(refill).div_ceil(SECOND_NANOS);
        let in_window = count.saturating_mul(seconds * SECOND_NANOS) / period;
        let policy = Self::new(name, u64::try_from(in_window).unwrap_or(u64::MAX))?;
        Ok(Self { window: Some(u64::try_from(seconds).unwrap_or(u64::MAX)), ..policy })
    }

    /// What the quota counts; requests, if it does not say.
    #[must_use]
    pub const fn unit(mut self, unit: QuotaUnit) -> Self {
        self.unit = Some(unit);
        self
    }

    /// In which time: whole seconds, rounded up, and at least one.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = Some(seconds(window).max(1));
        self
    }

    /// Whose quota it is, if clients are to know. It should not tell secrets.
    #[must_use]
    pub const fn partition_key(mut self, key: &'a [u8]) -> Self {
        self.partition_key = Some(key);
        self
    }

    /// What is left of it.
    #[must_use]
    pub const fn limit(&self, remaining: u64) -> ServiceLimit<'a> {
        let Self { name, partition_key, .. } = *self;
        ServiceLimit { name, remaining, reset: None, partition_key }
    }

    /// Adds the fields of a response: the policy, and what is left of it.
    pub fn tell(&self, remaining: u64, headers: &mut HeaderMap) {
        self.append(self.limit(remaining), headers);
    }

    /// Adds the fields of a response to a request that did not pass, with the time to come back, if ever.
    pub fn tell_denied(&self, denied: &Denied, headers: &mut HeaderMap) {
        let mut limit = self.limit(denied.remaining());
        if let Some(after) = denied.retry_after() {
            limit = limit.reset(after);
            headers.insert(RETRY_AFTER, RetryAfter::new(after).into());
        }
        self.append(limit, headers);
    }

    fn append(&self, limit: ServiceLimit<'_>, headers: &mut HeaderMap) {
        headers.append(&RATELIMIT_POLICY, self.into());
        headers.append(&RATELIMIT, (&limit).into());
    }
}

impl Display for QuotaPolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quota, unit, window, partition_key } = *self;
        write!(f, "{};q={}", Text(name), Integer(quota))?;
        if let Some(unit) = unit {
            write!(f, ";qu={}", Text(unit.name()))?;
        }
        if let Some(window) = window {
            write!(f, ";w={}", Integer(window))?;
        }
        write_partition_key(f, partition_key)
    }
}

impl QuotaUnit {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::ContentBytes => "content-bytes",
            Self::ConcurrentRequests => "concurrent-requests",
        }
    }
}

/// An item of `RateLimit`, as its [`Display`] shows it: what is left of a [`QuotaPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimit<'a> {
    name: &'a str,
    remaining: u64,
    /// In seconds.
    reset: Option<u64>,
    partition_key: Option<&'a [u8]>,
}

impl ServiceLimit<'_> {
    /// After which time there is more: whole seconds, rounded up.
    #[must_use]
    pub fn reset(mut self, after: Duration) -> Self {
        self.reset = Some(seconds(after));
        self
    }
}

impl Display for ServiceLimit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, remaining, reset, partition_key } = *self;
        write!(f, "{};r={}", Text(name), Integer(remaining))?;
        if let Some(reset) = reset {
            write!(f, ";t={}", Integer(reset))?;
        }
        write_partition_key(f, partition_key)
    }
}

/// The value of `Retry-After`: whole seconds, rounded up, so that nobody comes back too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(u64);

impl RetryAfter {
    /// After that time.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self(seconds(after))
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<RetryAfter> for HeaderValue {
    fn from(after: RetryAfter) -> Self {
        after.0.into()
    }
}

impl From<&QuotaPolicy<'_>> for HeaderValue {
    fn from(policy: &QuotaPolicy<'_>) -> Self {
        value(policy)
    }
}

impl From<&ServiceLimit<'_>> for HeaderValue {
    fn from(limit: &ServiceLimit<'_>) -> Self {
        value(limit)
    }
}

fn value(item: &impl Display) -> HeaderValue {
    HeaderValue::try_from(item.to_string()).expect("structured fields are printable ASCII")
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn write_partition_key(f: &mut fmt::Formatter<'_>, key: Option<&[u8]>) -> fmt::Result {
    key.map_or(Ok(()), |key| write!(f, ";pk={}", Bytes(key)))
}

/// An integer of a structured field, which has an end.
struct Integer(u64);

impl Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.min(INTEGER_MAX).fmt(f)
    }
}

/// A string of a structured field.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

/// A byte sequence of a structured field: base64 of RFC 4648 with padding.
struct Bytes<'a>(&'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        f.write_char(':')?;
        for chunk in self.0.chunks(3) {
            let three = [0, 1, 2].map(|at| u32::from(*chunk.get(at).unwrap_or(&0)));
            let bits = three[0] << 16 | three[1] << 8 | three[2];
            for at in 0..4 {
                let sextet = (bits >> (18 - 6 * at) & 0x3F) as usize;
                let is_there = at <= chunk.len();
                f.write_char(if is_there { char::from(ALPHABET[sextet]) } else { '=' })?;
            }
        }
        f.write_char(':')
    }
}
