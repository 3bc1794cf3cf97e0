//! A limiter as a layer of tower.

mod answer;
mod mode;

pub use self::{
    answer::{Answer, Errors, Fail, Respond},
    mode::{Readiness, Reject, Wait},
};

use crate::{
    Denied, Reserve,
    admit::{By, NoKey, One},
    service::RateLimit,
};
use std::{fmt, time::Duration};
use tower_layer::Layer;

/// Limits how often services are called: gives each a [`RateLimit`] around it. All of them, and their
/// clones, share the limiter.
///
/// | mode | who comes too early | token is taken | key, cost | use it for |
/// |---|---|---|---|---|
/// | [`reject`](Self::reject) | is told so at once | in `call` | yes | servers |
/// | [`wait`](Self::wait) | waits in its call, first come, first served | in `call` | yes | clients, jobs |
/// | [`readiness`](Self::readiness) | waits for `poll_ready` | in `poll_ready` | no | backpressure |
///
/// What does not pass is an error, [`RateLimitError::Denied`](crate::RateLimitError), unless
/// [`on_denied`](Self::on_denied) makes a response of it.
///
/// ```
/// use std::convert::Infallible;
/// use tidegate_ratelimit::{Rate, RateLimitLayer, RateLimiter};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::builder(Rate::per_second(10)).burst(3).build().unwrap();
/// let mut service = ServiceBuilder::new()
///     .layer(
///         RateLimitLayer::reject(limiter)
///             .cost(|words: &Vec<&str>| words.len() as u64)
///             .on_denied(|_, denied| format!("too many words: wait for {:?}", denied.retry_after())),
///     )
///     .service(service_fn(async |words: Vec<&str>| Ok::<_, Infallible>(words.concat())));
/// let said = service.ready().await.unwrap().call(vec!["tide", "gate"]).await.unwrap();
/// assert_eq!(said, "tidegate");
/// let said = service.ready().await.unwrap().call(vec!["once", "more"]).await.unwrap();
/// assert_eq!(said, "too many words: wait for Some(100ms)");
/// # }
/// ```
///
/// Readiness is asked for before there is a request, so that there is neither a key nor a cost:
///
/// ```compile_fail,E0599
/// # use tidegate_ratelimit::{Rate, RateLimitLayer, RateLimiter};
/// # let limiter = RateLimiter::builder(Rate::per_second(10)).build().unwrap();
/// RateLimitLayer::readiness(limiter).cost(|_: &u32| 2);
/// ```
#[derive(Clone, Copy)]
pub struct RateLimitLayer<M, A = Fail> {
    mode: M,
    answer: A,
}

impl<L> RateLimitLayer<Reject<L>> {
    /// Calls the service if the limiter lets it pass now, and never waits: a
    /// [`RateLimiter`](crate::RateLimiter), or a [`KeyedLimiter`](crate::KeyedLimiter) with a [`key`](Self::key).
    pub fn reject(limiter: L) -> Self {
        Self { mode: Reject { limiter, key: NoKey, cost: One }, answer: Fail }
    }
}

impl<L> RateLimitLayer<Wait<L>> {
    /// Waits for the limiter in the future of the call. The place in the line is that of the call.
    ///
    /// The service is ready all the while, and keeps what it needed for that: put a limit of concurrency
    /// around this layer rather than into it.
    ///
    /// It waits for a [`RateLimiter`](crate::RateLimiter), for a key of a
    /// [`KeyedLimiter`](crate::KeyedLimiter), or for what [`from_fn`](crate::from_fn) makes of a closure: a
    /// [fleet](crate::fleet), or several limiters, among others.
    pub fn wait(limiter: L) -> Self {
        Self { mode: Wait { limiter, key: NoKey, cost: One, within: None }, answer: Fail }
    }
}

impl<L, K, C, A> RateLimitLayer<Wait<L, K, C>, A> {
    /// Who would have to wait for longer does not pass, and is told so at once. No bound by default.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.mode.within = Some(timeout);
        self
    }
}

impl<L: Reserve> RateLimitLayer<Readiness<L>> {
    /// Is ready once a token was taken, which the next call spends; one that is not called gives it
    /// back when it is dropped.
    ///
    /// Where as many wait as may, or nothing passes any more, it is ready, and the call is denied: an error of
    /// `poll_ready` would be the end of the service to all who use it, as with tower's `Buffer`.
    ///
    /// A service that is kept ready without being called keeps its token from others.
    pub fn readiness(limiter: L) -> Self {
        Self { mode: Readiness::new(limiter), answer: Fail }
    }
}

