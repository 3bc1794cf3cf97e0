//! Dropped at each await, and on the way out.

use crate::{SECOND, manual, poll};
use std::pin::pin;
use tidegate_ratelimit::{Rate, RateLimiter};
use tidegate_testkit::{advance, cancel_everywhere};

fn empty() -> RateLimiter {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(4).build().unwrap();
    limiter.try_acquire(4).unwrap();
    limiter
}

/// After any of them nobody waits, and what comes back is there for others.
async fn is_as_before(limiter: &RateLimiter, point: impl std::fmt::Display) {
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.queued, stats.timers), (0, 0, 0), "{point}");
    advance(5 * SECOND).await;
    assert_eq!(limiter.peek().remaining, 4, "{point}");
    limiter.try_acquire(4).unwrap();
}

#[test]
fn acquire_gives_up_everything_at_every_await() {
    cancel_everywhere(
        empty,
        async |limiter: &RateLimiter| {
            limiter.acquire(2).await.unwrap().refund();
            limiter.acquire_within(2, 9 * SECOND).await.unwrap().refund();
            let deadline = tokio::time::Instant::now() + 9 * SECOND;
            limiter.acquire_until(2, deadline).await.unwrap().refund();
        },
        async |limiter: &RateLimiter, point| is_as_before(limiter, point).await,
    )
    .assert_covered(3);
}

#[test]
fn a_reservation_keeps_its_place() {
    cancel_everywhere(
        || {
            let limiter = empty();
            let reservation = limiter.reserve(2).unwrap();
            (limiter, tokio::sync::Mutex::new(reservation))
        },
        async |(_, reservation): &(RateLimiter, tokio::sync::Mutex<_>)| {
            let reservation: &mut tidegate_ratelimit::Reservation = &mut *reservation.lock().await;
            reservation.ready().await.unwrap();
        },
        async |(limiter, reservation), point| {
            // Whoever comes now is behind it.
            let mut behind = pin!(limiter.acquire(1));
            assert!(poll(behind.as_mut()).is_pending(), "{point}");
            let mut reservation = reservation.lock().await;
            reservation.ready().await.unwrap();
            assert!(poll(behind.as_mut()).is_pending(), "{point}");
            behind.await.unwrap();
        },
    )
    .assert_covered(1);
}

/// Its tokens were taken for it, and it was woken, but not polled again.
#[test]
fn what_was_taken_for_who_gives_up_is_given_back() {
    let (builder, clock) = manual();
    let limiter = builder.burst(2).build().unwrap();
    limiter.try_acquire(2).unwrap();
    let mut quitter = Box::pin(limiter.acquire(2));
    let mut next = Box::pin(limiter.acquire(1));
    assert!(poll(quitter.as_mut()).is_pending() && poll(next.as_mut()).is_pending());
    clock.advance(2 * SECOND);
    assert_eq!(limiter.stats().served, 1);
    drop(quitter);
    assert_eq!(limiter.stats().served, 2, "the next one has them");
    assert!(poll(next.as_mut()).is_ready());
    let stats = limiter.stats();
    assert_eq!((stats.cancelled, stats.refunded, stats.remaining), (1, 2, 1));
}

/// The first in the line wanted much: those behind it need not wait for that any more.
#[test]
fn those_behind_move_up_when_the_first_gives_up() {
    let (builder, clock) = manual();
    let limiter = builder.burst(10).build().unwrap();
    limiter.try_acquire(10).unwrap();
    let mut big = Box::pin(limiter.acquire(10));
    let mut small = Box::pin(limiter.acquire(1));
    assert!(poll(big.as_mut()).is_pending() && poll(small.as_mut()).is_pending());
    clock.advance(SECOND);
    drop(big);
    assert!(poll(small.as_mut()).is_ready());
}

/// Dropped by something that is no task, on a thread without a runtime.
#[test]
fn a_waiter_is_dropped_outside_of_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limiter = empty();
    let mut waiter = Box::pin(limiter.acquire(1));
    let pending = runtime.block_on(async { poll(waiter.as_mut()).is_pending() });
    assert!(pending);
    drop(runtime);
    drop(waiter);
    let stats = limiter.stats();
    assert_eq!((stats.waiting, stats.timers), (0, 0));
}
