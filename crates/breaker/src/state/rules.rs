//! When a breaker opens and closes.

use super::{
    table::Cause,
    tally::Tally,
    window::{Window, nanos},
};
use crate::ConfigError;
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    Backoff, Jitter,
    sync::unmodelled::{AtomicU64, Ordering::Relaxed},
};

/// The largest number of probes of a [`HalfOpen`].
pub const MAX_PROBES: u32 = 1024;

/// So many leases without an answer are enough, unless told otherwise.
const DEFAULT_LEASES: u32 = 3;

/// What opens a breaker: any of one or several rules.
///
/// They are looked at whenever a call has failed or was slow; a good call never opens a breaker.
///
/// ```
/// use std::time::Duration;
/// use tidegate_breaker::Trip;
///
/// let trip = Trip::failure_rate(0.5)
///     .or(Trip::slow_rate(0.8, Duration::from_millis(500)))
///     .or(Trip::consecutive_failures(10));
/// # drop(trip);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trip {
    failures: Option<f64>,
    slow: Option<(f64, Duration)>,
    consecutive: Option<u32>,
    /// What was wrong with a rule, even if a stricter one has taken its place.
    wrong: Option<ConfigError>,
}

impl Trip {
    const NONE: Self = Self { failures: None, slow: None, consecutive: None, wrong: None };

    /// If that part of the calls in the window has failed, above 0 and at most 1, once there are as many as
    /// [needed](Settings::min_calls).
    #[must_use]
    pub const fn failure_rate(part: f64) -> Self {
        Self { failures: Some(part), wrong: wrong(part), ..Self::NONE }
    }

    /// If that part of the calls in the window took longer than `than`, above 0 and at most 1, once there are
    /// as many as [needed](Settings::min_calls). Without such a rule no call is timed.
    #[must_use]
    pub const fn slow_rate(part: f64, than: Duration) -> Self {
        Self { slow: Some((part, than)), wrong: wrong(part), ..Self::NONE }
    }

    /// If so many calls have failed, and none has succeeded between them, however many there were before.
    #[must_use]
    pub const fn consecutive_failures(count: u32) -> Self {
        Self { consecutive: Some(count), ..Self::NONE }
    }

    /// Either of them. Of two rules of a kind the stricter one counts; two that disagree on what is slow are
    /// an error when the breaker is built.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let durations = (self.slow.map(|slow| slow.1), other.slow.map(|slow| slow.1));
        let differ = matches!(durations, (Some(one), Some(other)) if one != other);
        Self {
            failures: least(self.failures, other.failures, f64::min),
            slow: least(self.slow, other.slow, |one, other| (one.0.min(other.0), one.1)),
            consecutive: least(self.consecutive, other.consecutive, u32::min),
            wrong: self.wrong.or(other.wrong).or(differ.then_some(ConfigError::TwoKindsOfSlow)),
        }
    }

    /// Which calls are slow, if that matters.
    pub(crate) fn slow_after(&self) -> Option<Duration> {
        self.slow.map(|slow| slow.1)
    }
}

/// What is wrong with a rate, if anything.
const fn wrong(part: f64) -> Option<ConfigError> {
    if part > 0.0 && part <= 1.0 { None } else { Some(ConfigError::Rate) }
}

fn least<T>(one: Option<T>, other: Option<T>, min: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(min(one, other)),
        (one, other) => one.or(other),
    }
}

/// How a breaker finds out whether it can close: after its wait it lets some calls pass, as probes.
///
/// A probe holds a place until it has answered, is given up, or its lease has ended and another call wants the
/// place; what it says after that counts for nothing. If no probe answers for [so long](Self::at_most), whether they
/// hang or are given up by their callers, the next call opens the breaker again. So one that is called does not stay
/// half-open.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct HalfOpen {
    probes: u32,
    below: f64,
    lease: Duration,
    at_most: Option<Duration>,
}

impl HalfOpen {
    /// So many probes have to answer, and no more run at a time; at most [`MAX_PROBES`]. 3 by default.
    pub const fn probes(probes: u32) -> Self {
        Self { probes, below: 0.5, lease: Duration::from_secs(30), at_most: None }
    }

    /// Closes if less than this part of the probes has failed or was slow, above 0 and at most 1, and opens
    /// again otherwise; 0.5 by default. It does so as soon as the answers that are missing cannot change it.
    pub const fn close_if_rate_below(mut self, part: f64) -> Self {
        self.below = part;
        self
    }

    /// How long a probe has its place for itself; 30 s by default. It should be more than a call ever takes: one that
    /// takes longer counts only if no other call has wanted the place meanwhile.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long it waits for an answer of any probe, from the first that has a place or from the last answer on: the
    /// next call after that opens the breaker again, as if the probes had failed, for the next wait. At least a
    /// lease; by default 3 of them.
    ///
    /// While nobody calls nothing happens, and calls that are rare but answer do not run out of time. In
    /// resilience4j it is `maxWaitDurationInHalfOpenState`.
    pub const fn at_most(mut self, time: Duration) -> Self {
        self.at_most = Some(time);
        self
    }
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self::probes(3)
    }
}

/// All that a [`Machine`](super::Machine) goes by. Setters check nothing; the machine does when it is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct Settings {
    window: Window,
    trip: Trip,
    min_calls: Option<u32>,
    half_open: HalfOpen,
    wait: Backoff,
    /// How many machines go by this backoff, clones of these settings included.
    made: Arc<AtomicU64>,
}

