//! A permit that travels in the body of a response.

use crate::{assert_idle, bulkhead};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tidegate_bulkhead::{BulkheadLayer, Rejected, http::HeldBody, http::hold_in_body};
use tower::{Layer, Service, ServiceExt, service_fn};

/// So many frames, the last of which may be an error.
struct Frames(u64, bool);

impl Body for Frames {
    type Data = &'static [u8];
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        let fails = self.0 == 0 && self.1;
        Poll::Ready(Some(if fails { Err("broken") } else { Ok(Frame::data(b"data")) }))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(4 * self.0)
    }
}

fn frame(body: &mut HeldBody<Frames>) -> Option<bool> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.map(|frame| frame.is_ok()),
        Poll::Pending => panic!("it is all there"),
    }
}

#[tidegate_testkit::test]
async fn a_permit_is_held_until_the_body_has_been_sent() {
    let bulkhead = bulkhead(1);
    let inner =
        service_fn(async |fails: bool| Ok::<_, Infallible>(Response::new(Frames(2, fails))));
    let refused = |_: bool, _: Rejected| Response::new(HeldBody::without(Frames(0, false)));
    let layer = BulkheadLayer::reject(bulkhead.clone()).carry(hold_in_body).on_rejected(refused);
    let mut service = layer.layer(inner);

    let Ok(response) = service.ready().await.unwrap().call(false).await;
    let mut body = response.into_body();
    assert_eq!(
        (bulkhead.in_use(), body.size_hint().exact(), body.is_end_stream()),
        (1, Some(8), false)
    );
    // Nobody else enters while it is being sent.
    let Ok(other) = service.ready().await.unwrap().call(false).await;
    assert!(other.body().is_end_stream() && other.body().get_ref().0 == 0);
    assert_eq!((frame(&mut body), frame(&mut body)), (Some(true), Some(true)));
    assert_eq!(bulkhead.in_use(), 1);
    assert_eq!(frame(&mut body), None);
    assert_idle(&bulkhead);

    // It fails, or nobody wants the rest of it.
    let Ok(response) = service.ready().await.unwrap().call(true).await;
    let mut body = response.into_body();
    assert_eq!((frame(&mut body), bulkhead.in_use()), (Some(true), 1));
    assert_eq!((frame(&mut body), bulkhead.in_use()), (Some(false), 0));
    let Ok(response) = service.ready().await.unwrap().call(true).await;
    assert_eq!(bulkhead.in_use(), 1);
    drop(response);
    assert_idle(&bulkhead);
}
