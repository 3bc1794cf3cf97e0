//! What a keyed limiter takes, against what the allocator has given. A program of its own: the allocator
//! counts for all threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, time::Duration};
use tidegate_ratelimit::{KeyedLimiter, ManualClock, Quota, Rate};
use tidegate_testkit::Seed;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As many as the promise is about where that takes seconds, in lane `stress`; a hundredth where it would
/// take minutes.
const MOST: usize = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };

/// The tables, the handle, and the entry in the inspection.
const FIXED: usize = 16_384;

fn limiter() -> (KeyedLimiter<u64, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1));
    (builder.max_keys(MOST).clock(clock.clone()).build().unwrap(), clock)
}

fn taken(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// boinkor-net/governor#171: ten times as many keys as may be, all of which come once. One test for all, as
/// they would count each other's memory.
#[test]
fn stress_a_flood_of_keys_stays_below_the_bound() {
    let seed = Seed::from_env().unwrap_or(Seed::new(171));
    // What is allocated once in a process, at the first use of each.
    drop(limiter());
    let region = Region::new(ALLOCATOR);
    let (limiter, clock) = limiter();
    let mut passed = 0;
    for key in 0..10 * MOST as u64 {
        passed += usize::from(
            limiter.try_acquire(&(key ^ seed.value()).wrapping_mul(0x9e37_79b9), 1).is_ok(),
        );
        if key.is_multiple_of(1024) {
            assert!(limiter.len() <= MOST);
            assert!(taken(&region) <= 24 * MOST + FIXED, "{} at {key}", taken(&region));
        }
    }
    assert_eq!((passed, limiter.len()), (MOST, MOST), "nobody was thrown out who owes something");
    let (said, is) = (limiter.stats().bytes, taken(&region));
    assert!(said <= is && is <= said + FIXED, "it says {said} and takes {is}");

    // All of them have come back, and one client goes on.
    clock.advance(Duration::from_secs(1));
    for _ in 0..MOST {
        clock.advance(Duration::from_millis(10));
        drop(limiter.try_acquire(&7, 1));
    }
    assert!(limiter.len() <= 1);
    assert!(taken(&region) <= FIXED + limiter.stats().bytes, "{} are left", taken(&region));
    assert!(limiter.stats().bytes <= MOST, "{:?}", limiter.stats());
    drop(limiter);
    assert!(taken(&region) <= FIXED);
    println!("stress: a_flood_of_keys_stays_below_the_bound seed={seed} rounds={}", 10 * MOST);
}
