//! Threads that call backends of many keys at once: for longer by `cargo xtask stress`.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};
use tidegate_breaker::{KeyedBreaker, ManualClock, Settings, Trip};
use tidegate_core::{Backoff, Jitter};
use tidegate_testkit::Stress;

fn breakers() -> KeyedBreaker<u64, ManualClock> {
    let wait = Backoff::constant(Duration::from_secs(10)).jitter(Jitter::None);
    let settings = Settings::new().trip(Trip::consecutive_failures(2)).open_wait(wait);
    let builder = KeyedBreaker::builder("backends").settings(settings).max_keys(8);
    builder.clock(ManualClock::new()).build().unwrap()
}

/// Threads that ask for the same keys get the same breakers, while others are evicted.
#[test]
fn stress_a_key_has_one_breaker() {
    Stress::new("a_key_has_one_breaker").run(
        |_| (breakers(), AtomicU64::new(0)),
        |(breakers, failed), ctx| {
            for _ in 0..40 {
                ctx.point();
                let key = 10 + ctx.rng().below(100);
                breakers.breaker(&key).try_enter().unwrap().success();
                if ctx.rng().one_in(4) {
                    // One failure is never forgotten, and the series never broken.
                    if let Ok(ticket) = breakers.breaker(&1).try_enter() {
                        ticket.failure();
                        failed.fetch_add(1, SeqCst);
                    }
                }
            }
        },
        |(breakers, failed), _threads| {
            let keys = breakers.stats().keys;
            let stats = breakers.get(&1).map(|breaker| breaker.stats());
            let counted = stats.map_or(0, |stats| stats.failed + stats.stale);
            let told = failed.load(SeqCst);
            if keys <= 8 && counted == told {
                Ok(())
            } else {
                Err(format!("{keys} keys, {counted} of {told}, {stats:?}"))
            }
        },
    );
}
