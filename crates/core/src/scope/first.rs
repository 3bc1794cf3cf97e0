//! The first of several attempts to succeed.

use super::{AfterFailure, AfterSuccess, ChildEnd, Cx, Policy, Reason, Scope, ScopeError};
use crate::{
    Name,
    panic::drop_quietly,
    sync::{Arc, Mutex, lock},
};
use std::{
    fmt::{Debug, Display},
    future::Future,
};

/// Where the first value is left.
type First<T> = Arc<Mutex<Option<T>>>;

/// Ends the scope once there is a value. An attempt that was cut off returns without one.
struct FirstValue<T>(First<T>);

impl<T: Send + 'static> Policy for FirstValue<T> {
    fn failed(&self, _: &ChildEnd<'_>) -> AfterFailure {
        AfterFailure::Collect
    }

    fn succeeded(&self, _: &ChildEnd<'_>) -> AfterSuccess {
        if lock(&self.0).is_some() { AfterSuccess::Finish } else { AfterSuccess::GoOn }
    }
}

impl<P> Scope<P> {
    /// Runs all `attempts` at once, each a name and a future, and returns the value of the first
    /// one that succeeds. The others are dropped then at their next await, and have ended when this
    /// returns: attempts that want to clean up run in a scope with the policy
    /// [`FirstSuccess`](super::FirstSuccess). It replaces the [policy](Self::policy) of the scope.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::future::pending;
    /// use tidegate_core::Scope;
    ///
    /// async fn ask(mirror: &str) -> Result<String, String> {
    ///     match mirror {
    ///         "near" => Err("no route".into()),
    ///         "slow" => pending().await,
    ///         _ => Ok(format!("from the {mirror} one")),
    ///     }
    /// }
    ///
    /// let mirrors = ["near", "slow", "far"];
    /// let attempts = mirrors.map(|mirror| (mirror, ask(mirror)));
    /// let answer = Scope::builder("mirrors").first_ok(attempts).await;
    /// assert_eq!(answer.unwrap(), "from the far one");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If all attempts fail, the error or panic that came first, with the others in the
    /// [report](ScopeError::report); [`Reason::Empty`] without an attempt; otherwise as for
    /// [`Scope::run`].
    ///
    /// # Panics
    ///
    /// As for [`Scope::run`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Scope::run`]: dropping the future aborts the attempts. Tested by
    /// `other_ways_to_run_a_scope`.
    pub async fn first_ok<T, E, N, F>(
        self,
        attempts: impl IntoIterator<Item = (N, F)>,
    ) -> Result<T, ScopeError<E>>
    where
        T: Send + 'static,
        E: Display + Debug + Send + Sync + 'static,
        N: Into<Name>,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (first, at) = (First::<T>::default(), self.location());
        let scope = self.policy(FirstValue(Arc::clone(&first)));
        let run = scope.run_with_report(async |cx: Cx<E>| {
            let mut count = 0_usize;
            for (name, attempt) in attempts {
                if cx.is_cancelled() {
                    break;
                }
                let (own, first) = (cx.clone(), Arc::clone(&first));
                cx.spawn_from(name.into(), at, async move {
                    // One that is cut off has nothing to say.
                    let Ok(result) = own.run(attempt).await else { return Ok(()) };
                    let value = result?;
                    // A second value is dropped without the lock.
                    let second = offer(&first, value);
                    drop(second);
                    Ok(())
                });
                count += 1;
            }
            Ok(count)
        });
        let (result, report) = run.await;
        let value = lock(&first).take();
        let count = match result {
            Ok(count) => count,
            Err(reason) => {
                drop_quietly(value);
                return Err(ScopeError::new(reason, report));
            }
        };
        let reason = if count == 0 { Reason::Empty } else { Reason::Aborted };
        value.ok_or_else(|| ScopeError::new(reason, report))
    }
}

/// Leaves `value` if there is none yet; else gives it back.
fn offer<T>(first: &Mutex<Option<T>>, value: T) -> Option<T> {
    let mut first = lock(first);
    if first.is_some() { Some(value) } else { first.replace(value) }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_value_that_comes_first_is_kept() {
        let first = Mutex::new(None);
        assert_eq!(offer(&first, 1), None);
        assert_eq!(offer(&first, 2), Some(2));
        assert_eq!(*lock(&first), Some(1));
    }
}
