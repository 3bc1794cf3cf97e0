//! Bodies of HTTP responses that hold a permit.

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// Has the body of a response hold the permit: for [`carry`](crate::BulkheadLayer::carry).
///
/// ```
/// use tidegate_bulkhead::{Bulkhead, http::hold_in_body};
///
/// let bulkhead = Bulkhead::builder(1).build().unwrap();
/// let permit = bulkhead.try_acquire().unwrap();
/// let response = hold_in_body(http::Response::new("a body"), permit);
/// assert_eq!(bulkhead.in_use(), 1);
/// drop(response);
/// assert_eq!(bulkhead.in_use(), 0);
///
/// # #[cfg(feature = "tower")] {
/// use tidegate_bulkhead::{BulkheadLayer, Permit};
///
/// let layer = BulkheadLayer::wait(bulkhead).carry(hold_in_body::<String, Permit>);
/// # drop(layer);
/// # }
/// ```
pub fn hold_in_body<B, P>(response: Response<B>, permit: P) -> Response<HeldBody<B, P>> {
    response.map(|body| HeldBody { body, permit: Some(permit) })
}

pin_project! {
    /// A body with the permit of its response, which comes back when the last of it was taken, or when it
    /// fails or is dropped.
    pub struct HeldBody<B, P = crate::Permit> {
        // Dropped first: what is held is in use until it is gone.
        #[pin]
        body: B,
        permit: Option<P>,
    }
}

impl<B, P> HeldBody<B, P> {
    /// A body that needed no permit: for an answer to who does not enter.
    pub fn without(body: B) -> Self {
        Self { body, permit: None }
    }

    /// The body.
    pub fn get_ref(&self) -> &B {
        &self.body
    }
}

impl<B: Body, P> Body for HeldBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            *this.permit = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B, P> fmt::Debug for HeldBody<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody").field("holds", &self.permit.is_some()).finish_non_exhaustive()
    }
}
