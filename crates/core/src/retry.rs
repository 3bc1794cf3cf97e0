//! Trying again, within bounds.

use crate::{
    Backoff, CancelToken, Cause, rt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use std::{
    fmt::{self, Debug, Display},
    time::Duration,
};

type Predicate<E> = Box<dyn Fn(&E) -> bool + Send + Sync>;
type Hint<E> = Box<dyn Fn(&E) -> Option<Duration> + Send + Sync>;

/// How often and how long to try an operation: a [`Backoff`] between attempts, and whatever else
/// bounds them.
///
/// ```
/// use std::{io, time::Duration};
/// use tidegate_core::{Backoff, CancelToken, Retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let retry = Retry::new(Backoff::exponential(Duration::from_millis(50)).limit(3))
///     .attempt_timeout(Duration::from_secs(1))
///     .when(|error: &io::Error| error.kind() != io::ErrorKind::NotFound);
/// let answer = retry
///     .run(&CancelToken::new(), async |attempt| {
///         if attempt < 2 { Err(io::Error::other("busy")) } else { Ok(42) }
///     })
///     .await;
/// assert_eq!(answer.unwrap(), 42);
/// # }
/// ```
#[must_use = "a policy does nothing until an operation is run"]
pub struct Retry<E> {
    backoff: Backoff,
    attempt_timeout: Option<Duration>,
    when: Option<Predicate<E>>,
    hint: Option<Hint<E>>,
    budget: Option<RetryBudget>,
}

impl<E> Retry<E> {
    /// Tries again after each delay of `backoff`, until there are no more. Without a
    /// [limit](Backoff::limit) it tries until it is cancelled.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, attempt_timeout: None, when: None, hint: None, budget: None }
    }

    /// Ends an attempt that takes longer: its future is dropped, and it counts as failed.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Which errors are worth another attempt. The default is all of them. A timeout always is.
    pub fn when(mut self, is_worth: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Box::new(is_worth));
        self
    }

    /// How long an error says to wait, as `Retry-After` of HTTP does. The next attempt comes no
    /// earlier than that, and no earlier than the backoff says; the backoff's maximum does not
    /// cut it.
    pub fn retry_after(
        mut self,
        hint: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.hint = Some(Box::new(hint));
        self
    }

    /// Takes each further attempt from a budget that others share.
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Runs `op`, which is told the number of the attempt, from 0, until it succeeds or there is
    /// a reason not to try again. The backoff starts anew in each run.
    ///
    /// # Errors
    ///
    /// The last error, and why there was no further attempt.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled; a panic of `op` goes on in the caller.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt under way, or gives the budget back what the next one
    /// was to cost. A cancellation of `token` does the same and is returned with the error of the
    /// attempt before. Tested by `retrying`.
    pub async fn run<T, F, Fut>(&self, token: &CancelToken, mut op: F) -> Result<T, RetryError<E>>
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut backoff = self.backoff.clone();
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        let mut attempts = 0;
        let mut last = None;
        loop {
            let stop = match token.run(self.attempt(op(attempts))).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => {
                    attempts = attempts.saturating_add(1);
                    let next = self.next(&error, &mut backoff);
                    last = Some(error);
                    match next {
                        Ok((delay, reserved)) => match token.run(rt::sleep(delay)).await {
                            Ok(()) => {
                                reserved.spend();
                                continue;
                            }
                            Err(cause) => RetryStop::Cancelled(cause),
                        },
                        Err(stop) => stop,
                    }
                }
                Err(cause) => RetryStop::Cancelled(cause),
            };
            return Err(RetryError { stop, attempts, last });
        }
    }

    async fn attempt<T>(
        &self,
        op: impl Future<Output = Result<T, E>>,
    ) -> Result<T, AttemptError<E>> {
        let Some(limit) = self.attempt_timeout else {
            return op.await.map_err(AttemptError::Failed);
        };
        match rt::timeout(limit, op).await {
            Ok(ended) => ended.map_err(AttemptError::Failed),
            Err(_elapsed) => Err(AttemptError::TimedOut(limit)),
        }
    }

    /// How long to wait after this error, and what the next attempt costs; or why there is none.
    fn next(
        &self,
        error: &AttemptError<E>,
        backoff: &mut Backoff,
    ) -> Result<(Duration, Reserved<'_>), RetryStop> {
        let mut hint = None;
        if let AttemptError::Failed(error) = error {
            if self.when.as_ref().is_some_and(|is_worth| !is_worth(error)) {
                return Err(RetryStop::Permanent);
            }
            hint = self.hint.as_ref().and_then(|hint| hint(error));
        }
        let delay = backoff.next().ok_or(RetryStop::Exhausted)?;
        let budget = self.budget.as_ref();
        if budget.is_some_and(|budget| !budget.withdraw()) {
            return Err(RetryStop::NoBudget);
        }
        Ok((delay.max(hint.unwrap_or_default()), Reserved(budget)))
    }
}

/// A token taken for an attempt that has not begun; given back if it never does.
struct Reserved<'a>(Option<&'a RetryBudget>);

impl Reserved<'_> {
    fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.add(TOKEN);
        }
    }
}

