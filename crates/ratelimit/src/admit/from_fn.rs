//! Anything that can be awaited, as a limiter.

use super::{Denied, Queue};
use std::{fmt, future::Future, time::Duration};

/// A limiter that is asked by a closure: made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

/// Makes a limiter of a closure, for a layer that [waits](crate::RateLimitLayer::wait): several limiters one
/// after the other, say, or one that asks another machine. It is called with the key, the cost, and how long
/// it may wait, if there is a bound; the line is in the order of the first polls of what it returns.
///
/// What it returns gives back what it has taken when it is dropped before it is ready.
///
/// ```
/// use tidegate_ratelimit::{Denied, Rate, RateLimiter, from_fn};
///
/// let ours = RateLimiter::builder(Rate::per_second(100)).burst(10).build().unwrap();
/// let theirs = RateLimiter::builder(Rate::per_minute(1000)).burst(10).build().unwrap();
/// let both = from_fn(move |(): (), cost, _| {
///     let (ours, theirs) = (ours.clone(), theirs.clone());
///     async move {
///         let permit = ours.acquire(cost).await?;
///         // The one that can be refused at once comes last.
///         if let Err(denied) = theirs.try_acquire(cost) {
///             permit.refund();
///             return Err(denied.into());
///         }
///         Ok::<_, Denied>(())
///     }
/// });
/// # #[cfg(feature = "tower")]
/// let layer = tidegate_ratelimit::RateLimitLayer::wait(both);
/// ```
pub fn from_fn<F, K, Fut>(ask: F) -> FromFn<F>
where
    F: Fn(K, u64, Option<Duration>) -> Fut,
    Fut: Future<Output = Result<(), Denied>>,
{
    FromFn(ask)
}

impl<F, K, Fut> Queue<K> for FromFn<F>
where
    F: Fn(K, u64, Option<Duration>) -> Fut,
    Fut: Future<Output = Result<(), Denied>>,
{
    type Place = Fut;

    fn join(&self, key: K, cost: u64, within: Option<Duration>) -> Result<Option<Fut>, Denied> {
        Ok(Some((self.0)(key, cost, within)))
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn(..)")
    }
}
