//! The layer keeps the contract of tower, whatever its callers do. Inside is a service that panics if it
//! is called without having been ready.

mod each;
mod readiness;
mod reject;
mod wait;

use crate::{SECOND, assert_idle, bulkhead};
use std::{
    cell::RefCell,
    convert::Infallible,
    future::poll_fn,
    task::{Context, Poll, Waker},
};
use tidegate_bulkhead::{Bulkhead, Permit};
use tidegate_testkit::{CancelPoint, FlakyPlan, FlakyService, Seed};
use tokio::time::sleep;
use tower::{Service, service_fn};

type Echo<F> = FlakyService<tower::util::ServiceFn<F>>;

/// Returns what it is called with.
fn echo() -> Echo<impl AsyncEcho> {
    flaky(FlakyPlan::seeded(Seed::new(1)).build().unwrap())
}

/// The same after a second.
fn slow() -> Echo<impl AsyncEcho> {
    flaky(FlakyPlan::seeded(Seed::new(1)).delays(1.0, SECOND).build().unwrap())
}

fn flaky(plan: FlakyPlan) -> Echo<impl AsyncEcho> {
    FlakyService::new(service_fn(|n: u64| std::future::ready(Ok::<_, Infallible>(n))), plan)
}

trait AsyncEcho: FnMut(u64) -> std::future::Ready<Result<u64, Infallible>> + Clone {}
impl<F: FnMut(u64) -> std::future::Ready<Result<u64, Infallible>> + Clone> AsyncEcho for F {}

async fn ready<S: Service<u64>>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

fn poll_ready<S: Service<u64>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// One that is emptied after a second.
struct Full(Bulkhead, RefCell<Option<Permit>>);

fn full() -> Full {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    Full(bulkhead, Some(permit).into())
}

impl Full {
    async fn empty(&self) {
        sleep(SECOND).await;
        drop(self.1.take());
    }

    fn nothing_is_lost(&self, point: CancelPoint) {
        drop(self.1.take());
        let stats = self.0.stats();
        assert_eq!((stats.in_use, stats.waiting), (0, 0), "{point}");
        assert_idle(&self.0);
    }
}