impl<E> Debug for Retry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("backoff", &self.backoff)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError<E> {
    /// The operation returned this error.
    #[error("{0}")]
    Failed(E),
    /// It took longer than an attempt may take.
    #[error("the attempt took longer than {0:?}")]
    TimedOut(Duration),
}

/// Why there was no further attempt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryStop {
    /// The backoff has no more delays.
    #[error("no attempts are left")]
    Exhausted,
    /// The error is not worth another attempt.
    #[error("the error is permanent")]
    Permanent,
    /// The budget that this operation shares with others is used up.
    #[error("the budget for retries is used up")]
    NoBudget,
    /// The token was cancelled, in an attempt or in a wait.
    #[error("cancelled: {0}")]
    Cancelled(Cause),
}

/// An operation that did not succeed: the last error, and why there was no further attempt.
#[derive(Debug)]
pub struct RetryError<E> {
    stop: RetryStop,
    attempts: u32,
    last: Option<AttemptError<E>>,
}

impl<E> RetryError<E> {
    /// Why there was no further attempt.
    #[must_use]
    pub fn stop(&self) -> &RetryStop {
        &self.stop
    }

    /// How many attempts had failed.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How the last attempt that ended failed; none, if the first was cancelled.
    #[must_use]
    pub fn last(&self) -> Option<&AttemptError<E>> {
        self.last.as_ref()
    }

    /// The same, by value.
    #[must_use]
    pub fn into_last(self) -> Option<AttemptError<E>> {
        self.last
    }

    /// The error of the operation, if the last attempt that ended returned one.
    #[must_use]
    pub fn into_error(self) -> Option<E> {
        match self.last? {
            AttemptError::Failed(error) => Some(error),
            AttemptError::TimedOut(_) => None,
        }
    }
}

impl<E: Display> Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} failed attempts", self.stop, self.attempts)?;
        self.last.as_ref().map_or(Ok(()), |last| write!(f, ": {last}"))
    }
}

// `E` need not be an error itself, as for `ScopeError`: the text has what it says.
impl<E: Debug + Display> std::error::Error for RetryError<E> {}

/// What retries cost, shared by many operations: with most of them failing, only a fraction is
/// tried again, so that clients do not multiply the load on a server that is down.
///
/// A bucket of tokens as in the retry throttling of gRPC (proposal A6): it begins full, each
/// operation adds `ratio` of a token, each further attempt takes one, and without one there is
/// none. It needs no clock.
///
/// ```
/// let budget = tidegate_core::RetryBudget::new(2, 0.5);
/// assert!(budget.withdraw() && budget.withdraw());
/// assert!(!budget.withdraw());
/// budget.deposit();
/// budget.deposit();
/// assert!(budget.withdraw());
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Bucket>);

#[derive(Debug)]
struct Bucket {
    /// In thousandths of a token, as are the others.
    level: AtomicU64,
    full: u64,
    deposit: u64,
}

/// Thousandths in a token.
const TOKEN: u64 = 1000;

impl RetryBudget {
    /// At most `tokens` further attempts at once, and in the long run `ratio` of them for each
    /// operation, rounded to thousandths and brought within 0 and 1000.
    #[must_use]
    pub fn new(tokens: u32, ratio: f64) -> Self {
        let full = u64::from(tokens) * TOKEN;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0 and a million; no number becomes 0"
        )]
        let deposit = (ratio.clamp(0.0, 1000.0) * 1000.0).round() as u64;
        Self(Arc::new(Bucket { level: AtomicU64::new(full), full, deposit }))
    }

    /// An operation is tried for the first time. [`Retry::run`] does this itself.
    pub fn deposit(&self) {
        self.add(self.0.deposit);
    }

    fn add(&self, thousandths: u64) {
        let Bucket { level, full, .. } = &*self.0;
        let more = |now: u64| Some(now.saturating_add(thousandths).min(*full));
        // The level is a number for its own sake: nothing else is published by it.
        let _ = level.fetch_update(Relaxed, Relaxed, more);
    }

    /// Takes a token for a further attempt; false if there is none.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.0.level.fetch_update(Relaxed, Relaxed, |now| now.checked_sub(TOKEN)).is_ok()
    }

    /// How many further attempts there could be now.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.level.load(Relaxed) / TOKEN
    }
}

#[cfg(all(test, tidegate_loom))]
mod loom_tests {
    use super::*;
    use crate::{cancel::loom_tests::model, sync::thread};

    #[test]
    fn loom_a_token_of_the_budget_is_taken_once() {
        model("a_token_of_the_budget_is_taken_once", || {
            let budget = RetryBudget::new(1, 1.0);
            let racers = [(); 2].map(|()| {
                let budget = budget.clone();
                thread::spawn(move || {
                    let taken = budget.withdraw();
                    budget.deposit();
                    taken
                })
            });
            let taken = u64::from(budget.withdraw()) + u64::from(budget.withdraw());
            let others = racers.map(|racer| u64::from(racer.join().unwrap()));
            let taken = taken + others.iter().sum::<u64>();
            // One at the start; each deposit is another, unless the bucket was full.
            assert!((1..=3).contains(&taken), "{taken}");
            assert!(taken + budget.left() <= 3, "{taken} and {}", budget.left());
        });
    }
}
