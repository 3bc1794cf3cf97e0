//! A service of tower that fails and takes its time, and does not let its caller off the contract.

use super::flaky::{FlakyError, FlakyPlan, Lot};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// What became of a [`FlakyService`] and all of its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceCounts {
    /// How often one of them was asked to become ready.
    pub asked: u64,
    /// How often one of them has become ready.
    pub readied: u64,
    /// Calls that were made.
    pub calls: u64,
    /// How often one of them was dropped while it was ready, without a call.
    pub unused: u64,
    /// Calls whose response was dropped before it came.
    pub given_up: u64,
    /// Calls that were made to fail or panic.
    pub failed: u64,
}

/// A service of [tower](https://docs.rs/tower-service) with a [`FlakyPlan`], for what is inside of
/// a middleware in its test: calls and readiness fail and take their time as planned, and a call
/// without readiness panics, as the contract of `Service` allows and hardly any service does.
///
/// Clones share the plan, the numbers and the counts, and are not ready.
///
/// ```
/// use std::{convert::Infallible, future::{Ready, poll_fn, ready}, task};
/// use tidegate_testkit::{FlakyError, FlakyPlan, FlakyService, Seed, bubble};
/// use tower_service::Service;
///
/// struct Double;
///
/// impl Service<u32> for Double {
///     type Response = u32;
///     type Error = Infallible;
///     type Future = Ready<Result<u32, Infallible>>;
///     fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
///         task::Poll::Ready(Ok(()))
///     }
///     fn call(&mut self, n: u32) -> Self::Future {
///         ready(Ok(2 * n))
///     }
/// }
///
/// let plan = FlakyPlan::seeded(Seed::new(1)).fail_calls(0..1).build().unwrap();
/// let mut double = FlakyService::new(Double, plan);
/// # #[cfg(not(miri))]
/// bubble(async {
///     poll_fn(|cx| double.poll_ready(cx)).await.unwrap();
///     assert_eq!(double.call(4).await, Err(FlakyError::Planned { call: 0 }));
///     poll_fn(|cx| double.poll_ready(cx)).await.unwrap();
///     assert_eq!(double.call(4).await, Ok(8));
/// });
/// ```
#[derive(Debug)]
pub struct FlakyService<S> {
    inner: S,
    shared: Arc<Shared>,
    state: State,
}

#[derive(Debug)]
struct Shared {
    plan: FlakyPlan,
    counts: Mutex<ServiceCounts>,
}

/// | state | `poll_ready` | `call` |
/// |---|---|---|
/// | `Idle` | draws a lot: fails, or goes on as `Asked` | panics |
/// | `Asked` | waits for its delay and the inner service, then is `Ready` | panics |
/// | `Ready` | asks the inner service again | is `Idle` |
#[derive(Debug)]
enum State {
    Idle,
    /// With what is left of its delay.
    Asked(Option<Pin<Box<Sleep>>>),
    Ready,
}

impl Shared {
    fn note<T>(&self, what: impl FnOnce(&mut ServiceCounts) -> T) -> T {
        what(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> FlakyService<S> {
    /// Gives `inner` the faults of the plan.
    pub fn new(inner: S, plan: FlakyPlan) -> Self {
        let shared = Shared { plan, counts: Mutex::default() };
        Self { inner, shared: Arc::new(shared), state: State::Idle }
    }

    /// What has become of it and its clones so far.
    pub fn counts(&self) -> ServiceCounts {
        self.shared.note(|counts| *counts)
    }

    fn leave(&mut self) -> bool {
        matches!(std::mem::replace(&mut self.state, State::Idle), State::Ready)
    }
}

impl<S: Clone> Clone for FlakyService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared), state: State::Idle }
    }
}

impl<S> Drop for FlakyService<S> {
    fn drop(&mut self) {
        if self.leave() {
            self.shared.note(|counts| counts.unused += 1);
        }
    }
}

impl<S, Request> Service<Request> for FlakyService<S>
where
    S: Service<Request>,
{
    type Response = S::Response;
    type Error = FlakyError<S::Error>;
    type Future = FlakyResponse<S::Future>;

    /// As the plan wants, and as the inner service does.
    ///
    /// # Panics
    ///
    /// If there is to be a delay, outside a runtime with a clock.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if matches!(self.state, State::Idle) {
            let number = self.shared.note(|counts| {
                counts.asked += 1;
                counts.asked - 1
            });
            let (delay, fails) = self.shared.plan.readiness(number);
            if fails {
                return Poll::Ready(Err(FlakyError::NotReady { number }));
            }
            self.state = State::Asked(delay.map(|delay| Box::pin(sleep(delay))));
        }
        if let State::Asked(delay) = &mut self.state {
            if let Some(sleep) = delay {
                ready!(sleep.as_mut().poll(cx));
                *delay = None;
            }
        }
        let inner = ready!(self.inner.poll_ready(cx));
        if let Err(error) = inner {
            self.leave();
            return Poll::Ready(Err(FlakyError::Failed(error)));
        }
        if matches!(self.state, State::Asked(_)) {
            self.shared.note(|counts| counts.readied += 1);
            self.state = State::Ready;
        }
        Poll::Ready(Ok(()))
    }

    /// Calls the inner service, or does what the plan wants instead when the response is polled.
    ///
    /// # Panics
    ///
    /// If it is not ready; if there is to be a delay, outside a runtime with a clock.
    fn call(&mut self, request: Request) -> Self::Future {
        assert!(self.leave(), "a call without a `poll_ready` that has returned `Ready(Ok(()))`");
        let call = self.shared.note(|counts| {
            counts.calls += 1;
            counts.calls - 1
        });
        let Lot { delay, panics, fails } = self.shared.plan.lot(call);
        let inner = (!panics && !fails).then(|| self.inner.call(request));
        FlakyResponse {
            inner,
            delay: delay.map(sleep),
            call,
            panics,
            ends: Ends { shared: Arc::clone(&self.shared), has_ended: false },
        }
    }
}

pin_project! {
    /// The response of a [`FlakyService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct FlakyResponse<F> {
        // None, if the plan wants a failure.
        #[pin]
        inner: Option<F>,
        #[pin]
        delay: Option<Sleep>,
        call: u64,
        panics: bool,
        ends: Ends,
    }
}

/// Counts a response that was given up.
#[derive(Debug)]
struct Ends {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.note(|counts| counts.given_up += 1);
        }
    }
}

impl<F, T, E> Future for FlakyResponse<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, FlakyError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(delay) = this.delay.as_mut().as_pin_mut() {
            ready!(delay.poll(cx));
            this.delay.set(None);
        }
        let call = *this.call;
        let Some(inner) = this.inner.as_pin_mut() else {
            this.ends.has_ended = true;
            this.ends.shared.note(|counts| counts.failed += 1);
            assert!(!*this.panics, "call {call} panics as planned");
            return Poll::Ready(Err(FlakyError::Planned { call }));
        };
        let result = ready!(inner.poll(cx));
        this.ends.has_ended = true;
        Poll::Ready(result.map_err(FlakyError::Failed))
    }
}
