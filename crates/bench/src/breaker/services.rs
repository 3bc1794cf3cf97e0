//! A service with breakers around it, which both programs measure.

use std::time::Duration;
use tidegate_breaker::{Breaker, BreakerLayer, Trip, Window};
use tower_layer::Layer;
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_service::Service;

/// How many results a window of results has.
pub(crate) const RESULTS: u32 = 100;

/// How long a window of time is.
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// What a window is of.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    Results(u32),
    Minute,
}

/// Opens when half of the calls in the window have failed, at the earliest after half of its size.
pub(crate) fn breaker(of: Of) -> Breaker {
    let (window, min_calls) = match of {
        Of::Results(n) => (Window::count(n), n / 2),
        Of::Minute => (Window::time(MINUTE, 60), RESULTS / 2),
    };
    let builder = Breaker::builder("bench").window(window).trip(Trip::failure_rate(0.5));
    builder.min_calls(min_calls).build().unwrap()
}

pub(crate) fn ours<S>(of: Of, inner: S) -> impl Service<u64, Response = u64> + Clone + Sync
where
    S: Service<u64, Response = u64> + Clone + Sync,
{
    BreakerLayer::new(breaker(of)).layer(inner)
}

pub(crate) fn tower_resilience<S>(
    of: Of,
    inner: S,
) -> impl Service<u64, Response = u64> + Clone + Sync
where
    S: Service<u64, Response = u64> + Clone + Send + Sync + 'static,
    S::Error: Send,
    S::Future: Send,
{
    let builder = CircuitBreakerLayer::builder().failure_rate_threshold(0.5);
    let builder = match of {
        Of::Results(n) => builder
            .sliding_window_type(SlidingWindowType::CountBased)
            .sliding_window_size(n as usize)
            .minimum_number_of_calls(n as usize / 2),
        Of::Minute => builder
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(MINUTE)
            .minimum_number_of_calls(RESULTS as usize / 2),
    };
    builder.build().unwrap().layer(inner)
}
