use super::*;
use crate::{Rate, RateLimiter};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Ticks by a microsecond whenever the system's clock is read; the counter goes by what it is told.
#[derive(Default)]
struct Fake {
    system: AtomicU64,
    /// Is added to the system's time.
    leap: AtomicU64,
}

impl Source for Fake {
    fn counter(&self) -> u64 {
        self.system.load(Relaxed) + self.leap.load(Relaxed)
    }

    fn system(&self) -> u64 {
        self.system.fetch_add(1_000, Relaxed)
    }
}

#[test]
fn a_counter_that_is_right_tells_the_time() {
    let clock = Checked::new(Fake::default());
    for _ in 0..10_000 {
        let before = clock.source.system();
        let now = clock.now();
        assert!((before..=clock.source.system()).contains(&now));
    }
    assert!(clock.gate.is_trusted());
}

#[test]
fn a_counter_that_leaps_is_given_up_and_nothing_is_gained() {
    let clock = Checked::new(Fake::default());
    let before = clock.now();
    clock.source.leap.store(3_600_000_000_000, Relaxed);
    let after = clock.now();
    assert!(!clock.gate.is_trusted());
    assert!(after - before <= SPAN, "{before} {after}");
    clock.source.leap.store(0, Relaxed);
    clock.now();
    assert!(!clock.gate.is_trusted(), "once and for all");
}

#[test]
fn the_counter_of_this_machine_does_not_lead_its_clock() {
    let clock = TscClock::new();
    let source = &clock.0.source;
    let first = read(source);
    for _ in 0..100_000 {
        let now = clock.now();
        let most = source.system() - first.before;
        assert!(now.saturating_sub(first.counter) <= most + 2 * SPAN);
    }
}

/// In real time: a paused clock is nothing to the counter.
#[tokio::test]
async fn its_timer_rings_when_the_clock_says_so() {
    let clock = TscClock::new();
    let limiter = RateLimiter::builder(Rate::per_second(200)).clock(clock.clone()).build().unwrap();
    let start = clock.now();
    for _ in 0..4 {
        limiter.acquire(1).await.unwrap();
    }
    // Two pass at once.
    assert!(clock.now() - start >= 10_000_000);
}

/// The time of tokio is ahead, as it is for a counter that is slow: its timers ring too early.
#[tokio::test(start_paused = true)]
async fn a_timer_that_rings_too_early_is_set_again() {
    let clock = TscClock::new();
    let at = clock.now() + 3_000_000;
    let mut timer = std::pin::pin!(clock.timer());
    std::future::poll_fn(|cx| timer.as_mut().poll_until(at, cx)).await;
    assert!(clock.now() >= at);
}
