//! An operation that fails, panics and takes its time on a schedule.

use super::probability::{FaultPlanError, Probability};
use crate::{Rng, Seed};
use std::{
    future::Future,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// Which calls of an operation go wrong, and how: see [`flaky`].
#[derive(Clone, Debug, PartialEq)]
pub struct FlakyPlan {
    rng: Rng,
    failures: Probability,
    panics: Probability,
    delays: Probability,
    delay: Duration,
    outages: Vec<Range<u64>>,
    readiness: Readiness,
}

/// What becomes of the readiness of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Readiness {
    failures: Probability,
    delays: Probability,
    delay: Duration,
}

impl FlakyPlan {
    /// Nothing goes wrong, yet.
    pub fn seeded(seed: Seed) -> FlakyPlanBuilder {
        FlakyPlanBuilder {
            seed,
            failures: 0.0,
            panics: 0.0,
            delays: 0.0,
            delay: Duration::ZERO,
            outages: Vec::new(),
            readiness_failures: 0.0,
            readiness_delays: 0.0,
            readiness_delay: Duration::ZERO,
        }
    }

    /// What becomes of a call. It depends on its number alone, not on calls beside it.
    pub(super) fn lot(&self, call: u64) -> Lot {
        let mut rng = self.rng.stream(call);
        let is_delayed = self.delays.happens(&mut rng);
        let panics = self.panics.happens(&mut rng);
        let fails = self.failures.happens(&mut rng)
            || self.outages.iter().any(|outage| outage.contains(&call));
        Lot { delay: is_delayed.then_some(self.delay), panics, fails }
    }

    /// What becomes of the readiness of that number: how long it takes, and whether it fails.
    pub(super) fn readiness(&self, number: u64) -> (Option<Duration>, bool) {
        // The streams of calls are counted from the other end.
        let mut rng = self.rng.stream(!number);
        let is_delayed = self.readiness.delays.happens(&mut rng);
        let fails = self.readiness.failures.happens(&mut rng);
        (is_delayed.then_some(self.readiness.delay), fails)
    }
}

/// Makes a [`FlakyPlan`]. Probabilities are numbers from 0 (never, the default) to 1 (each time);
/// calls are counted from 0.
#[derive(Clone, Debug)]
#[must_use = "a plan is made by `build`"]
pub struct FlakyPlanBuilder {
    seed: Seed,
    failures: f64,
    panics: f64,
    delays: f64,
    delay: Duration,
    outages: Vec<Range<u64>>,
    readiness_failures: f64,
    readiness_delays: f64,
    readiness_delay: Duration,
}

impl FlakyPlanBuilder {
    /// How probably a call fails, without the operation being run.
    pub fn failures(mut self, probability: f64) -> Self {
        self.failures = probability;
        self
    }

    /// How probably a call panics, without the operation being run. One that would fail as well
    /// panics.
    pub fn panics(mut self, probability: f64) -> Self {
        self.panics = probability;
        self
    }

    /// How probably a call waits for `time` first, on tokio's clock, whatever becomes of it then.
    pub fn delays(mut self, probability: f64, time: Duration) -> Self {
        (self.delays, self.delay) = (probability, time);
        self
    }

    /// The calls of these numbers fail: `0..3` are the first three. It can be called again for
    /// others.
    pub fn fail_calls(mut self, calls: Range<u64>) -> Self {
        self.outages.push(calls);
        self
    }

    /// How probably a [`FlakyService`](crate::FlakyService) fails instead of becoming ready.
    pub fn readiness_failures(mut self, probability: f64) -> Self {
        self.readiness_failures = probability;
        self
    }

    /// How probably a [`FlakyService`](crate::FlakyService) takes `time` to become ready, on
    /// tokio's clock, whatever becomes of it then.
    pub fn readiness_delays(mut self, probability: f64, time: Duration) -> Self {
        (self.readiness_delays, self.readiness_delay) = (probability, time);
        self
    }

    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// If a number is not a probability.
    pub fn build(self) -> Result<FlakyPlan, FaultPlanError> {
        Ok(FlakyPlan {
            rng: self.seed.rng(),
            failures: Probability::new("failures", self.failures)?,
            panics: Probability::new("panics", self.panics)?,
            delays: Probability::new("delays", self.delays)?,
            delay: self.delay,
            outages: self.outages,
            readiness: Readiness {
                failures: Probability::new("readiness_failures", self.readiness_failures)?,
                delays: Probability::new("readiness_delays", self.readiness_delays)?,
                delay: self.readiness_delay,
            },
        })
    }
}