impl<L, K, C, A> RateLimitLayer<Reject<L, K, C>, A> {
    /// What a limiter per key tells requests apart by. It is asked for only if the request costs anything.
    ///
    /// ```
    /// use tidegate_ratelimit::{KeyedLimiter, Quota, Rate, RateLimitLayer};
    ///
    /// struct Request {
    ///     user: u64,
    /// }
    ///
    /// let quota = Quota::new(Rate::per_second(10), 20);
    /// let limiter = KeyedLimiter::<u64>::builder(quota).build().unwrap();
    /// let layer = RateLimitLayer::reject(limiter).key(|request: &Request| request.user);
    /// # drop(layer);
    /// ```
    pub fn key<R, V, F: Fn(&R) -> V>(self, key: F) -> RateLimitLayer<Reject<L, By<F>, C>, A> {
        let Reject { limiter, key: _, cost } = self.mode;
        RateLimitLayer { mode: Reject { limiter, key: By(key), cost }, answer: self.answer }
    }

    /// How many tokens a request takes; one by default. A request that costs nothing always passes.
    pub fn cost<R, F: Fn(&R) -> u64>(self, cost: F) -> RateLimitLayer<Reject<L, K, By<F>>, A> {
        let Reject { limiter, key, cost: _ } = self.mode;
        RateLimitLayer { mode: Reject { limiter, key, cost: By(cost) }, answer: self.answer }
    }

    /// Answers requests that do not pass, in place of the service: errors are those of the service alone
    /// then.
    pub fn on_denied<R, T, F: Fn(R, Denied) -> T>(
        self,
        respond: F,
    ) -> RateLimitLayer<Reject<L, K, C>, Respond<F>> {
        RateLimitLayer { mode: self.mode, answer: Respond(respond) }
    }
}

impl<L, K, C, A> RateLimitLayer<Wait<L, K, C>, A> {
    /// What a limiter per key tells requests apart by. It is asked for only if the request costs anything.
    /// Who waits for one key does not hold up those who wait for others.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tidegate_ratelimit::{KeyedLimiter, Quota, Rate, RateLimitLayer};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let hosts = KeyedLimiter::builder(Quota::new(Rate::per_second(10), 1)).build().unwrap();
    /// let client = ServiceBuilder::new()
    ///     .layer(RateLimitLayer::wait(hosts).key(|host: &&'static str| *host))
    ///     .service(service_fn(async |host: &'static str| Ok::<_, Infallible>(host.len())));
    /// for _ in 0..3 {
    ///     assert_eq!(client.clone().oneshot("example.org").await.unwrap(), 11);
    /// }
    /// # }
    /// ```
    pub fn key<R, V, F: Fn(&R) -> V>(self, key: F) -> RateLimitLayer<Wait<L, By<F>, C>, A> {
        let Wait { limiter, key: _, cost, within } = self.mode;
        RateLimitLayer { mode: Wait { limiter, key: By(key), cost, within }, answer: self.answer }
    }

    /// How many tokens a request takes; one by default. A request that costs nothing always passes.
    pub fn cost<R, F: Fn(&R) -> u64>(self, cost: F) -> RateLimitLayer<Wait<L, K, By<F>>, A> {
        let Wait { limiter, key, cost: _, within } = self.mode;
        RateLimitLayer { mode: Wait { limiter, key, cost: By(cost), within }, answer: self.answer }
    }

    /// Answers requests that do not pass, in place of the service: errors are those of the service alone
    /// then.
    pub fn on_denied<R, T, F: Fn(R, Denied) -> T>(
        self,
        respond: F,
    ) -> RateLimitLayer<Wait<L, K, C>, Respond<F>> {
        RateLimitLayer { mode: self.mode, answer: Respond(respond) }
    }
}

impl<S, M: Clone, A: Clone> Layer<S> for RateLimitLayer<M, A> {
    type Service = RateLimit<S, M, A>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.mode.clone(), self.answer.clone())
    }
}

impl<M: fmt::Debug, A> fmt::Debug for RateLimitLayer<M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
