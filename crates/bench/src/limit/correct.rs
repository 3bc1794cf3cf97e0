//! Whether a limiter lets pass what it may, before anybody asks how fast.

use super::direct::{Limit, Limiter, governor_of, leaky_bucket_of, ours, ratelimit_of};
use crate::{contest::Ratio, row::counted};
use governor::clock::QuantaClock;
use std::{
    thread,
    time::{Duration, Instant},
};
use tidegate_ratelimit::TscClock;

const LIMIT: Limit = Limit { rate: 1_000, burst: 100 };

/// Lists all limiters with what they let pass, divided by what they may.
pub(super) fn run() -> Vec<Ratio> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let async_rate_limiter = async_rate_limiter::RateLimiter::new(LIMIT.rate as usize);
    async_rate_limiter.burst(LIMIT.burst as usize);
    let ours = row("ours", Some(1.0), &ours(LIMIT, TscClock::new()));
    assert!(ours.met(), "ours lets pass what it may not: {ours:?}");
    let peers = [
        row("governor", None, &governor_of(LIMIT, QuantaClock::default())),
        row("ratelimit", None, &ratelimit_of(LIMIT)),
        row("leaky-bucket", None, &leaky_bucket_of(LIMIT)),
        row("async-rate-limiter", None, &async_rate_limiter),
    ];
    for peer in peers.iter().filter(|peer| peer.median > 1.0) {
        println!("  {} is incorrect: it lets pass {:.2} of what it may", peer.peer, peer.median);
    }
    [ours].into_iter().chain(peers).collect()
}

fn row(peer: &str, target: Option<f64>, limiter: &dyn Limiter) -> Ratio {
    // Some are full from the start, and others are not.
    thread::sleep(Duration::from_millis(300));
    for _ in 0..LIMIT.burst / 2 {
        limiter.passes();
    }
    thread::sleep(Duration::from_millis(300));
    // Nobody knows whether it is full when it is first asked: all that passes from there on counts.
    let start = Instant::now();
    let mut admitted = 0_u64;
    while start.elapsed() < Duration::from_millis(100) {
        admitted += u64::from(limiter.passes());
    }
    let came_back = start.elapsed().as_secs_f64() * f64::from(LIMIT.rate);
    let share = admitted as f64 / (f64::from(LIMIT.burst) + came_back).ceil();
    let op = format!("let pass, of burst {} and {} a second", LIMIT.burst, LIMIT.rate);
    counted(op, peer, share, target, admitted)
}
