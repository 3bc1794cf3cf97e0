//! To and from the token of tokio-util, without a task for either way.
//!
//! Ours calls a function, so that one way is a callback. Theirs wakes who waits, and nobody else:
//! somebody has to wait for it, and that is the work which the cancellation is for.

use super::{CancelToken, Cause, OnCancel};
use std::{
    future::{Future, poll_fn},
    pin::pin,
};
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;

impl CancelToken {
    /// Cancels `other` when this token is cancelled, for code that takes a token of tokio-util.
    /// The link lasts as long as what is returned, or as this token, if that is
    /// [kept](OnCancel::keep); the cause stays on this side.
    ///
    /// ```
    /// use tidegate_core::CancelToken;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
    /// let link = ours.propagate_to(&theirs);
    /// ours.cancel("the end");
    /// assert!(theirs.is_cancelled());
    /// # drop(link);
    /// ```
    pub fn propagate_to(&self, other: &CancellationToken) -> OnCancel {
        let other = other.clone();
        self.on_cancel(move |_| other.cancel())
    }

    /// Runs `future` to its end, and cancels this token when `other` is cancelled before that.
    /// The token is known to be cancelled when the task has been woken for it, or at once, if
    /// `other` is cancelled already.
    ///
    /// Nothing is spawned: it is this future that waits for `other`, so that it has no need to
    /// wait any more when the work is done. Around a whole scope:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::{CancelToken, Cx, Scope};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let theirs = CancellationToken::new();
    /// theirs.cancel();
    /// let ours = CancelToken::new();
    /// let scope = Scope::builder("server").token(&ours).run(async |cx: Cx<String>| {
    ///     cx.cancelled().await;
    ///     Ok(())
    /// });
    /// let error = ours.following(&theirs, scope).await.unwrap_err();
    /// assert!(error.to_string().contains("a CancellationToken was cancelled"));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, which is dropped with this one. Nothing is left with `other`.
    /// Tested by `a_link_that_is_dropped_leaves_nothing_with_theirs`.
    #[track_caller]
    pub fn following<F: Future>(
        &self,
        other: &CancellationToken,
        future: F,
    ) -> impl Future<Output = F::Output> {
        let mut cause = Some(Cause::explicit("a CancellationToken was cancelled"));
        async move {
            // The future may use up the budget of the task at each poll: others cancel all the same.
            let mut cancelled = pin!(unconstrained(other.cancelled()));
            let mut future = pin!(future);
            poll_fn(|cx| {
                if cause.is_some() && cancelled.as_mut().poll(cx).is_ready() {
                    cause.take().map(|cause| self.cancel(cause));
                }
                future.as_mut().poll(cx)
            })
            .await
        }
    }
}
