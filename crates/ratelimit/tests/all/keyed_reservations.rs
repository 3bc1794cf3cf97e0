//! Tokens of a key that are set aside, and what is left of a key once they are used or given back.

use crate::{SECOND, poll};
use std::{pin::pin, task::Poll};
use tidegate_ratelimit::{
    AcquireError, AcquireKeyError, ConfigError, KeyedLimiter, KeyedReservation, ManualClock,
    OnFull, Quota, Rate,
};
use tidegate_testkit::{advance, cancel_everywhere};
use tokio::{sync::Mutex, time::Instant};

fn manual(burst: u64) -> (KeyedLimiter<u8, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), burst));
    (builder.clock(clock.clone()).build().unwrap(), clock)
}

fn paused(burst: u64) -> KeyedLimiter<u8> {
    KeyedLimiter::builder(Quota::new(Rate::per_second(1), burst)).build().unwrap()
}

#[test]
fn a_keyed_reservation_is_there_at_once_or_later() {
    let (limiter, clock) = manual(2);
    let mut now = limiter.reserve(1, 2).unwrap();
    assert!(now.is_ready() && now.delay().is_zero());
    let mut later = limiter.reserve(1, 1).unwrap();
    let mut last = limiter.reserve(1, 2).unwrap();
    assert_eq!((later.delay(), last.delay()), (SECOND, 3 * SECOND));
    assert!(limiter.reserve(2, 2).unwrap().is_ready(), "another key");
    assert!(!later.is_ready());
    assert_eq!((limiter.stats().waiting, limiter.peek(&1).unwrap().waiting), (2, 2));
    clock.advance(SECOND);
    assert!(later.is_ready() && !last.is_ready());
    now.commit().unwrap();
    later.commit().unwrap();
    let last = last.commit().unwrap_err();
    assert_eq!((*last.key(), last.cost(), last.delay()), (1, 2, 2 * SECOND));
    drop(last);
    let left = limiter.peek(&1).unwrap();
    assert_eq!((left.remaining, left.waiting, limiter.stats().waiting), (0, 0, 0));
}

#[test]
fn a_keyed_reservation_that_is_dropped_gives_its_tokens_back() {
    let (limiter, _clock) = manual(2);
    drop(limiter.reserve(1, 2).unwrap());
    assert_eq!(limiter.peek(&1).unwrap().remaining, 2);
    let held = limiter.reserve(1, 2).unwrap();
    let mut behind = limiter.reserve(1, 1).unwrap();
    assert!(!behind.is_ready());
    drop(held);
    assert!(behind.is_ready());
    assert_eq!(limiter.peek(&1).unwrap().remaining, 1);
    behind.commit().unwrap();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 1, "what is spent stays so");
}

/// golang/go#43858: reservations that are cancelled out of order give back what they have.
#[test]
fn keyed_reservations_that_are_cancelled_out_of_order_give_all_back() {
    let (limiter, _clock) = manual(3);
    let mut all: Vec<_> = (0..6).map(|_| limiter.reserve(1, 1).unwrap()).collect();
    for n in [1, 3, 0, 2, 0, 0] {
        drop(all.remove(n));
    }
    let left = limiter.peek(&1).unwrap();
    assert_eq!((left.remaining, left.waiting, limiter.stats().waiting), (3, 0, 0));
    limiter.evict();
    assert!(limiter.is_empty());
}

/// golang/go#56924: tokens that have come back since are not given back once more.
#[test]
fn a_full_key_is_not_filled_further() {
    let (limiter, clock) = manual(3);
    let held = limiter.reserve(1, 3).unwrap();
    clock.advance(100 * SECOND);
    limiter.try_acquire(&1, 2).unwrap();
    drop(held);
    assert_eq!(limiter.peek(&1).unwrap().remaining, 1);
}

/// One that was served, and is given up before it was looked at.
#[test]
fn what_was_set_aside_for_who_never_looks_is_given_back() {
    let (limiter, clock) = manual(2);
    limiter.try_acquire(&1, 2).unwrap();
    let unseen = limiter.reserve(1, 2).unwrap();
    clock.advance(2 * SECOND);
    assert!(limiter.try_acquire(&1, 1).is_err(), "it is kept for it");
    drop(unseen);
    assert!(limiter.try_acquire(&1, 2).is_ok());
}

