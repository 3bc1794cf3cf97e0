//! A bulkhead as a layer of tower.

mod answer;
mod carry;
mod classify;
mod mode;

pub use self::{
    answer::{Answer, Errors, Fail, Respond},
    carry::{Carry, CarryBy, InResponse, Permitted, Release},
    classify::{Classified, Classify},
    mode::{Readiness, Reject, Wait},
};

use crate::{
    Outcome, Priority, Rejected, Reserve,
    admit::{By, NoKey, NormalPriority, One},
    service::BulkheadService,
};
use std::{fmt, time::Duration};
use tower_layer::Layer;

/// Limits how many calls of services are in progress: gives each a [`BulkheadService`] around it. All of
/// them, and their clones, share the bulkhead.
///
/// | mode | who finds it full | permit is taken | key, weight | use it for |
/// |---|---|---|---|---|
/// | [`reject`](Self::reject) | is told so at once | in `call` | yes | servers: load shedding |
/// | [`wait`](Self::wait) | waits in its call, first come, first served | in `call` | yes | clients, jobs |
/// | [`readiness`](Self::readiness) | waits for `poll_ready` | in `poll_ready` | no | backpressure |
///
/// What does not enter is an error, [`BulkheadError::Rejected`](crate::BulkheadError), unless
/// [`on_rejected`](Self::on_rejected) makes a response of it. The permit comes back when the call has ended,
/// well or not, or is dropped; or with the [response](Self::in_response), once all of that has been sent.
///
/// ```
/// use std::convert::Infallible;
/// use tidegate_bulkhead::{Bulkhead, BulkheadLayer};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let bulkhead = Bulkhead::builder(2).build().unwrap();
/// let mut service = ServiceBuilder::new()
///     .layer(
///         BulkheadLayer::reject(bulkhead.clone())
///             .weight(|words: &Vec<&str>| words.len() as u32)
///             .on_rejected(|_: Vec<&str>, rejected| format!("too many words: {rejected}")),
///     )
///     .service(service_fn(async |words: Vec<&str>| Ok::<_, Infallible>(words.concat())));
/// let said = service.ready().await.unwrap().call(vec!["tide", "gate"]).await.unwrap();
/// assert_eq!((said.as_str(), bulkhead.in_use()), ("tidegate", 0));
/// let said = service.ready().await.unwrap().call(vec!["one", "too", "many"]).await.unwrap();
/// assert_eq!(said, "too many words: 3 never enter: there are 2");
/// # }
/// ```
///
/// Readiness is asked for before there is a request, so that there is neither a key nor a weight:
///
/// ```compile_fail,E0599
/// # use tidegate_bulkhead::{Bulkhead, BulkheadLayer};
/// # let bulkhead = Bulkhead::builder(2).build().unwrap();
/// BulkheadLayer::readiness(bulkhead).weight(|_: &u32| 2);
/// ```
#[derive(Clone, Copy)]
pub struct BulkheadLayer<M, A = Fail, C = Release> {
    mode: M,
    answer: A,
    carry: C,
}

impl<B> BulkheadLayer<Reject<B>> {
    /// Calls the service if there is room now, and never waits: a [`Bulkhead`](crate::Bulkhead); or
    /// [`Compartments`](crate::Compartments) or a [`KeyedBulkhead`](crate::KeyedBulkhead), with a
    /// [`key`](Self::key).
    pub fn reject(bulkhead: B) -> Self {
        Self::new(Reject { bulkhead, key: NoKey, weight: One })
    }
}

impl<B> BulkheadLayer<Wait<B>> {
    /// Waits for room in the future of the call. The place in the line is that of the call.
    ///
    /// The service is ready all the while, and keeps what it needed for that. How many may wait, and for how
    /// long, the bulkhead says.
    pub fn wait(bulkhead: B) -> Self {
        let (key, weight, priority) = (NoKey, One, NormalPriority);
        Self::new(Wait { bulkhead, key, weight, priority, within: None })
    }
}

impl<B: Reserve> BulkheadLayer<Readiness<B>> {
    /// Is ready once a permit was taken, which is the next call's; a service that is not called gives it
    /// back when it is dropped. It waits for as long as it is polled, whatever
    /// [`max_wait`](crate::BulkheadBuilder::max_wait) says.
    ///
    /// A service that is kept ready without being called keeps its permit from others: where services are
    /// made ready long before they are called, take one of the other modes. One whose inner service is not
    /// ready any more has given it back. An error of readiness, as when as many wait as may, is the end of a
    /// service for most who call it.
    pub fn readiness(bulkhead: B) -> Self {
        Self::new(Readiness::new(bulkhead))
    }
}