/// What becomes of one call.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) delay: Option<Duration>,
    pub(super) panics: bool,
    pub(super) fails: bool,
}

/// Why a call of a [`Flaky`] operation or a [`FlakyService`](crate::FlakyService) has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlakyError<E> {
    /// The plan wanted it.
    #[error("call {call} fails as planned")]
    Planned {
        /// The number of the call, from 0.
        call: u64,
    },
    /// The plan did not want the service to be ready.
    #[error("readiness {number} fails as planned")]
    NotReady {
        /// How many times it was asked to become ready before.
        number: u64,
    },
    /// The operation has failed by itself.
    #[error(transparent)]
    Failed(E),
}

/// How many calls there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlakyCounts {
    /// Calls that were begun.
    pub calls: u64,
    /// Calls that were made to wait.
    pub delayed: u64,
    /// Calls that were made to fail.
    pub failed: u64,
    /// Calls that were made to panic.
    pub panicked: u64,
}

/// An operation with a [`FlakyPlan`], made by [`flaky`].
#[derive(Debug)]
pub struct Flaky<Op> {
    plan: FlakyPlan,
    op: Op,
    counts: Mutex<FlakyCounts>,
}

/// Makes an operation fail, panic and wait on a schedule: the backend of a retry, a breaker or a
/// pool in its test.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tidegate_testkit::{FlakyError, FlakyPlan, Seed, bubble, flaky};
/// use tokio::time::Instant;
///
/// let plan = FlakyPlan::seeded(Seed::new(1))
///     .fail_calls(0..2)
///     .delays(1.0, Duration::from_secs(30))
///     .build()
///     .unwrap();
/// let double = flaky(plan, async |n: u32| Ok::<_, Infallible>(2 * n));
/// # #[cfg(not(miri))]
/// bubble(async {
///     let begun = Instant::now();
///     assert_eq!(double.call(4).await, Err(FlakyError::Planned { call: 0 }));
///     assert_eq!(double.call(4).await, Err(FlakyError::Planned { call: 1 }));
///     assert_eq!(double.call(4).await, Ok(8));
///     assert_eq!(begun.elapsed(), Duration::from_secs(90));
///     assert_eq!(double.counts().failed, 2);
/// });
/// ```
pub fn flaky<Op>(plan: FlakyPlan, op: Op) -> Flaky<Op> {
    Flaky { plan, op, counts: Mutex::default() }
}

impl<Op> Flaky<Op> {
    fn note<T>(&self, what: impl FnOnce(&mut FlakyCounts) -> T) -> T {
        what(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has become of the calls so far.
    pub fn counts(&self) -> FlakyCounts {
        self.note(|counts| *counts)
    }

    /// Calls the operation, or does what the plan wants instead. Calls are numbered in the order
    /// of their first polls.
    ///
    /// # Errors
    ///
    /// As the plan wants, or as the operation does.
    ///
    /// # Panics
    ///
    /// As the plan wants, or as the operation does; a delay, outside a runtime with a clock.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the operation, which is not begun before the delay is over. A call that
    /// is dropped after its first poll has used up its number. Tested by
    /// `a_delay_that_is_given_up_has_not_begun_the_operation`.
    pub async fn call<I, T, E, Fut>(&self, input: I) -> Result<T, FlakyError<E>>
    where
        Op: Fn(I) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let call = self.note(|counts| {
            counts.calls += 1;
            counts.calls - 1
        });
        let lot = self.plan.lot(call);
        if let Some(delay) = lot.delay {
            self.note(|counts| counts.delayed += 1);
            sleep(delay).await;
        }
        if lot.panics {
            self.note(|counts| counts.panicked += 1);
            panic!("call {call} panics as planned");
        }
        if lot.fails {
            self.note(|counts| counts.failed += 1);
            return Err(FlakyError::Planned { call });
        }
        (self.op)(input).await.map_err(FlakyError::Failed)
    }
}
