//! Fleets of breakers from outside.
#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancel;
mod outage;
#[cfg(all(feature = "redis", unix))]
mod redis;
mod store;
mod together;

use std::time::Duration;
use tidegate_breaker::{
    Breaker, BreakerBuilder, HalfOpen, State, Trip,
    fleet::{Fleet, FleetSync, FleetView, Store},
};
use tidegate_core::{Backoff, Jitter};

const SECOND: Duration = Duration::from_secs(1);

/// One of a fleet.
struct Instance<S: Store> {
    breaker: Breaker,
    view: FleetView,
    sync: FleetSync<S>,
}

/// It opens by half of ten calls, for ten seconds, and closes by two probes of five seconds.
fn builder() -> BreakerBuilder {
    Breaker::builder("db")
        .trip(Trip::failure_rate(0.5))
        .min_calls(10)
        .open_wait(Backoff::exponential(10 * SECOND).jitter(Jitter::None))
        .half_open(HalfOpen::probes(2).lease(5 * SECOND))
}

fn breaker() -> Breaker {
    builder().build().unwrap()
}

fn instance<S: Store>(store: S) -> Instance<S> {
    let breaker = breaker();
    let (view, sync) = Fleet::builder(store).share(&breaker).unwrap();
    Instance { breaker, view, sync }
}

fn fleet<S: Store + Clone>(store: &S) -> [Instance<S>; 3] {
    [(); 3].map(|()| instance(store.clone()))
}

/// Each tells and hears once, in turn.
async fn round<S: Store>(fleet: &mut [Instance<S>]) {
    for instance in fleet {
        let _ = instance.sync.once().await;
    }
}

fn states<S: Store>(fleet: &[Instance<S>]) -> Vec<State> {
    fleet.iter().map(|instance| instance.breaker.state()).collect()
}

fn fail<S: Store>(fleet: &[Instance<S>], calls: usize) {
    for _ in 0..calls {
        for Instance { breaker, .. } in fleet {
            breaker.try_enter().unwrap().failure();
        }
    }
}

/// Opens all of them.
async fn open<S: Store>(fleet: &mut [Instance<S>]) {
    fail(&fleet[..1], 10);
    round(fleet).await;
    assert!(states(fleet).iter().all(|state| *state == State::Open));
}