#[test]
fn a_keyed_reservation_says_at_once_that_it_would_be_late() {
    let (limiter, _clock) = manual(1);
    limiter.try_acquire(&1, 1).unwrap();
    let error = limiter.reserve_within(1, 1, SECOND / 2).unwrap_err();
    let late = AcquireError::TooLate { retry_after: SECOND, allowed: SECOND / 2 };
    assert_eq!(error, late.into());
    drop(limiter.reserve_within(1, 1, SECOND).unwrap());
    let error = limiter.reserve(1, 2).unwrap_err();
    assert_eq!(error, AcquireError::Never { cost: 2, possible: 1 }.into());
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn who_was_served_of_a_key_and_has_not_looked_counts_as_waiting() {
    let clock = ManualClock::new();
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1)).clock(clock.clone());
    let limiter = builder.max_waiters(1).build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let mut first = limiter.reserve(1, 1).unwrap();
    clock.advance(SECOND);
    let full = AcquireError::Full { waiting: 1, retry_after: SECOND };
    assert_eq!(limiter.reserve(1, 1).unwrap_err(), full.into());
    assert!(first.is_ready());
    drop(limiter.reserve(1, 1).unwrap());
    first.commit().unwrap();
}

/// While it waits the key stays; once it has seen its tokens it needs no entry, nor a limiter of its own.
#[test]
fn a_key_leaves_when_its_reservations_are_through() {
    let (limiter, clock) = manual(2);
    limiter.try_acquire(&1, 2).unwrap();
    let bytes = limiter.stats().bytes;
    let mut held = limiter.reserve(1, 1).unwrap();
    let dropped = limiter.reserve(1, 1).unwrap();
    assert!(limiter.stats().bytes > bytes);
    clock.advance(SECOND);
    assert_eq!((limiter.evict(), limiter.len()), (0, 1), "who waits stays");
    assert!(held.is_ready());
    drop(dropped);
    assert_eq!((limiter.stats().bytes, limiter.stats().waiting), (bytes, 0));
    clock.advance(10 * SECOND);
    assert_eq!((limiter.evict(), limiter.len()), (1, 0), "the tokens are held, not the key");
    held.commit().unwrap();
    drop(limiter.reserve(1, 2).unwrap());
    limiter.evict();
    assert!(limiter.is_empty());
}

#[test]
fn a_change_of_the_quota_fails_a_reservation() {
    let (limiter, _clock) = manual(2);
    limiter.try_acquire(&1, 2).unwrap();
    let mut held = limiter.reserve(1, 2).unwrap();
    limiter.set_quota(Quota::new(Rate::per_second(1), 1)).unwrap();
    assert!(!held.is_ready());
    let never = AcquireKeyError::Limit(AcquireError::Never { cost: 2, possible: 1 });
    assert_eq!(poll(pin!(held.ready())), Poll::Ready(Err(never)));
    assert!(held.commit().is_err());
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn keys_without_room_reserve_of_the_cell_that_they_share() {
    let clock = ManualClock::new();
    let quota = Quota::new(Rate::per_second(1), 1);
    let builder = KeyedLimiter::builder(quota).clock(clock.clone()).max_keys(1);
    let limiter = builder.on_full(OnFull::Share(quota)).build().unwrap();
    limiter.try_acquire(&0, 1).unwrap();
    let first = limiter.reserve(1, 1).unwrap();
    let mut second = limiter.reserve(2, 1).unwrap();
    assert!(!second.is_ready());
    drop(first);
    assert!(second.is_ready());
    drop(second);
    assert!(limiter.try_acquire(&3, 1).is_ok());
}

#[test]
fn a_reservation_of_a_quota_that_is_not_usable_is_an_error() {
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1));
    let builder = builder.quota_for(|key: &u64| Quota::new(Rate::per_second(1), *key));
    let limiter = builder.clock(ManualClock::new()).build().unwrap();
    assert_eq!(limiter.reserve(0, 1).unwrap_err(), ConfigError::ZeroBurst.into());
}

