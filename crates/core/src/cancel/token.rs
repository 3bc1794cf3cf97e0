//! The handle users hold.

use super::{
    Cancelled, CancelledOwned, Cause, OnCancel, Stopping,
    node::{Level, Node},
};
use crate::{rt, sync::Arc};
use std::{fmt, future::Future, pin::pin, task::Poll, time::Duration};
use tokio::task::coop::unconstrained;

/// A handle to a node in the tree of cancellation.
///
/// Clones are handles to the same node. Cancelling a node cancels every descendant, never an
/// ancestor or a sibling. The first cause wins and can be read by all.
///
/// # Comparison with `tokio_util::sync::CancellationToken`
///
/// This one says why it was cancelled, and [`is_cancelled`](Self::is_cancelled) and `clone`
/// take no lock. Use tokio-util's when you need neither.
///
/// ```
/// use tidegate_core::CancelToken;
///
/// let server = CancelToken::new();
/// let connection = server.child();
/// assert!(server.cancel("shutting down"));
/// assert!(connection.is_cancelled());
/// assert!(!server.cancel("too late"), "the first cause wins");
/// assert!(connection.check().unwrap_err().to_string().contains("shutting down"));
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Node>);

impl CancelToken {
    /// A new root.
    #[must_use]
    pub fn new() -> Self {
        Self(Node::root())
    }

