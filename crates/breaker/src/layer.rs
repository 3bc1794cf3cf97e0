//! A breaker as a layer of tower.

mod answer;
mod mode;
mod order;

pub(crate) use self::mode::Held;
pub use self::{
    answer::{Answer, Errors, Fail, Fallback},
    mode::{ByKey, Single},
    order::misplaced,
};

use crate::{Breaker, ByResult, KeyedBreaker, clock::Clock, service::BreakerService};
use std::fmt;
use tower_layer::Layer;

/// Guards services: gives each a [`BreakerService`] around it. All of them, and their clones, share the breaker.
///
/// A request that does not pass is an error, [`BreakerError::Open`](crate::BreakerError::Open), unless there is a
/// [`fallback`](Self::fallback). An error of the service is a failure, unless
/// [`classify`](Self::classify) says otherwise.
///
/// ```
/// use tidegate_breaker::{Breaker, BreakerLayer, Trip, Verdict};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let breaker = Breaker::builder("shop").trip(Trip::consecutive_failures(2)).build().unwrap();
/// let mut service = ServiceBuilder::new()
///     .layer(
///         BreakerLayer::new(breaker)
///             .classify(|said: &Result<u16, &str>| match said {
///                 Ok(500..) | Err(_) => Verdict::Failure,
///                 Ok(404) => Verdict::Ignore,
///                 Ok(_) => Verdict::Success,
///             })
///             .fallback(|_, open| {
///                 println!("{open}");
///                 Ok(503)
///             }),
///     )
///     .service(service_fn(async |status: u16| Ok::<_, &str>(status)));
/// for (asked, said) in [(200, 200), (500, 500), (404, 404), (500, 500), (200, 503)] {
///     assert_eq!(service.ready().await.unwrap().call(asked).await, Ok(said));
/// }
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct BreakerLayer<M, K = ByResult, A = Fail> {
    mode: M,
    classify: K,
    answer: A,
}

impl<C: Clock> BreakerLayer<Single<C>> {
    /// All requests meet one breaker. A service is ready while it is open, so that its callers can be answered;
    /// the inner service is not asked then.
    #[must_use]
    pub fn new(breaker: Breaker<C>) -> Self {
        Self { mode: Single::new(breaker), classify: ByResult, answer: Fail }
    }
}

impl<K, F, C: Clock> BreakerLayer<ByKey<K, F, C>> {
    /// Each request meets the breaker of its key, and takes a place when it is called. A service is ready when the
    /// inner one is, as there is no key before there is a request; for the same reason an error of readiness
    /// counts for no breaker.
    #[must_use]
    pub fn keyed<R>(breakers: KeyedBreaker<K, C>, key: F) -> Self
    where
        F: Fn(&R) -> K,
    {
        Self { mode: ByKey { breakers, key }, classify: ByResult, answer: Fail }
    }
}

impl<M, K, A> BreakerLayer<M, K, A> {
    /// Says what a result means for the breaker: a closure on `&Result<Response, Error>`, which sees the errors
    /// of `poll_ready`, too.
    pub fn classify<R, F: Fn(&R) -> crate::Verdict>(self, classify: F) -> BreakerLayer<M, F, A> {
        let Self { mode, classify: _, answer } = self;
        BreakerLayer { mode, classify, answer }
    }

    /// Answers requests that do not pass, in place of the service: errors are those of the service alone then.
    pub fn fallback<R, T, E, F>(self, answer: F) -> BreakerLayer<M, K, Fallback<F>>
    where
        F: Fn(R, crate::Open) -> Result<T, E>,
    {
        let Self { mode, classify, answer: _ } = self;
        BreakerLayer { mode, classify, answer: Fallback(answer) }
    }
}

impl<S, M: Clone + fmt::Debug, K: Clone, A: Clone> Layer<S> for BreakerLayer<M, K, A> {
    type Service = BreakerService<S, M, K, A>;

    fn layer(&self, inner: S) -> Self::Service {
        #[cfg(all(debug_assertions, feature = "tracing"))]
        order::warn::<S>(&self.mode);
        let Self { mode, classify, answer } = self;
        BreakerService::new(inner, mode.clone(), classify.clone(), answer.clone())
    }
}

impl<M: fmt::Debug, K, A> fmt::Debug for BreakerLayer<M, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
