//! Whether a breaker opens when it should, before anybody asks how fast.

use super::services::{Of, ours, tower_resilience};
use crate::{contest::Ratio, row::counted};
use std::{
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};
use tidegate_breaker::{Breaker, HalfOpen, ManualClock, Trip};
use tidegate_core::Backoff;
use tower_service::Service;

const GOOD: u64 = 10_000;
const WINDOW: u32 = 10;
const PROBES: u32 = 5;
const CALLERS: u64 = 200;
const WAIT: Duration = Duration::from_millis(1);

/// Fails for what is odd, and counts its calls.
#[derive(Clone, Default)]
struct Even(Arc<AtomicU64>);

impl Service<u64> for Even {
    type Response = u64;
    type Error = &'static str;
    type Future = Ready<Result<u64, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        self.0.fetch_add(1, Relaxed);
        ready(if n.is_multiple_of(2) { Ok(n) } else { Err("odd") })
    }
}

pub(super) fn run() -> Vec<Ratio> {
    let of = Of::Results(WINDOW);
    let op = format!("failures that open it, of a window of {WINDOW}, after {GOOD} good calls");
    let ours = failures_to_open(|inner| ours(of, inner));
    let theirs = failures_to_open(|inner| tower_resilience(of, inner));
    let mut ratios = vec![
        counted(op.clone(), "ours", ours as f64, f64::from(WINDOW / 2), ours),
        counted(op, "tower-resilience", theirs as f64, None, theirs),
    ];
    let op = format!("let in at once of {CALLERS} while half-open, of {PROBES} probes");
    let (ours, theirs) = (probes(), probes_of_recloser());
    ratios.push(counted(op.clone(), "ours", ours as f64, f64::from(PROBES), ours));
    ratios.push(counted(op, "recloser", theirs as f64, None, theirs));
    for peer in ratios.chunks(2).map(|pair| &pair[1]) {
        println!("  {} is incorrect: {} {}", peer.peer, peer.median, peer.op);
    }
    assert!(ratios.iter().all(Ratio::met), "ours is incorrect: {ratios:?}");
    ratios
}

/// How many calls in a row have to fail until one does not get to the service.
fn failures_to_open<S: Service<u64, Response = u64>>(layer: impl Fn(Even) -> S) -> u64 {
    let inner = Even::default();
    let mut service = layer(inner.clone());
    let calls = |service: &mut S, n: u64| {
        let mut cx = Context::from_waker(Waker::noop());
        let before = inner.0.load(Relaxed);
        if service.poll_ready(&mut cx).is_ready() {
            assert!(pin!(service.call(n)).poll(&mut cx).is_ready());
        }
        inner.0.load(Relaxed) > before
    };
    assert!((0..GOOD).all(|_| calls(&mut service, 0)), "it opens without a failure");
    (0..2 * GOOD).find(|_| !calls(&mut service, 1)).unwrap()
}

/// Opens by the first failure, and is half-open after a millisecond.
fn probes() -> u64 {
    let clock = ManualClock::new();
    let breaker = Breaker::builder("probes")
        .trip(Trip::consecutive_failures(1))
        .open_wait(Backoff::constant(WAIT))
        .half_open(HalfOpen::probes(PROBES))
        .clock(clock.clone())
        .build()
        .unwrap();
    breaker.try_enter().unwrap().failure();
    clock.advance(WAIT);
    let tickets: Vec<_> = (0..CALLERS).filter_map(|_| breaker.try_enter().ok()).collect();
    tickets.len() as u64
}

fn probes_of_recloser() -> u64 {
    let recloser = recloser::Recloser::custom()
        .closed_len(1)
        .half_open_len(PROBES as usize)
        .open_wait(WAIT)
        .build();
    for _ in 0..2 {
        let failed = recloser.call(|| Err::<(), _>("failed"));
        assert!(failed.is_err());
    }
    // It goes by the clock of the system alone.
    thread::sleep(50 * WAIT);
    let recloser = recloser::AsyncRecloser::from(recloser);
    let mut cx = Context::from_waker(Waker::noop());
    let mut running = Vec::new();
    for _ in 0..CALLERS {
        let mut call = Box::pin(recloser.call(std::future::pending::<Result<(), &str>>()));
        if pin!(&mut call).poll(&mut cx).is_pending() {
            running.push(call);
        }
    }
    running.len() as u64
}