    /// A token that is cancelled when this one is, or on its own. A child of a cancelled
    /// token is born cancelled, with the same cause.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child())
    }

    /// Cancels this token and its descendants. Returns whether this call did it: if the
    /// token was cancelled before, its first cause stays.
    ///
    /// When the call that did it returns, every descendant that existed is cancelled, except
    /// below a token that somebody else is cancelling at that moment: that call gets to them. All
    /// below such a token have the cause that it took, unless one of their own came first.
    #[track_caller]
    pub fn cancel(&self, cause: impl Into<Cause>) -> bool {
        !self.is_cancelled() && self.0.raise(Level::Cancelled, &cause.into())
    }

    /// Whether this token is cancelled: one atomic load.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.has_reached(Level::Cancelled)
    }

    /// Why it is cancelled, if it is.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause(Level::Cancelled)
    }

    /// Asks for an orderly end: take nothing new, finish what has begun. The *soft* signal
    /// before [`cancel`](Self::cancel), which tells this token and its descendants to drop
    /// what they do. Returns whether this call did it.
    ///
    /// Nothing is enforced: whoever looks at [`is_stopping`](Self::is_stopping) or awaits
    /// [`stopping`](Self::stopping) sees it, and cancelling sets it, too.
    ///
    /// ```
    /// use tidegate_core::CancelToken;
    ///
    /// let server = CancelToken::new();
    /// let connection = server.child();
    /// assert!(server.stop("a new version takes over"));
    /// assert!(connection.is_stopping() && !connection.is_cancelled());
    /// assert!(server.cancel("that took too long"));
    /// assert!(connection.stop_cause().unwrap().to_string().contains("new version"));
    /// ```
    #[track_caller]
    pub fn stop(&self, cause: impl Into<Cause>) -> bool {
        !self.is_stopping() && self.0.raise(Level::Stopping, &cause.into())
    }

    /// Whether this token is stopped or cancelled: one atomic load.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.has_reached(Level::Stopping)
    }

    /// Why it is to stop, if it is: the cause of its [`stop`](Self::stop), or of the
    /// cancellation if that came first. When the two race, a descendant may have heard of
    /// them in the other order.
    #[must_use]
    pub fn stop_cause(&self) -> Option<Cause> {
        self.0.cause(Level::Stopping)
    }

    pub(crate) fn inherited_cause(&self) -> Option<Cause> {
        self.0.inherited_cause()
    }

    /// A check for loops that do not await.
    ///
    /// # Errors
    ///
    /// The cause, once the token is cancelled.
    pub fn check(&self) -> Result<(), Cause> {
        self.cause().map_or(Ok(()), Err)
    }

    /// Waits until the token is cancelled, and says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future removes its waker and nothing else. Tested by
    /// `cancelled_and_stopping` and `a_dropped_waiter_holds_no_waker`.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled::new(&self.0)
    }

    /// The same as [`cancelled`](Self::cancelled), without a borrow.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future removes its waker and nothing else. Tested by
    /// `cancelled_and_stopping` and `a_dropped_waiter_holds_no_waker`.
    pub fn cancelled_owned(&self) -> CancelledOwned {
        CancelledOwned::new(Arc::clone(&self.0))
    }

    /// Waits until the token is stopped or cancelled, and says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future removes its waker and nothing else. Tested by
    /// `cancelled_and_stopping` and `a_dropped_waiter_holds_no_waker`.
    pub fn stopping(&self) -> Stopping<'_> {
        Stopping::new(&self.0)
    }

    /// Calls `function` once with the cause when the token is cancelled; at once, if it is.
    /// Go's `context.AfterFunc`.
    ///
    /// It runs on the thread that cancels, when every descendant is cancelled and before
    /// `cancel` returns: it must be short and must not block. No lock is held, so it may use
    /// this token and any other. A panic of it is an event, and nothing else.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use tidegate_core::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// let (tell, told) = mpsc::sync_channel(1);
    /// token.on_cancel(move |cause| tell.send(cause.to_string()).unwrap()).keep();
    /// let taken_back = token.on_cancel(|_| unreachable!());
    /// assert!(taken_back.unregister());
    /// token.cancel("enough");
    /// assert!(told.recv().unwrap().contains("enough"));
    /// ```
    pub fn on_cancel(&self, function: impl FnOnce(&Cause) + Send + 'static) -> OnCancel {
        OnCancel::register(&self.0, Box::new(function))
    }

    /// Runs `future` until it is ready or the token is cancelled, whichever comes first;
    /// cancellation wins a tie, so that the outcome does not depend on chance.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidegate_core::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.run(async { 7 }).await.unwrap(), 7);
    /// token.cancel("enough");
    /// assert!(token.run(std::future::pending::<()>()).await.is_err());
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The cause, if the token was cancelled first.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, which is dropped when the token is cancelled or this
    /// future is dropped. Tested by `run_and_shield`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Cause> {
        let mut cancelled = self.cancelled();
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(cause) = std::pin::Pin::new(&mut cancelled).poll(cx) {
                return Poll::Ready(Err(cause));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Runs `future` on though the token is cancelled, for up to `grace` after that: for work
    /// that must not be cut off in the middle, such as a commit.
    ///
    /// It protects from this token alone: the grace period of the scope goes on meanwhile, and
    /// ends everything in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use tidegate_core::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// token.cancel("now");
    /// let commit = async { "committed" };
    /// assert_eq!(token.shield(Duration::from_secs(1), commit).await.unwrap(), "committed");
    /// let stuck = token.shield(Duration::from_millis(1), std::future::pending::<()>()).await;
    /// assert!(stuck.is_err());
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The cause, if the future took longer than the grace.
    ///
    /// # Panics
    ///
    /// If the token is cancelled and the runtime has no time driver.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, which is dropped at the end of the grace or with this
    /// future. Tested by `run_and_shield`.
    pub async fn shield<F: Future>(&self, grace: Duration, future: F) -> Result<F::Output, Cause> {
        // The future may use up the budget of the task at each poll: time passes all the same.
        let mut expired = pin!(unconstrained(async {
            let cause = self.cancelled().await;
            rt::sleep(grace).await;
            cause
        }));
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            expired.as_mut().poll(cx).map(Err)
        })
        .await
    }

    #[cfg(all(test, tidegate_loom))]
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.0
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("stop_cause", &self.stop_cause())
            .field("cause", &self.cause())
            .finish()
    }
}