impl<M> BulkheadLayer<M> {
    fn new(mode: M) -> Self {
        Self { mode, answer: Fail, carry: Release }
    }
}

impl<M, A> BulkheadLayer<M, A> {
    /// The response carries the permit, as a [`Permitted`]: it comes back when that is dropped, and not when
    /// the head of a response is there whose body is still to be sent.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tidegate_bulkhead::{Bulkhead, BulkheadLayer};
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let bulkhead = Bulkhead::builder(2).build().unwrap();
    /// let mut service = ServiceBuilder::new()
    ///     .layer(BulkheadLayer::reject(bulkhead.clone()).in_response())
    ///     .service(service_fn(async |n: u32| Ok::<_, Infallible>(n + 1)));
    /// let response = service.ready().await.unwrap().call(1).await.unwrap();
    /// assert_eq!((*response, bulkhead.in_use()), (2, 1));
    /// drop(response);
    /// assert_eq!(bulkhead.in_use(), 0);
    /// # }
    /// ```
    pub fn in_response(self) -> BulkheadLayer<M, A, InResponse> {
        let Self { mode, answer, carry: _ } = self;
        BulkheadLayer { mode, answer, carry: InResponse }
    }

    /// The same by a closure, which puts the permit where it belongs: into the body of a response, say.
    ///
    /// ```
    /// use tidegate_bulkhead::{Bulkhead, BulkheadLayer, Permit};
    ///
    /// struct Body {
    ///     parts: Vec<String>,
    ///     permit: Permit, // comes back with the last part
    /// }
    ///
    /// let bulkhead = Bulkhead::builder(2).build().unwrap();
    /// let layer = BulkheadLayer::wait(bulkhead)
    ///     .carry(|parts: Vec<String>, permit: Permit| Body { parts, permit });
    /// # drop(layer);
    /// ```
    pub fn carry<T, P, U, F: Fn(T, P) -> U>(self, carry: F) -> BulkheadLayer<M, A, CarryBy<F>> {
        let Self { mode, answer, carry: _ } = self;
        BulkheadLayer { mode, answer, carry: CarryBy(carry) }
    }
}

impl<M, A, C> BulkheadLayer<M, A, C> {
    /// Says how a call has ended, for a [limit](crate::BulkheadBuilder::limit) that finds itself. Without it
    /// a response is a [success](Outcome::Success), and an error is [one](Outcome::Error) that may have any reason: it
    /// lowers the limit only if it took much longer than a call that does not wait, as a timeout does. What this is for
    /// is a response or an error that says at once that there are too many: that is a [failure](Outcome::Failure). It
    /// comes after [`in_response`](Self::in_response) and [`carry`](Self::carry).
    ///
    /// ```
    /// use tidegate_bulkhead::{Bulkhead, BulkheadLayer, Outcome, Vegas};
    ///
    /// let bulkhead = Bulkhead::builder(20).limit(Vegas::new()).build().unwrap();
    /// let layer = BulkheadLayer::reject(bulkhead).classify(|result: &Result<u16, String>| match result {
    ///     Ok(429 | 503 | 504) => Outcome::Failure,
    ///     Ok(200..=299) => Outcome::Success,
    ///     Ok(_) | Err(_) => Outcome::Error,
    /// });
    /// # drop(layer);
    /// ```
    ///
    /// In the other order, where it would be of no effect, it does not compile:
    ///
    /// ```compile_fail,E0599
    /// # use tidegate_bulkhead::{Bulkhead, BulkheadLayer, Outcome};
    /// # let bulkhead = Bulkhead::builder(2).build().unwrap();
    /// let layer = BulkheadLayer::reject(bulkhead);
    /// layer.classify(|_: &Result<u16, String>| Outcome::Ignored).in_response();
    /// ```
    pub fn classify<T, E, F>(self, classify: F) -> BulkheadLayer<M, A, Classified<C, F>>
    where
        F: Fn(&Result<T, E>) -> Outcome,
    {
        let Self { mode, answer, carry } = self;
        BulkheadLayer { mode, answer, carry: Classified { carry, classify } }
    }
}

