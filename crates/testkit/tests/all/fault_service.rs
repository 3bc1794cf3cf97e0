//! A service goes wrong as planned, and notices who does not keep to the contract.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn, ready},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tidegate_testkit::{
    FlakyError, FlakyPlan, FlakyPlanBuilder, FlakyService, Seed, bubble, settle,
};
use tokio::time::Instant;
use tower_service::Service;

const MINUTE: Duration = Duration::from_secs(60);

/// Doubles, as often as it is called; calls of 0 have no answer.
#[derive(Clone, Default)]
struct Double {
    calls: Rc<Cell<u32>>,
    has_failed: bool,
}

impl Service<u32> for Double {
    type Response = u32;
    type Error = io::ErrorKind;
    type Future = Pin<Box<dyn Future<Output = Result<u32, io::ErrorKind>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(if self.has_failed { Err(io::ErrorKind::BrokenPipe) } else { Ok(()) })
    }

    fn call(&mut self, n: u32) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        if n == 0 { Box::pin(pending()) } else { Box::pin(ready(Ok(2 * n))) }
    }
}

fn plan() -> FlakyPlanBuilder {
    FlakyPlan::seeded(Seed::new(1))
}

fn service(plan: FlakyPlanBuilder) -> FlakyService<Double> {
    FlakyService::new(Double::default(), plan.build().unwrap())
}

async fn is_ready(service: &mut FlakyService<Double>) -> Result<(), FlakyError<io::ErrorKind>> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

#[test]
fn calls_fail_by_their_numbers_without_the_inner_service() {
    bubble(async {
        let inner = Double::default();
        let calls = Rc::clone(&inner.calls);
        let mut service = FlakyService::new(inner, plan().fail_calls(1..2).build().unwrap());
        for (call, expected) in
            [Ok(6), Err(FlakyError::Planned { call: 1 }), Ok(6)].into_iter().enumerate()
        {
            is_ready(&mut service).await.unwrap();
            assert_eq!(service.call(3).await, expected, "call {call}");
        }
        let counts = service.counts();
        assert_eq!((counts.asked, counts.readied, counts.calls, counts.failed), (3, 3, 3, 1));
        assert_eq!((counts.unused, counts.given_up, calls.get()), (0, 0, 2));
    });
}

#[test]
fn calls_and_readiness_take_their_time() {
    bubble(async {
        let mut service = service(plan().delays(1.0, MINUTE).readiness_delays(1.0, 2 * MINUTE));
        let begun = Instant::now();
        is_ready(&mut service).await.unwrap();
        assert_eq!(begun.elapsed(), 2 * MINUTE);
        // Once is enough until it is called.
        is_ready(&mut service).await.unwrap();
        assert_eq!(begun.elapsed(), 2 * MINUTE);
        assert_eq!(service.call(3).await, Ok(6));
        assert_eq!(begun.elapsed(), 3 * MINUTE);
        assert_eq!((service.counts().asked, service.counts().readied), (1, 1));
    });
}

#[test]
fn readiness_fails_as_planned_and_by_itself() {
    bubble(async {
        let mut planned = service(plan().readiness_failures(1.0));
        let error = is_ready(&mut planned).await.unwrap_err();
        assert_eq!(error, FlakyError::NotReady { number: 0 });
        assert_eq!(error.to_string(), "readiness 0 fails as planned");
        assert_eq!(is_ready(&mut planned).await, Err(FlakyError::NotReady { number: 1 }));

        let broken = Double { has_failed: true, ..Double::default() };
        let mut broken = FlakyService::new(broken, plan().build().unwrap());
        let failed = is_ready(&mut broken).await;
        assert_eq!(failed, Err(FlakyError::Failed(io::ErrorKind::BrokenPipe)));
        assert_eq!(is_ready(&mut broken).await, failed);
        assert_eq!((broken.counts().asked, broken.counts().readied), (2, 0));
    });
}

/// What the call says, if it panics.
fn panic_of(service: &mut FlakyService<Double>) -> Option<String> {
    let call = catch_unwind(AssertUnwindSafe(|| drop(service.call(1))));
    call.err().map(|payload| (*payload.downcast::<&str>().unwrap()).to_owned())
}

#[test]
fn a_call_without_readiness_panics() {
    bubble(async {
        let mut service = service(plan());
        let panic = panic_of(&mut service).unwrap();
        assert!(panic.contains("a call without a `poll_ready`"), "{panic}");
        is_ready(&mut service).await.unwrap();
        // The readiness is this one's, and it is for one call.
        assert!(panic_of(&mut service.clone()).is_some());
        assert!(panic_of(&mut service).is_none());
        assert!(panic_of(&mut service).is_some());
        assert_eq!(service.counts().calls, 1);
    });
}

#[test]
fn readiness_and_responses_that_nobody_wants_are_counted() {
    bubble(async {
        let service = service(plan());
        let mut unused = service.clone();
        is_ready(&mut unused).await.unwrap();
        drop(unused);
        assert_eq!(service.counts().unused, 1);

        let mut called = service.clone();
        is_ready(&mut called).await.unwrap();
        let mut response = Box::pin(called.call(0));
        poll_fn(|cx| {
            assert!(response.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        settle().await;
        assert_eq!(service.counts().given_up, 0);
        drop((response, called));
        assert_eq!((service.counts().given_up, service.counts().unused), (1, 1));
    });
}

#[test]
fn a_panic_says_that_it_is_planned_and_is_none_of_the_inner_service() {
    bubble(async {
        let mut service = service(plan().panics(1.0));
        is_ready(&mut service).await.unwrap();
        let mut response = Box::pin(service.call(1));
        let poll = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(cx)));
            Poll::Ready(polled.unwrap_err())
        });
        let payload = poll.await;
        let text = payload.downcast_ref::<String>().unwrap();
        assert_eq!(text, "call 0 panics as planned");
        assert_eq!(service.counts().failed, 1);
    });
}
