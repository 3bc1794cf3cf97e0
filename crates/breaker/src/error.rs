//! What can be wrong with a configuration, and why a call does not pass.

use crate::State;
use std::time::Duration;
use thiserror::Error;

/// A breaker that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A window holds nothing, or its slices are shorter than a nanosecond.
    #[error("the window holds nothing")]
    EmptyWindow,
    /// A window counts more calls than [`MAX_COUNT`](crate::state::MAX_COUNT), or has more slices than
    /// [`MAX_SLICES`](crate::state::MAX_SLICES).
    #[error("the window is too large")]
    WindowTooLarge,
    /// A window of time is a single slice, so that it would not slide.
    #[error("a window of time needs 2 slices at least")]
    OneSlice,
    /// A rate is not above 0 and at most 1.
    #[error("a rate must be above 0 and at most 1")]
    Rate,
    /// It is to open after no failure at all.
    #[error("to open after 0 consecutive failures is to be open")]
    ZeroFailures,
    /// Calls of no time at all are to be slow.
    #[error("every call takes longer than no time")]
    ZeroSlow,
    /// Two rules say differently what a slow call is.
    #[error("two rules disagree on what is slow")]
    TwoKindsOfSlow,
    /// So many calls are never in the window.
    #[error("the window never holds as many calls as are needed to decide")]
    MinCallsBeyondWindow,
    /// There are no probes, or more than [`MAX_PROBES`](crate::state::MAX_PROBES).
    #[error("a half-open breaker needs from 1 to 1024 probes")]
    Probes,
    /// A probe has no time to answer.
    #[error("the lease of a probe is zero")]
    ZeroLease,
    /// A half-open breaker waits less for an answer than a probe has to give one.
    #[error("a half-open breaker gives up before a lease has ended")]
    ShortHalfOpen,
    /// The backoff gives no delay at all.
    #[error("the backoff gives no delay")]
    NoWait,
    /// A fleet has an interval, a timeout or a time to hold of zero.
    #[error("a fleet with an interval, a timeout or a time to hold of zero")]
    ZeroFleetTime,
    /// A breaker is one of a fleet already: there is a [`FleetSync`](crate::fleet::FleetSync) of it.
    #[error("the breaker is shared already")]
    SharedTwice,
    /// A registry keeps no keys.
    #[error("a registry of 0 keys")]
    ZeroKeys,
}

/// A call does not pass: the breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the breaker is {state}{}", After(*retry_after))]
#[non_exhaustive]
pub struct Open {
    /// [`Open`](State::Open), [`ForcedOpen`](State::ForcedOpen), or [`HalfOpen`](State::HalfOpen) with as
    /// many probes as may be.
    pub state: State,
    /// After which time it is worth trying again, if that is known. Of a half-open breaker it is the time
    /// after which a probe gives up its place at the latest; if the probes answer, it closes or opens before that.
    pub retry_after: Option<Duration>,
}

impl Open {
    /// After which time it is worth trying again, if that is known: not while it is forced open.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// The end of the sentence.
struct After(Option<Duration>);

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(after) => write!(f, ": retry after {after:?}"),
            None => Ok(()),
        }
    }
}

/// Why a guarded call has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BreakerError<E> {
    /// The breaker did not let it pass; nothing was called.
    #[error(transparent)]
    Open(Open),
    /// It was called, and has failed.
    #[error(transparent)]
    Inner(E),
}

impl<E> BreakerError<E> {
    /// After which time it is worth trying again, if the breaker knows: what the callee says is not looked at.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Open(open) => open.retry_after(),
            Self::Inner(_) => None,
        }
    }
}