impl<B, K, N, A, C> BulkheadLayer<Reject<B, K, N>, A, C> {
    /// Whom a request is counted for: the name of a compartment, or a key.
    ///
    /// ```
    /// use tidegate_bulkhead::{BulkheadLayer, Compartments};
    ///
    /// struct Request {
    ///     table: &'static str,
    /// }
    ///
    /// let compartments = Compartments::builder().add("users", 10).add("logs", 2).build().unwrap();
    /// let layer = BulkheadLayer::reject(compartments).key(|request: &Request| request.table);
    /// # drop(layer);
    /// ```
    pub fn key<R, V, F: Fn(&R) -> V>(self, key: F) -> BulkheadLayer<Reject<B, By<F>, N>, A, C> {
        let Self { mode: Reject { bulkhead, key: _, weight }, answer, carry } = self;
        BulkheadLayer { mode: Reject { bulkhead, key: By(key), weight }, answer, carry }
    }

    /// How many permits a request takes; one by default.
    pub fn weight<R, F: Fn(&R) -> u32>(
        self,
        weight: F,
    ) -> BulkheadLayer<Reject<B, K, By<F>>, A, C> {
        let Self { mode: Reject { bulkhead, key, weight: _ }, answer, carry } = self;
        BulkheadLayer { mode: Reject { bulkhead, key, weight: By(weight) }, answer, carry }
    }

    /// Answers requests that do not enter, in place of the service: errors are those of the service alone
    /// then.
    pub fn on_rejected<R, T, F: Fn(R, Rejected) -> T>(
        self,
        respond: F,
    ) -> BulkheadLayer<Reject<B, K, N>, Respond<F>, C> {
        let Self { mode, answer: _, carry } = self;
        BulkheadLayer { mode, answer: Respond(respond), carry }
    }
}

impl<B, K, N, P, A, C> BulkheadLayer<Wait<B, K, N, P>, A, C> {
    /// Whom a request is counted for: the name of a compartment, or a key.
    pub fn key<R, V, F: Fn(&R) -> V>(self, key: F) -> BulkheadLayer<Wait<B, By<F>, N, P>, A, C> {
        let Self { mode: Wait { bulkhead, key: _, weight, priority, within }, answer, carry } =
            self;
        let mode = Wait { bulkhead, key: By(key), weight, priority, within };
        BulkheadLayer { mode, answer, carry }
    }

    /// How many permits a request takes; one by default.
    pub fn weight<R, F: Fn(&R) -> u32>(
        self,
        weight: F,
    ) -> BulkheadLayer<Wait<B, K, By<F>, P>, A, C> {
        let Self { mode: Wait { bulkhead, key, weight: _, priority, within }, answer, carry } =
            self;
        let mode = Wait { bulkhead, key, weight: By(weight), priority, within };
        BulkheadLayer { mode, answer, carry }
    }

    /// How urgent a request is; all are [normal](Priority::Normal) by default.
    pub fn priority<R, F: Fn(&R) -> Priority>(
        self,
        priority: F,
    ) -> BulkheadLayer<Wait<B, K, N, By<F>>, A, C> {
        let Self { mode: Wait { bulkhead, key, weight, priority: _, within }, answer, carry } =
            self;
        let mode = Wait { bulkhead, key, weight, priority: By(priority), within };
        BulkheadLayer { mode, answer, carry }
    }

    /// How long a request waits at most. As long as the bulkhead lets anybody wait, by default.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.mode.within = Some(timeout);
        self
    }

    /// Answers requests that do not enter, in place of the service: errors are those of the service alone
    /// then.
    pub fn on_rejected<R, T, F: Fn(R, Rejected) -> T>(
        self,
        respond: F,
    ) -> BulkheadLayer<Wait<B, K, N, P>, Respond<F>, C> {
        let Self { mode, answer: _, carry } = self;
        BulkheadLayer { mode, answer: Respond(respond), carry }
    }
}

impl<S, M: Clone, A: Clone, C: Clone> Layer<S> for BulkheadLayer<M, A, C> {
    type Service = BulkheadService<S, M, A, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService::new(inner, self.mode.clone(), self.answer.clone(), self.carry.clone())
    }
}

impl<M: fmt::Debug, A, C> fmt::Debug for BulkheadLayer<M, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