impl Settings {
    /// The defaults, which the setters name.
    pub fn new() -> Self {
        Self {
            window: Window::count(100),
            trip: Trip::failure_rate(0.5),
            min_calls: None,
            half_open: HalfOpen::default(),
            wait: Backoff::exponential(Duration::from_secs(10))
                .max(Duration::from_secs(120))
                .jitter(Jitter::Equal),
            made: Arc::default(),
        }
    }

    /// What results count; the last 100 by default.
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// What opens it; half of the calls that fail, by default.
    pub fn trip(mut self, trip: Trip) -> Self {
        self.trip = trip;
        self
    }

    /// How many calls have to be in the window for their rates to count; 20 by default, or as many as fit.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = Some(calls);
        self
    }

    /// How it finds out whether it can close.
    pub fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.half_open = half_open;
        self
    }

    /// How long it stays open: a delay more each time that it opens again before it has closed. When there are
    /// no more delays the last one is used again. By default 10 s and twice that each time, up to 120 s, with
    /// [equal jitter](Jitter::Equal). A delay of zero lets the next call probe at once: mind that the jitter of a
    /// backoff is [full](Jitter::Full) unless told otherwise, which draws some that are close to it.
    ///
    /// Breakers of the same settings, as those of keys, have jitter of their own each; it is the same in each run if
    /// the backoff has a [seed](Backoff::seed) and they are built in the same order.
    pub fn open_wait(mut self, wait: Backoff) -> Self {
        (self.wait, self.made) = (wait, Arc::default());
        self
    }

    pub(crate) fn slow_after(&self) -> Option<u64> {
        self.trip.slow_after().map(nanos)
    }

    pub(crate) fn get_window(&self) -> Window {
        self.window
    }

    /// The backoff of one more machine, with jitter of its own, or breakers that opened at once would all come back
    /// at once.
    pub(super) fn wait(&self) -> Backoff {
        match self.made.fetch_add(1, Relaxed) {
            0 => self.wait.clone(),
            nth => self.wait.fork(&nth.to_string()),
        }
    }

    pub(super) fn check(&self) -> Result<Rules, ConfigError> {
        self.window.check()?;
        let Trip { failures, slow, consecutive, wrong } = self.trip;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if consecutive == Some(0) {
            return Err(ConfigError::ZeroFailures);
        }
        if slow.is_some_and(|slow| slow.1.is_zero()) {
            return Err(ConfigError::ZeroSlow);
        }
        let fits = |calls: &u32| self.window.capacity().is_none_or(|most| *calls <= most);
        if self.min_calls.is_some_and(|calls| !fits(&calls)) {
            return Err(ConfigError::MinCallsBeyondWindow);
        }
        let HalfOpen { probes, below, lease, at_most } = self.half_open;
        if !(1..=MAX_PROBES).contains(&probes) {
            return Err(ConfigError::Probes);
        }
        if lease.is_zero() {
            return Err(ConfigError::ZeroLease);
        }
        let at_most = at_most.unwrap_or(lease.saturating_mul(DEFAULT_LEASES));
        if at_most < lease {
            return Err(ConfigError::ShortHalfOpen);
        }
        if self.wait.clone().next().is_none() {
            return Err(ConfigError::NoWait);
        }
        let min_calls = self.min_calls.unwrap_or(self.window.capacity().unwrap_or(20).min(20));
        Ok(Rules {
            failures: failures.map(Part::new).transpose()?,
            slow: slow.map(|slow| Part::new(slow.0)).transpose()?,
            consecutive,
            min_calls: min_calls.into(),
            probes,
            too_many: Part::new(below)?.reached_by(probes),
            lease: nanos(lease),
            at_most: nanos(at_most),
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// A part, compared as the user would: a quotient of two numbers is rounded in one way, so that two of three are
/// the part that is written `2.0 / 3.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part(f64);

impl Part {
    fn new(part: f64) -> Result<Self, ConfigError> {
        match wrong(part) {
            None => Ok(Self(part)),
            Some(wrong) => Err(wrong),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "there are not as many calls")]
    fn is_reached(self, some: u64, all: u64) -> bool {
        some as f64 / all as f64 >= self.0
    }

    /// The least number that is such a part of `all`.
    fn reached_by(self, all: u32) -> u32 {
        (1..all).find(|some| self.is_reached((*some).into(), all.into())).unwrap_or(all)
    }
}

/// The settings, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    failures: Option<Part>,
    slow: Option<Part>,
    consecutive: Option<u32>,
    min_calls: u64,
    pub(super) probes: u32,
    /// So many bad probes, and it opens again.
    pub(super) too_many: u32,
    /// In nanoseconds.
    pub(super) lease: u64,
    /// So long without an answer, in nanoseconds, and it opens again.
    pub(super) at_most: u64,
}

impl Rules {
    /// Whether it matters how many calls in a row have failed.
    pub(super) fn has_series(&self) -> bool {
        self.consecutive.is_some()
    }

    /// Which of the rules opens it, if any.
    pub(super) fn broken(&self, tally: Tally, consecutive: u32) -> Option<Cause> {
        let Tally { calls, failures, slow } = tally;
        let counts = calls >= self.min_calls;
        let is_reached = |part: Option<Part>, some| {
            counts && some > 0 && part.is_some_and(|part| part.is_reached(some, calls))
        };
        if is_reached(self.failures, failures) {
            Some(Cause::FailureRate)
        } else if is_reached(self.slow, slow) {
            Some(Cause::SlowRate)
        } else if self.consecutive.is_some_and(|most| consecutive >= most) {
            Some(Cause::ConsecutiveFailures)
        } else {
            None
        }
    }
}
