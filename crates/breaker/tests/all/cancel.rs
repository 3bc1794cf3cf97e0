//! Dropped at each await, and on the way out.

use crate::{SECOND, fail, patient, succeed};
use tidegate_breaker::{Breaker, HalfOpen, State, Trip};
use tidegate_testkit::{advance, cancel_everywhere};
use tokio::time::sleep;

fn breaker() -> Breaker {
    let half_open = HalfOpen::probes(1).lease(3600 * SECOND);
    patient().trip(Trip::consecutive_failures(1)).half_open(half_open).build().unwrap()
}

async fn call(breaker: &Breaker) {
    let work = async || {
        sleep(SECOND).await;
        sleep(SECOND).await;
        Ok::<_, ()>(())
    };
    let _ = breaker.call(work()).await;
    let ignore = |_: &Result<(), ()>| tidegate_breaker::Verdict::Ignore;
    let _ = breaker.call_with(work(), ignore).await;
}

#[test]
fn a_call_gives_its_place_back_at_every_await() {
    cancel_everywhere(
        breaker,
        async |breaker: &Breaker| {
            fail(breaker, 1);
            advance(10 * SECOND).await;
            call(breaker).await;
        },
        async |breaker: &Breaker, point| {
            let stats = breaker.stats();
            assert_eq!(stats.probes_in_flight, 0, "{point}");
            assert_eq!((stats.failed, stats.panicked), (1, 0), "{point}");
            advance(10 * SECOND).await;
            succeed(breaker, 1);
            assert_eq!(breaker.state(), State::Closed, "{point}");
        },
    )
    .assert_covered(5);
}

/// Nobody has polled it: it has not asked.
#[tidegate_testkit::test]
async fn a_call_that_is_not_polled_is_none() {
    let breaker = breaker();
    fail(&breaker, 1);
    advance(10 * SECOND).await;
    drop(breaker.call(std::future::ready(Ok::<_, ()>(()))));
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.cancelled), (State::Open, 0));
}