/// Nobody polls a reservation, and nobody need.
#[tidegate_testkit::test]
async fn who_waits_for_a_key_behind_a_reservation_is_served_after_it() {
    let limiter = paused(1);
    limiter.try_acquire(&1, 1).unwrap();
    let start = Instant::now();
    let mut held = limiter.reserve(1, 1).unwrap();
    limiter.acquire(&1, 1).await.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert!(held.is_ready());
}

#[tidegate_testkit::test]
async fn a_keyed_reservation_is_waited_for() {
    let limiter = paused(1);
    limiter.try_acquire(&1, 1).unwrap();
    let start = Instant::now();
    let mut reservation = limiter.reserve(1, 1).unwrap();
    assert!(poll(pin!(reservation.ready())).is_pending());
    reservation.ready().await.unwrap();
    reservation.ready().await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    reservation.commit().unwrap();
    assert_eq!(limiter.stats().waiting, 0);
}

#[tidegate_testkit::test]
async fn a_deadline_for_a_key_fails_at_once_or_is_kept() {
    let limiter = paused(1);
    limiter.try_acquire(&1, 1).unwrap();
    let start = Instant::now();
    let error = limiter.acquire_until(&1, 1, start + SECOND / 2).await.unwrap_err();
    let late = AcquireError::TooLate { retry_after: SECOND, allowed: SECOND / 2 };
    assert_eq!((error, start.elapsed().is_zero()), (late.into(), true));
    // It is the deadline that counts, and not the time from the first poll on.
    let waits = limiter.acquire_until(&1, 1, start + SECOND);
    advance(SECOND / 2).await;
    waits.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    assert!(limiter.acquire_until(&1, 1, start).await.is_err(), "a deadline that is past");
}

/// One that is never made to wait is made to let others run.
#[tokio::test]
async fn who_takes_of_a_key_all_the_time_lets_others_run() {
    let limiter = KeyedLimiter::builder(Rate::UNLIMITED).build().unwrap();
    let busy = async {
        loop {
            limiter.acquire(&1, 1).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        () = busy => {}
        () = tokio::task::yield_now() => {}
    }
}

#[test]
fn a_keyed_reservation_keeps_its_place() {
    cancel_everywhere(
        || {
            let limiter = paused(4);
            limiter.try_acquire(&1, 4).unwrap();
            let reservation = limiter.reserve(1, 2).unwrap();
            (limiter, Mutex::new(reservation))
        },
        async |(_, reservation): &(KeyedLimiter<u8>, Mutex<KeyedReservation<u8>>)| {
            reservation.lock().await.ready().await.unwrap();
        },
        async |(limiter, reservation), point| {
            // Whoever comes now is behind it.
            let mut behind = pin!(limiter.acquire(&1, 1));
            assert!(poll(behind.as_mut()).is_pending(), "{point}");
            let mut reservation = reservation.lock().await;
            reservation.ready().await.unwrap();
            assert!(poll(behind.as_mut()).is_pending(), "{point}");
            behind.await.unwrap();
            assert_eq!(limiter.stats().waiting, 0, "{point}");
        },
    )
    .assert_covered(1);
}

#[test]
fn a_keyed_reservation_that_is_dropped_gives_up_everything_at_every_await() {
    cancel_everywhere(
        || {
            let limiter = paused(4);
            limiter.try_acquire(&1, 4).unwrap();
            limiter
        },
        async |limiter: &KeyedLimiter<u8>| {
            let mut first = limiter.reserve(1, 2).unwrap();
            let mut second = limiter.reserve_within(1, 1, 9 * SECOND).unwrap();
            first.ready().await.unwrap();
            second.ready().await.unwrap();
            let deadline = Instant::now() + 9 * SECOND;
            limiter.acquire_until(&1, 1, deadline).await.unwrap().refund();
        },
        async |limiter: &KeyedLimiter<u8>, point| {
            assert_eq!(limiter.stats().waiting, 0, "{point}");
            advance(5 * SECOND).await;
            assert_eq!(limiter.peek(&1).unwrap().remaining, 4, "{point}");
            limiter.evict();
            assert!(limiter.is_empty(), "{point}: nobody needs the key any more");
        },
    )
    .assert_covered(3);
}
